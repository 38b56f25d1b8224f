"""Tests of commands wait for children and for media in real time: most of them run side by side."""

from tests.interop.conftest import crew as crew
