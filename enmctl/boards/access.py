"""How a board lets firmware in: user, password, path and largest image, from its config."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from enmctl.errors import SettingError
from enmctl.models import DiscoveredBoard

USER: Final = "ENM_OTA_USER"
PASSWORD: Final = "ENM_OTA_PASSWORD"  # noqa: S105 - the name of the variable
PATH: Final = "ENM_OTA_PATH"
MAX_SIZE: Final = "ENM_OTA_MAX_SIZE"

SECRETS: Final = frozenset({USER, PASSWORD})
"""Config that is for the gateway alone; a board is never handed it."""

HIDDEN: Final = "***"
"""What stands where a password stood."""

DEFAULT_PATH: Final = "/update"
"""Where ESP8266HTTPUpdateServer takes firmware unless the sketch says otherwise."""


@dataclass(frozen=True, slots=True)
class Access:
    """What it takes to update one board; ``max_size`` is bytes, None where nobody set it."""

    path: str = DEFAULT_PATH
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    max_size: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, str], board: DiscoveredBoard | None = None) -> Access:
        """Read it from config; what the board's address says goes before.

        Raises:
            SettingError: a value in the config cannot be used.
        """
        return cls(
            path=_path((board.path if board else "") or config.get(PATH) or DEFAULT_PATH),
            user=_user((board.user if board else "") or config.get(USER) or None),
            password=config.get(PASSWORD) or None,
            max_size=_max_size(config.get(MAX_SIZE) or None),
        )

    @property
    def headers(self) -> dict[str, str]:
        """The header that shows the credentials without being asked; none where there are none."""
        if self.user is None and self.password is None:
            return {}
        shown = f"{self.user or ''}:{self.password or ''}".encode()
        return {"Authorization": f"Basic {base64.b64encode(shown).decode()}"}


def shown(config: Mapping[str, str] | None) -> dict[str, str] | None:
    """The config as people and programs may see it: without the password."""
    if config is None:
        return None
    return {name: _hidden(name, value) for name, value in config.items()}


def _hidden(name: str, value: str) -> str:
    """A value of the config without the password, which somebody may have put behind the user's name."""
    if name == PASSWORD and value:
        return HIDDEN
    user, colon, _ = value.partition(":") if name == USER else (value, "", "")
    return f"{user}:{HIDDEN}" if colon else value


def _path(text: str) -> str:
    path = text if text.startswith("/") else f"/{text}"
    if not re.fullmatch(r"/[!-\"$-~]*", path):
        raise _unusable(PATH, text, "it must be a path like /update")
    return path


def _user(text: str | None) -> str | None:
    if text is not None and ":" in text:
        raise _unusable(
            USER, _hidden(USER, text), f"a user's name has no colon; a password behind it belongs into {PASSWORD}"
        )
    return text


def _max_size(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,9}", text.strip(), re.ASCII):
        raise _unusable(MAX_SIZE, text, "it must be a number of bytes")
    return int(text)


def _unusable(name: str, text: str, remedy: str) -> SettingError:
    """The error for a value in a config: somebody may set it right at any time, so it is not for good."""
    return SettingError(f"{name} in the config is {text!r}", remedy=remedy, reason="config", permanent=False)
