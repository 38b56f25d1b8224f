"""Layers of configuration files for commands: `--config` over the user's over the system's.

A command's table holds its option defaults (`[relay] reconnect = "3"`), `[endpoints]` names destinations
(`twitch = "rtmps://…/{env:TWITCH_KEY}"`). The server's own configuration is `evotools.server.config`.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evotools.errors import UsageError

MAX_CONFIG = 10 * 2**20
"""Larger files are not configuration."""


@dataclass(slots=True)
class Layers:
    """Merged tables of all files, later layers over earlier ones."""

    tables: dict[str, Any] = field(default_factory=dict)

    def for_command(self, name: str) -> dict[str, Any]:
        """Option defaults of one command; also installs the named endpoints."""
        from evotools.pipeline.resolve import name_endpoints

        endpoints = self.tables.get("endpoints", {})
        if not isinstance(endpoints, dict) or not all(isinstance(v, str) for v in endpoints.values()):
            raise UsageError("[endpoints] holds names and URIs, both text")
        if endpoints:
            name_endpoints(endpoints)
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"'{name}' in the configuration is not a table")
        # Parameters named like Python builtins carry an underscore.
        names = {"input": "input_", "format": "format_"}
        return {names.get(key, key.replace("-", "_")): value for key, value in table.items()}


def read_toml(path: Path) -> dict[str, Any]:
    """One file. Raises UsageError naming the file and the line."""
    import tomllib

    try:
        if path.stat().st_size > MAX_CONFIG:
            raise UsageError(f"{path}: too large for a configuration file")
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None


def system_paths() -> list[Path]:
    """Configuration files that exist, weakest first."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    candidates = [Path(home) / "evotools" / "config.toml"]
    if sys.platform != "win32":
        candidates.insert(0, Path("/etc/evotools/config.toml"))
    return [p for p in candidates if p.is_file()]


def load_layers(explicit: str) -> Layers:
    """Read all files. Raises UsageError."""
    layers = Layers()
    for path in [*system_paths(), *([Path(explicit)] if explicit else [])]:
        for name, table in read_toml(path).items():
            if isinstance(table, dict) and isinstance(layers.tables.get(name), dict):
                layers.tables[name] = {**layers.tables[name], **table}
            else:
                layers.tables[name] = table
    return layers
