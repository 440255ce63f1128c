"""Every environment variable, once: name, kind, unit, default and meaning.

The fields of ``Settings`` are the table. The parser below, ``enmctl run --help`` and ``docs/configuration.md`` are made
from it, and nothing else reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from enmctl.errors import SettingError
from enmctl.settings.folders import data_directory
from enmctl.settings.kinds import Variable
from enmctl.settings.original import DEFAULT_HOTSPOT, NO_KEY, OriginalSettings
from enmctl.settings.own import OwnSettings

__all__ = ["DEFAULT_HOTSPOT", "FLEET", "NO_KEY", "Settings", "Variable", "data_directory", "variables"]

FLEET = "fleet"
"""The source that reads a fleet file."""


@dataclass(frozen=True, kw_only=True)
class Settings(OwnSettings, OriginalSettings):
    """What the environment says, each value checked and in its own type."""

    @property
    def database(self) -> Path:
        """The database's path."""
        return self.db_directory / self.db_file

    @property
    def api_key(self) -> str | None:
        """The Supervisor's key, or None where none is to be sent."""
        return None if self.supervisor_api_key == NO_KEY else self.supervisor_api_key

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from ``environment``, by default the process's own.

        Raises:
            SettingError: a value is of the wrong kind; it names the variable, the value and what is allowed.
        """
        environment = os.environ if environment is None else environment
        values = {}
        for name, variable in variables().items():
            spelling = next((spelling for spelling in variable.names if environment.get(spelling)), None)
            if spelling is not None:
                values[name] = _parse(variable, spelling, environment[spelling])
        if values.get("fleet_file") is not None:
            values.setdefault("source", FLEET)
        return cls(**values)


def _parse(variable: Variable, spelling: str, text: str) -> Any:
    try:
        return variable.kind.parse(text)
    except ValueError:
        shown = "a value that is not shown" if variable.secret else repr(text)
        default = f"unset it for {variable.default!r}" if variable.default else "or unset it"
        raise SettingError(f"{spelling} is {shown}", remedy=f"it must be {variable.kind.allowed}; {default}") from None


def variables() -> dict[str, Variable]:
    """The table: each setting's field name with the variable that sets it."""
    return {entry.name: entry.metadata["variable"] for entry in fields(Settings)}
