"""A whole fleet file with its firmware, checked, and what it comes to as desired state."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enmctl.errors import FleetError
from enmctl.models import Application, Desired, Device, ListedDevice
from enmctl.sources.fleet import identities
from enmctl.sources.fleet.document import Document, FleetApplication, FleetDevice, Reader
from enmctl.sources.fleet.places import Places, line_and_column
from enmctl.sources.fleet.releases import Release, ReleaseReader, Releases
from enmctl.sources.fleet.sections import Fault
from enmctl.sources.fleet.states import States, look_at

FILE_MOST: Final = 64 << 20
"""Bytes of a fleet file; 10 000 devices are about 1 MB."""

FAULTS_MOST: Final = 100
"""So many are told of; who has more of them has made one mistake often."""

SYNTAX_PLACE: Final = re.compile(
    r"(?s)(?P<problem>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)"
)
"""How ``tomllib`` ends a message up to Python 3.13; later ones keep to it."""

TABLE_NAME: Final = re.compile(r"\('[^()]*'(?:, '[^()]*')*,?\)")
"""How ``tomllib`` writes a table's name."""

BACKSLASH: Final = "in double quotes a backslash is written twice, in single ones it stands for itself"
SYNTAX_HINTS: Final = {
    "Invalid value": "text stands in quotes",
    "Cannot overwrite a value": "the same key stands further up",
    "Cannot declare": "it stands further up, or is made of a value there; put together what belongs together",
    "Invalid initial character for a key part": "a table in { } stands on one line, without a comma at its end",
    "Invalid hex value": BACKSLASH,
    "Unescaped": BACKSLASH,
}
"""What people mostly did where ``tomllib`` says so."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet file that was found right; ``own`` are the devices of each application by their boards' ids."""

    path: Path
    document: Document
    releases: Mapping[str, Mapping[str | None, Release]]
    own: Mapping[str, Mapping[str, FleetDevice]]

    def by_commit(self) -> Releases:
        """Every release by application and commit."""
        return {
            (self.document.applications[name].id, release.commit): release
            for name, releases in self.releases.items()
            for release in releases.values()
        }

    def desired(self, known: Iterable[Device]) -> Desired:
        """What should be, of applications and of the devices that are known."""
        document = self.document
        names = {application.id: name for name, application in document.applications.items()}
        devices = {}
        for device in known:
            name = names.get(device.application_id)
            if name is not None and device.local_id is not None:
                listed = self.listed(name, device.uuid, device.local_id)
                if listed is not None:
                    devices[device.uuid] = listed
        applications = {
            application.id: self._application(application) for application in document.applications.values()
        }
        return Desired(applications, devices, at_once=document.at_once)

    def listed(self, name: str, uuid: str, local_id: str) -> ListedDevice | None:
        """What the file says of one device of an application; None where it does not want it looked after."""
        application = self.document.applications[name]
        own = self.own[name].get(local_id.lower())
        if own is None and not application.members.is_open:
            return None
        release = self.releases[name][own.version if own is not None else None]
        return ListedDevice(
            uuid=uuid,
            application_id=application.id,
            name=own.name if own is not None else identities.device_name(name, local_id),
            target_commit=release.commit,
            target_config={**application.config, **(own.config if own is not None else {})},
            target_environment={**application.environment, **(own.environment if own is not None else {})},
        )

    def name_of(self, application_id: int) -> str | None:
        """What the file calls an application."""
        applications = self.document.applications.values()
        return next((each.name for each in applications if each.id == application_id), None)

    def _application(self, application: FleetApplication) -> Application:
        return Application(
            id=application.id,
            name=application.name,
            board_type=application.board_type,
            commit=self.releases[application.name][None].commit,
            config=dict(application.config),
            members=application.members,
            policy=application.policy,
        )


