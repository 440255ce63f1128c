"""What the Supervisor's dependent-device API says, read strictly by shape and leniently by value.

Source of the facts: ``src/proxyvisor`` of balena-supervisor 2.5 to 14.7. One odd entry is left out and complained of;
an answer that is odd as a whole is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from enmctl.errors import SourceAnswerError
from enmctl.models import Application, Desired, ListedDevice

HOST_TYPES = ("BALENA_HOST_TYPE", "RESIN_HOST_TYPE")
"""The config variables that name an application's board type; the first that is set wins."""

UUID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}", re.ASCII)
"""Opaque, but it stands in paths and lines: 62 hex digits in the Supervisor's documents, 32 from later clouds."""

LARGEST = (1 << 63) - 1
"""The largest id that the database holds."""

COMPLAINTS_MOST = 100
"""So many odd entries of one answer are told apart."""

NAME_MOST = 255
"""Characters of a name; what is longer is cut."""

NAMES_SHOWN = 8
"""So many names of an odd object stand in a line."""


def read_json(body: bytes, what: str) -> Any:
    """The JSON in a body. Raises SourceAnswerError where there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise SourceAnswerError(
            f"the Supervisor answered {what} with something that is no JSON ({len(body)} bytes)",
            remedy="check that BALENA_SUPERVISOR_ADDRESS (or RESIN_…) is a Supervisor's",
        ) from None


class DesiredReader:
    """Reads one pair of answers.

    Args:
        board_types: the installed types, in lower case.

    Attributes:
        complaints: what was odd, a line each.
    """

    def __init__(self, board_types: Collection[str]) -> None:
        self._board_types = board_types
        self._shared: dict[str, Mapping[str, str]] = {}
        self.complaints: list[str] = []

    def read(self, applications: bytes, devices: bytes, *, asked_at: float) -> Desired:
        """What should be. Raises SourceAnswerError where an answer is no list."""
        known: dict[int, Application] = {}
        for entry in self._entries(applications, "the list of applications"):
            if (application := self._application(entry)) is not None:
                known[application.id] = application
        listed: dict[str, ListedDevice] = {}
        for entry in self._entries(devices, "the list of devices"):
            if (device := self._device(entry, known)) is not None:
                listed[device.uuid] = device
        return Desired(known, listed, asked_at)

    def _entries(self, body: bytes, what: str) -> list[Any]:
        entries = read_json(body, what)
        if not isinstance(entries, list):
            raise SourceAnswerError(
                f"the Supervisor answered {what} with {type(entries).__name__}, not a list",
                remedy="the last good answer stays in force",
            )
        return entries

    def _complain(self, text: str) -> None:
        if len(self.complaints) < COMPLAINTS_MOST:
            self.complaints.append(text)

    def _application(self, entry: Any) -> Application | None:
        application_id = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if application_id is None:
            self._complain(f"an application without an id is left out ({shown(entry)})")
            return None
        config = self._texts(entry.get("config"), f"config of application {application_id}") or {}
        board_type, problem = self._board_type(entry.get("config"))
        return Application(
            id=application_id,
            name=line(entry.get("name")) or str(application_id),
            board_type=board_type,
            commit=text(entry.get("commit")),
            config=config,
            problem=problem,
        )

    def _board_type(self, config: Any) -> tuple[str | None, str]:
        """The board type that a config names, or None and what is wrong with it."""
        installed = ", ".join(sorted(self._board_types))
        if not isinstance(config, dict):
            return None, "it has no config, so no board type: set RESIN_HOST_TYPE in its fleet configuration"
        name, value = next(((name, config[name]) for name in HOST_TYPES if config.get(name)), ("", None))
        if value is None:
            return None, f"its config has no RESIN_HOST_TYPE: set it to one of {installed}"
        if not isinstance(value, str):
            return None, f"its {name} is {shown(value)}, which is no text: set it to one of {installed}"
        board_type = value.strip().lower()
        if board_type not in self._board_types:
            return None, f"its {name} is {value[:60]!r}, for which no driver is installed: set it to one of {installed}"
        return board_type, ""

    def _device(self, entry: Any, applications: Mapping[int, Application]) -> ListedDevice | None:
        if not isinstance(entry, dict):
            self._complain(f"a device that is no object is left out ({shown(entry)})")
            return None
        uuid, application_id = identifier(entry.get("uuid")), whole_number(entry.get("appId"))
        if uuid is None or application_id is None:
            self._complain(f"a device without uuid or appId is left out ({shown(entry)})")
            return None
        application = applications.get(application_id)
        whose = f"of device {uuid[:8]}"
        return ListedDevice(
            uuid=uuid,
            application_id=application_id,
            name=line(entry.get("name")) or None,
            target_commit=text(entry.get("targetCommit")) or (application.commit if application else None),
            target_config=self._texts(entry.get("targetConfig"), f"targetConfig {whose}"),
            target_environment=self._texts(entry.get("targetEnvironment"), f"targetEnvironment {whose}"),
            commit=text(entry.get("commit")),
            status=text(entry.get("status")),
            is_online=_truth(entry.get("is_online")),
        )

    def _texts(self, value: Any, what: str) -> Mapping[str, str] | None:
        """Names and values as text; None where nothing is said. Equal maps are one object: fleets repeat them."""
        if value is None:
            return None
        if not isinstance(value, dict):
            self._complain(f"{what} is no object and is left out")
            return None
        texts: dict[str, str] = {}
        for name, item in value.items():
            if isinstance(item, str):
                texts[_clean(name)] = _clean(item)
            elif isinstance(item, (bool, int, float)):
                texts[_clean(name)] = json.dumps(item)
            else:
                self._complain(f"{line(name)} in {what} is no text and is left out")
        return self._shared.setdefault(repr(texts), texts)


def text(value: Any) -> str | None:
    """A text that says something, else None."""
    return _clean(value) if isinstance(value, str) and value else None


def line(value: Any) -> str:
    """A text as it may stand in a line for people, "" where there is none."""
    words = value[:NAME_MOST].split() if isinstance(value, str) else ()
    return _clean("".join(sign if sign.isprintable() else "?" for sign in " ".join(words)))


def identifier(value: Any) -> str | None:
    """A device's uuid, else None."""
    return value if isinstance(value, str) and UUID.fullmatch(value) else None


def whole_number(value: Any) -> int | None:
    """A positive whole number, given as one or as text, else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= LARGEST else None


def shown(value: Any) -> str:
    """What an odd value is, in a line for people; not what is in it, for that may be a password."""
    if isinstance(value, dict):
        names = [line(name)[:30] for name in list(value)[:NAMES_SHOWN]]
        return f"an object with {', '.join(names)}" if names else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a text of {len(value)} characters" if isinstance(value, str) else json.dumps(value)[:30]


def _clean(value: str) -> str:
    """A text that can be stored and sent: JSON can spell halves of characters, which no encoding has."""
    return value.encode("utf-8", "replace").decode()


def _truth(value: Any) -> bool | None:
    """``is_online`` comes as 1, 0, null or a boolean."""
    return bool(value) if isinstance(value, (bool, int)) else None
