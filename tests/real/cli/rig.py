"""What the tests of the command line share: a fleet, an environment, and how to read what was printed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

from enmctl.models import Device
from enmctl.settings import variables

Run = Callable[..., Result]

OLD, NEW = "a" * 40, "b" * 40
FLEET = [
    Device("64a1ae375b213d7e", 511898, "esp8266", "1265892", "holy-sunset", commit=NEW, target_commit=NEW),
    Device("7777ae375b213d7e", 511898, "esp8266", "1265893", "late-moon", commit=OLD, target_commit=NEW),
    Device("8888ae375b213d7e", 511898, "esp8266", "1265894", "gone", target_commit=NEW, unlisted=True),
    Device("9999ae375b213d7e", 511898, "esp8266", "1265895", "held", commit=OLD, target_commit=NEW, held_target=NEW),
    Device("deadae375b213d7e", 511898, "esp8266", "1265896", "buried", deleted=True),
]


def environment_of(place: Path) -> dict[str, str]:
    """Settings that keep all that enmctl writes below ``place``, and all that it hears on this machine."""
    return {
        "ENM_DB_DIRECTORY": str(place / "database"),
        "ENM_ASSETS_DIRECTORY": str(place / "assets"),
        "ENM_LOCK_FILE_LOCATION": str(place / "resin.lock"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "BALENA_APP_LOCK_PATH": str(place / "balena.lock"),
        "ENM_MDNS_INTERFACES": "127.0.0.1",
        "ENM_HOTSPOT": "off",
        "ENM_API_PORT": "0",
    }


def document(result: Result) -> Any:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def lines(result: Result) -> list[Any]:
    """The JSON that a command printed, a value a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def whole_environment(place: Path) -> dict[str, str]:
    """The environment of a child: the machine's without its settings, and ours."""
    ours = {name for variable in variables().values() for name in variable.names}
    kept = {name: value for name, value in os.environ.items() if name not in {*ours, "PYTHONUNBUFFERED"}}
    return {**kept, **environment_of(place)}
