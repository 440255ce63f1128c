"""What a fleet file says, as typed data; docs/fleet-file.md tells it to people.

Nothing here looks beyond the text: the firmware files that it names are read by ``enmctl.sources.fleet.releases``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from enmctl.policy import Membership, Policy
from enmctl.sources.fleet import identities
from enmctl.sources.fleet.minisign import PublicKey
from enmctl.sources.fleet.places import Keys
from enmctl.sources.fleet.policies import read_policy
from enmctl.sources.fleet.sections import Fault, Section, quoted

NAME: Final = r"(?!\.)[A-Za-z0-9._-]{1,64}"
NAME_ALLOWED: Final = "1 to 64 letters, digits, dots, _ and -"
SHA256: Final = r"[0-9a-fA-F]{64}"
SHA256_ALLOWED: Final = "the 64 hex digits that sha256sum prints"
URL: Final = re.compile(r"https://[^\s/?#@]+/\S*", re.IGNORECASE)
SECRET: Final = re.compile(r"(?<=://)[^/?#]*(?=@)|(?<=\?).*", re.DOTALL)
"""What of a URL is told to nobody: a user with a password, and the query, which may be a token."""

POLICY_ALLOWED: Final = "a table like { canaries = 1 }"
NO_NAME: Final = "firmware.bin"
"""What firmware is called whose URL names no file."""

FIRMWARE_ALLOWED: Final = "a path, or the https URL of a file, without user and password"
SIGNATURE_ALLOWED: Final = "the path of a .minisig file, or beside a firmware URL an https URL too"
PLACE: Final = r"[^\x00-\x1f\x7f-\x9f]+"
"""A path or a URL: without the control characters that no file's name should have, and one cannot."""

BOARD: Final = r"[^\s/\\\x00-\x1f\x7f-\x9f]{1,63}"
BOARD_ALLOWED: Final = "a board's own id, as enmctl scan shows it"
APPLICATION_MOST: Final = (1 << 53) - 1
"""The largest whole number that every JSON reader takes as it is."""

