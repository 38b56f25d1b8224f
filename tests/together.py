"""Tests that mostly wait, for other programs or for media in real time, run side by side within their module."""

import asyncio
import concurrent.futures
import functools
import inspect
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import pytest

AT_ONCE = 4
"""Two cores, of which a test uses little: it waits for media that come in real time, or for a program to start."""

Body = Callable[..., Any]
Made = TypeVar("Made")


class Crew:
    """Runs tests of one module in threads; the first one asked for starts all that this run has selected."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self._done: dict[str, concurrent.futures.Future[None]] = {}

    def result(self, request: pytest.FixtureRequest) -> None:
        """Wait for the end of the test that `request` belongs to; raises what it raised."""
        if not self._done:
            items = [i for i in request.session.items if i.path == request.path and isinstance(i, pytest.Function)]
            for item in items:
                test = getattr(item.function, "together", None)
                if test is not None:
                    try:
                        done = self._pool.submit(_run, test, self._arguments(item, test, request))
                    except Exception as error:
                        # A fixture failed: that is told by the tests that want it.
                        done = concurrent.futures.Future()
                        done.set_exception(error)
                    self._done[item.nodeid] = done
        self._done[request.node.nodeid].result()

    def _arguments(self, item: pytest.Function, test: Body, request: pytest.FixtureRequest) -> dict[str, Any]:
        given = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        for name in inspect.signature(test).parameters:
            if name == "tmp_path":
                given[name] = self._folders.mktemp(item.originalname)
            elif name not in given:
                given[name] = request.getfixturevalue(name)
                # What is one test's own is gone when that test is over, here the first.
                assert request._get_active_fixturedef(name).scope != "function", name
        return given

    def close(self) -> None:
        """Begin no more, and wait for those that run."""
        self._pool.shutdown(cancel_futures=True)


def _run(test: Body, arguments: dict[str, Any]) -> None:
    made = test(**arguments)
    if inspect.iscoroutine(made):
        asyncio.run(made)


def together(test: Body) -> Body:
    """A test that runs beside the others of its module that have this decorator, in a thread of its own.

    Its fixtures are the module's and the session's, which all of them share; only `tmp_path` is its own.
    """
    signature = inspect.signature(test)

    @functools.wraps(test)
    def wait(request: pytest.FixtureRequest, crew: Crew, **_: object) -> None:
        crew.result(request)

    own = [p for name, p in signature.parameters.items() if name != "tmp_path"]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
    wait.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("request", kinds), inspect.Parameter("crew", kinds), *own]
    )
    wait.together = test  # type: ignore[attr-defined]
    return wait


def once(make: Callable[..., Made]) -> Callable[..., Made]:
    """What tests share: made for the first who asks, while others who ask for the same wait."""
    made: dict[Hashable, concurrent.futures.Future[Made]] = {}
    lock = threading.Lock()

    def get(*key: Hashable) -> Made:
        with lock:
            first = key not in made
            future = made.setdefault(key, concurrent.futures.Future())
        if first:
            try:
                future.set_result(make(*key))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    return get