def read_fleet(path: Path, board_types: Collection[str], *, most: int, seen: States | None = None) -> Fleet:
    """Read a fleet file and the firmware that it names.

    Args:
        path: the file.
        board_types: the types for which a driver is installed.
        most: bytes of the largest firmware file that is taken.
        seen: where each file whose change makes another fleet of it is noted, in its state before it was read.

    Raises:
        FleetError: something is wrong; each fault with its line and column.
    """
    seen = {} if seen is None else seen
    look_at(path, seen)
    text = text_of(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FleetError.of([_syntax_fault(path, text, error)], remedy=remedy_for(path)) from None
    except ValueError as error:
        raise FleetError.of([_number_fault(path, text, error)], remedy=remedy_for(path)) from None
    except RecursionError:
        raise FleetError.of([f"{path}:1:1: it is nested too deeply"], remedy=remedy_for(path)) from None
    reader = Reader(board_types)
    document = reader.read(values)
    if document is None:
        raise faulty(path, text, reader.faults)
    release_reader = ReleaseReader(path.parent, most, seen)
    releases = release_reader.read(document)
    if release_reader.faults:
        raise faulty(path, text, release_reader.faults)
    own: dict[str, dict[str, FleetDevice]] = {name: {} for name in document.applications}
    for device in document.devices.values():
        own[device.application][device.board] = device
    return Fleet(path, document, releases, own)


def remedy_for(path: Path) -> str:
    """What to do about faults in a fleet file."""
    return f"put it right; enmctl fleet check {shlex.quote(str(path))} tells when it is"


def text_of(path: Path) -> str:
    """What a fleet file holds.

    Raises:
        FleetError: it is not there, cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MOST + 1)
    except OSError as error:
        raise FleetError.of(
            [f"the fleet file {path} cannot be read: {error.strerror}"],
            remedy="see ENM_FLEET_FILE or --fleet; enmctl fleet init writes one",
        ) from error
    if len(data) > FILE_MOST:
        raise FleetError.of([f"{path} is larger than {FILE_MOST} bytes"])
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise FleetError.of([f"{path}:{line}:{column}: this is not UTF-8"], remedy="save it as UTF-8") from None


def _syntax_fault(path: Path, text: str, error: tomllib.TOMLDecodeError) -> str:
    match = SYNTAX_PLACE.fullmatch(str(error))
    if match is None:
        return f"{path}: {error}"
    line, column = match["line"], match["column"]
    if line is None:
        line, column = map(str, line_and_column(text, len(text)))
    problem = TABLE_NAME.sub(lambda keys: f"[{'.'.join(ast.literal_eval(keys[0]))}]", match["problem"])
    hint = next((hint for words, hint in SYNTAX_HINTS.items() if problem.startswith(words)), "")
    return f"{path}:{line}:{column}: this is no TOML: {problem[:1].lower()}{problem[1:]}{hint and ': '}{hint}"


def _number_fault(path: Path, text: str, error: ValueError) -> str:
    """What to say of a number that is too long for Python; ``tomllib`` lets that through without a place."""
    longest = max(re.finditer(r"[0-9][0-9_]*", text), key=lambda match: len(match[0]), default=None)
    line, column = (1, 1) if longest is None else line_and_column(text, longest.start())
    digits = sys.get_int_max_str_digits()
    if longest is None or len(longest[0]) <= digits:
        return f"{path}: this is no TOML: {error}"
    return f"{path}:{line}:{column}: so large a number cannot be read: it must have {digits} digits at most"


def faulty(path: Path, text: str, faults: Iterable[Fault]) -> FleetError:
    """The error that tells of faults in a fleet file's text, from its beginning to its end."""
    places = Places(text)
    placed = sorted({(places.offset(fault.keys, of_key=fault.of_key), fault.problem) for fault in faults})
    lines = []
    for offset, problem in placed[:FAULTS_MOST]:
        line, column = line_and_column(text, offset)
        lines.append(f"{path}:{line}:{column}: {problem}")
    return FleetError.of(lines, remedy=remedy_for(path), untold=max(0, len(placed) - FAULTS_MOST))