DEVICE: Final = r"(?! )[^\x00-\x1f\x7f-\x9f]{1,64}(?<! )"
DEVICE_ALLOWED: Final = "1 to 64 letters, digits or signs"
BLUETOOTH: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A Bluetooth address, or what macOS tells in its place."""

EVERY: Final = "*"
"""The pattern of all names."""

PROVISION_WAYS: Final = ("all", "listed")


@dataclass(frozen=True, slots=True)
class FirmwareEntry:
    """Firmware as the file names it: ``where`` is a path or an https URL, ``keys`` the way to it in the file.

    ``signature`` is None where it lies beside the firmware, under the same name with ``.minisig`` after it.
    """

    where: str
    keys: Keys
    version: str | None = None
    sha256: str | None = None
    public_key: PublicKey | None = None
    signature: str | None = None

    @property
    def is_url(self) -> bool:
        """Whether it is fetched from elsewhere."""
        return is_url(self.where)

    @property
    def name(self) -> str:
        """What its file is called, without its folder."""
        return PurePosixPath(unquote(urlsplit(self.where).path) if self.is_url else self.where).name or NO_NAME

    @property
    def has_signature_here(self) -> bool:
        """Whether its signature is a file, and not fetched too."""
        return not is_url(self.signature or self.where)


def is_url(where: str) -> bool:
    """Whether a place in a fleet file is elsewhere, and no path."""
    return "://" in where


def told(where: str) -> str:
    """A place as it may be told: a URL without what may be secret in it."""
    return SECRET.sub("***", where) if is_url(where) else where


@dataclass(frozen=True, slots=True)
class FleetApplication:
    """One application; ``versions`` are further ones, which single devices may be pinned to."""

    name: str
    id: int
    board_type: str
    firmware: FirmwareEntry
    versions: Mapping[str, FirmwareEntry]
    members: Membership
    policy: Policy
    config: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FleetDevice:
    """One device that the file says something of; ``board`` is its board's own id, in lower case."""

    name: str
    application: str
    board: str
    version: str | None = None
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole fleet file."""

    applications: Mapping[str, FleetApplication]
    devices: Mapping[str, FleetDevice]
    at_once: int | None


class Reader:
    """Reads one file.

    Args:
        board_types: the types for which a driver is installed.

    Attributes:
        faults: everything that is wrong with it.
    """

    def __init__(self, board_types: Collection[str]) -> None:
        self._board_types = sorted(board_types)
        self.faults: list[Fault] = []

    def read(self, values: Mapping[str, Any]) -> Document | None:
        """What the parsed file says, None where ``faults`` has something."""
        top = Section(values, (), self.faults)
        policy_section = top.section("policy", POLICY_ALLOWED)
        fleet_policy, at_once = Policy(), None
        if policy_section is not None:
            fleet_policy = read_policy(policy_section, Policy())
            at_once = fleet_policy.at_once
            fleet_policy = replace(fleet_policy, at_once=None)
        sections = top.sections("applications", "a table for each application, like [applications.lamps]")
        if not sections:
            top.fault("applications", "the file has no application: say what should run, like [applications.lamps]")
        device_sections = top.sections("devices", "a table for each device, like [devices.kitchen]")
        devices = {
            name: device
            for name, section in device_sections.items()
            if (device := self._device(name, section, list(sections))) is not None
        }
        applications = {
            name: application
            for name, section in sections.items()
            if (application := self._application(name, section, devices.values(), fleet_policy)) is not None
        }
        top.end()
        self._check_devices(applications, devices)
        self._check_claims(applications)
        return None if self.faults else Document(applications, devices, at_once)

    def _application(
        self, name: str, section: Section, devices: Collection[FleetDevice], fleet_policy: Policy
    ) -> FleetApplication | None:
        if not re.fullmatch(NAME, name):
            section.fault_at((), f"{quoted(name)} cannot be the name of an application: it must be {NAME_ALLOWED}")
        board_type = self._board_type(section)
        firmware = self._firmware(section, section.text("version", NAME, NAME_ALLOWED))
        versions = {
            version: entry
            for version, below in section.sections(
                "versions", 'a table for each version, like { firmware = "lamps-1.3.0.bin" }'
            ).items()
            if (entry := self._version(version, below, firmware)) is not None
        }
        policy_section = section.section("policy", POLICY_ALLOWED)
        policy = fleet_policy if policy_section is None else read_policy(policy_section, fleet_policy)
        listed = frozenset(device.board for device in devices if device.application == name)
        members = self._members(section, listed)
        number = section.whole("id", 1, APPLICATION_MOST)
        if number is None:
            named = members.applications
            number = next(iter(named)) if len(named) == 1 else identities.application_id(name)
        config, environment = section.mapping("config"), section.mapping("environment")
        section.end()
        if firmware is None or board_type is None:
            return None
        return FleetApplication(
            name, number, board_type, firmware, versions, members, policy, config=config, environment=environment
        )

    def _board_type(self, section: Section) -> str | None:
        allowed = f"an installed board type: {', '.join(self._board_types)}"
        board_type = section.text("board", allowed=allowed, required=True)
        if board_type is not None and board_type not in self._board_types:
            section.fault("board", f"no driver for {board_type!r} boards is installed: it must be {allowed}")
            return None
        return board_type

    def _firmware(
        self, section: Section, version: str | None, known_key: PublicKey | None = None
    ) -> FirmwareEntry | None:
        """Firmware; ``known_key`` is what it is signed by where it names no key of its own."""
        where = section.text("firmware", PLACE, FIRMWARE_ALLOWED, required=True)
        sha256 = section.text("sha256", SHA256, SHA256_ALLOWED)
        key = self._public_key(section) or known_key
        signature = section.text("signature", PLACE, SIGNATURE_ALLOWED)
        if where is None:
            return None
        entry = FirmwareEntry(
            where, (*section.keys, "firmware"), version, sha256.lower() if sha256 else None, key, signature
        )
        if entry.is_url and not URL.fullmatch(where):
            section.fault("firmware", f"{told(where)!r} cannot be fetched: it must be {FIRMWARE_ALLOWED}")
        elif entry.is_url and "sha256" not in section:
            section.fault("firmware", f"{told(where)} needs a sha256 beside it: {SHA256_ALLOWED}")
        if signature is not None and key is None and "public_key" not in section:
            section.fault("signature", "a signature needs a public_key beside it, by which it is checked")
        elif signature is not None and is_url(signature) and not (entry.is_url and URL.fullmatch(signature)):
            section.fault("signature", f"{told(signature)!r} cannot be `signature`: it must be {SIGNATURE_ALLOWED}")
        return entry

    def _version(self, version: str, section: Section, current: FirmwareEntry | None) -> FirmwareEntry | None:
        if not re.fullmatch(NAME, version):
            section.fault_at((), f"{quoted(version)} cannot be a version: it must be {NAME_ALLOWED}")
        entry = self._firmware(section, version, None if current is None else current.public_key)
        section.end()
        return entry

    @staticmethod
    def _public_key(section: Section) -> PublicKey | None:
        allowed = "a minisign public key, like RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
        text = section.text("public_key", allowed=allowed)
        if text is None:
            return None
        try:
            return PublicKey.parse(text)
        except ValueError:
            section.fault("public_key", f"{text!r} is no public key: it must be {allowed}")
            return None

    def _members(self, section: Section, listed: frozenset[str]) -> Membership:
        way = section.text("provision", "|".join(PROVISION_WAYS), 'one of "all" and "listed"') or "all"
        boards = section.section("boards", 'a table like { names = ["lamp-*"] }')
        if boards is None:
            if way == "all" and "boards" not in section:
                problem = 'say which boards are its own, like boards = { names = ["lamp-*"] }, or provision = "listed"'
                section.fault("boards", f"[{'.'.join(map(str, section.keys))}] has no boards: {problem}")
            return Membership(listed=listed, is_open=False)
        names = boards.list_of("names", str, 'a pattern like "lamp-*"', bool)
        allowed = "an IP or Bluetooth address, as enmctl scan shows it, without a port"
        addresses = boards.list_of("addresses", str, allowed, _is_address)
        numbers = boards.list_of(
            "applications",
            int,
            "the number of an application that firmware names",
            lambda number: 0 <= number <= APPLICATION_MOST,
        )
        boards.end()
        if not names and not addresses and not numbers and not self.faults:
            section.fault("boards", "it names no board: it must have names, addresses or applications")
        return Membership(
            tuple(names), frozenset(map(str.lower, addresses)), frozenset(numbers), listed, is_open=way == "all"
        )

    def _device(self, name: str, section: Section, applications: list[str]) -> FleetDevice | None:
        if not re.fullmatch(DEVICE, name):
            section.fault_at((), f"{quoted(name)} cannot be the name of a device: it must be {DEVICE_ALLOWED}")
        board = section.text("board", BOARD, BOARD_ALLOWED, required=True)
        application = section.text("application", allowed="the name of an application in this file")
        if application is None and "application" not in section and len(applications) == 1:
            application = applications[0]
        known = ", ".join(applications)
        if application is None and "application" not in section:
            section.fault_at((), f"[devices.{name}] has no application: it must be one of {known}")
        elif application is not None and application not in applications:
            section.fault("application", f"there is no application {application!r} here: it must be one of {known}")
            application = None
        version = section.text("version", NAME, NAME_ALLOWED)
        config, environment = section.mapping("config"), section.mapping("environment")
        section.end()
        if board is None or application is None:
            return None
        return FleetDevice(name, application, board.lower(), version, config, environment)

    def _check_devices(self, applications: Mapping[str, FleetApplication], devices: Mapping[str, FleetDevice]) -> None:
        boards: dict[tuple[str, str], str] = {}
        for name, device in devices.items():
            application = applications.get(device.application)
            if application is None:
                continue
            known = [*application.versions, *filter(None, [application.firmware.version])]
            if device.version is not None and device.version not in known:
                allowed = f"one of {', '.join(sorted(known))}" if known else "one of its versions, and it has none"
                problem = f"{device.application} has no version {device.version!r}: it must be {allowed}"
                self.faults.append(Fault(("devices", name, "version"), problem))
            other = boards.setdefault((application.board_type, device.board), name)
            if other != name:
                problem = f"{other} and {name} are the same board, {device.board}: leave one of them out"
                self.faults.append(Fault(("devices", name, "board"), problem))

    def _check_claims(self, applications: Mapping[str, FleetApplication]) -> None:
        """See that no board is claimed by two applications, as far as the file alone can tell."""
        earlier: list[FleetApplication] = []
        for application in applications.values():
            for other in earlier:
                if other.id == application.id:
                    problem = f"{other.name} and {application.name} are both application {application.id}"
                    keys: Keys = ("applications", application.name, "id")
                    self.faults.append(Fault(keys, f"{problem}: give one of them another id"))
                elif other.board_type == application.board_type:
                    for part, what in _both_claim(other.members, application.members):
                        problem = f"{other.name} and {application.name} both claim {what}: leave it to one of them"
                        keys = ("applications", application.name, "boards", part)
                        self.faults.append(Fault(keys, problem))
            earlier.append(application)


def _is_address(text: str) -> bool:
    if BLUETOOTH.fullmatch(text):
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _both_claim(first: Membership, second: Membership) -> list[tuple[str, str]]:
    """What two applications of one board type both claim: where that stands in the second, and what it is."""
    if not first.is_open or not second.is_open:
        return []
    if EVERY in first.names or EVERY in second.names:
        return [("names", "boards, for one of them takes every board of its type")]
    found = [("applications", f"the boards of application {number}") for number in _both(first, second)]
    found += [("addresses", f"the board at {address}") for address in first.addresses & second.addresses]
    found += [
        ("names", f"boards called {theirs if fnmatchcase(theirs, ours) else ours}")
        for ours in first.names
        for theirs in second.names
        if fnmatchcase(ours, theirs) or fnmatchcase(theirs, ours)
    ]
    return found


def _both(first: Membership, second: Membership) -> list[int]:
    return sorted(first.applications & second.applications)
