"""The words of enmctl as plain typed data: no I/O, nothing that waits.

Times are seconds: ``*_at`` since the epoch, ``*_delay`` and ``*_timeout`` a span. Sizes are bytes. A config may hold
the password of a board, so it is in no ``repr``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from enmctl.policy import Membership, Policy

_HASH = re.compile(r"[0-9a-f]{32,}")


class Radio(StrEnum):
    """Which of the gateway's radios reaches a board."""

    WIFI = "wifi"
    BLUETOOTH = "bluetooth"


class DeviceStatus(StrEnum):
    """What the Supervisor is told of a device; the original's six words."""

    DOWNLOADING = "Downloading"
    INSTALLING = "Installing"
    STARTING = "Starting"
    STOPPING = "Stopping"
    IDLE = "Idle"
    OFFLINE = "Offline"


class GatewayStatus(StrEnum):
    """Whether the gateway works or leaves the radios to others."""

    RUNNING = "Running"
    PAUSED = "Paused"


class Stage(StrEnum):
    """How far one update of one device is."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    CHECKING = "checking"
    TRANSFERRING = "transferring"
    ACTIVATING = "activating"
    RETURNING = "returning"
    DONE = "done"


class Proof(StrEnum):
    """How it is known that a board runs the new firmware, the strongest first."""

    VERSION_READ_BACK = "version-read-back"
    CHECK_AND_RETURN = "check-and-return"
    CHECK_ALONE = "check-alone"
    """The board verified it and restarted, and nobody heard it since: most programs have no radio of their own."""
    RETURN_ALONE = "return-alone"


class Outcome(StrEnum):
    """How an attempt stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    INTERRUPTED = "interrupted"


class AttemptKind(StrEnum):
    """What an attempt tries."""

    UPDATE = "update"
    FLASH = "flash"
    RESTART = "restart"
    CONFIGURE = "configure"


class PinnedBy(StrEnum):
    """Who had a device go back to an earlier commit."""

    PERSON = "person"
    POLICY = "policy"


class BoardMode(StrEnum):
    """What a board runs now."""

    APPLICATION = "application"
    BOOTLOADER = "bootloader"


class BoardKey(NamedTuple):
    """Which board: the application that its firmware names, and its own id there."""

    application_id: int
    local_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of news of a running update.

    ``done`` of ``total`` bytes in the stages that move bytes; ``proof`` and ``version`` (what the board says it runs)
    come with ``Stage.DONE`` alone.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    note: str = ""
    proof: Proof | None = None
    version: str | None = None

    @property
    def percent(self) -> int | None:
        """Whole per cent of the bytes, or None in a stage that moves none."""
        return self.done * 100 // self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Application:
    """What a source says should run on the boards of one kind and purpose.

    ``board_type`` is None where the application's config names none (then it is skipped); ``problem`` says why.
    ``members`` are its boards, where its source says so itself; else they are those whose firmware names it.
    """

    id: int
    name: str
    board_type: str | None
    commit: str | None
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    problem: str = ""
    members: Membership | None = None
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A device as the source lists it: what should be, and what the source believes to be.

    ``target_commit`` is already the device's own or else its application's. None means "not said".
    """

    uuid: str
    application_id: int
    name: str | None = None
    target_commit: str | None = None
    target_config: Mapping[str, str] | None = field(default=None, repr=False)
    target_environment: Mapping[str, str] | None = None
    commit: str | None = None
    status: str | None = None
    is_online: bool | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """One whole answer of a source. ``asked_at`` is when the request left, by the loop's clock.

    ``at_once`` is how many boards of all applications together may be in hand at once; None for any number.
    """

    applications: Mapping[int, Application] = field(default_factory=dict)
    devices: Mapping[str, ListedDevice] = field(default_factory=dict)
    asked_at: float = 0.0
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What a source answers to a new device; ``listed`` is what its next list will say of it, where it knows that."""

    uuid: str
    name: str
    listed: ListedDevice | None = None


@dataclass(frozen=True, slots=True)
class DiscoveredBoard:
    """A board that a radio hears now.

    ``addresses`` are the radio's own (IP addresses with a scope, or a Bluetooth address), the best first.
    ``version`` is what the board says it runs, where it says so. ``signal`` is dBm. ``path`` and ``user`` come from an
    address that a person gave. ``named_application`` is what its firmware names, where the source has it looked after
    for another one.
    """

    board_type: str
    application_id: int | None
    local_id: str
    radio: Radio
    name: str
    addresses: tuple[str, ...]
    port: int | None = None
    path: str = ""
    version: str | None = None
    mode: BoardMode = BoardMode.APPLICATION
    signal: int | None = None
    user: str = ""
    named_application: int | None = None

    @property
    def key(self) -> BoardKey:
        """The board's key; a board that names no application counts for application 0."""
        return BoardKey(self.application_id or 0, self.local_id)

    @property
    def place(self) -> tuple[Radio, tuple[str, ...], int | None]:
        """Where it is; a bootloader at one place may be taken for boards of several types."""
        return self.radio, self.addresses, self.port

    @property
    def short_name(self) -> str:
        """What stands in the brackets of its name, as a micro:bit shows it on its LEDs; else the whole name."""
        _, bracket, inside = self.name.partition("[")
        return inside.rstrip("]") if bracket else self.name

    @property
    def call_name(self) -> str:
        """What people call it by: the name that its LEDs show, else its id, for nothing else is its own."""
        is_shown = "[" in self.name and not self.short_name.isdigit()
        return self.short_name if is_shown else self.local_id


@dataclass(frozen=True, slots=True)
class Device:
    """A board that has been provisioned, as the store holds it.

    ``local_id`` is None for a device that the source lists and no board is known to be. ``config`` and ``environment``
    are None until they were first applied. ``target_config`` and ``target_environment`` are None until first heard.
    ``deleted`` marks one that stays deleted while its board still advertises; ``unlisted`` is true once the source was
    seen not to list it (if it lists it again, somebody brought it back). ``held_target`` is the target at which a flash
    by hand is to be left alone. ``failures`` counts failed attempts for ``failed_target``. ``first_listed`` is the
    serial number of the list in which the source first showed the device, None for one that was never listed.
    ``commit_at`` is when it came to its commit; ``good_commit`` the last other one that it is known to have run, kept
    to go back to. ``pinned_commit`` is what it is to run instead of ``pinned_target`` for as long as that is its
    target, and ``pinned_by`` who said so.
    """

    uuid: str
    application_id: int
    board_type: str
    local_id: str | None = None
    name: str = ""
    commit: str | None = None
    target_commit: str | None = None
    config: Mapping[str, str] | None = field(default=None, repr=False)
    target_config: Mapping[str, str] | None = field(default=None, repr=False)
    environment: Mapping[str, str] | None = None
    target_environment: Mapping[str, str] | None = None
    restart_wanted: bool = False
    deleted: bool = False
    unlisted: bool = False
    held_target: str | None = None
    failures: int = 0
    failed_target: str | None = None
    failed_permanently: bool = False
    failed_at: float | None = None
    retry_at: float | None = None
    first_listed: int | None = None
    commit_at: float | None = None
    good_commit: str | None = None
    pinned_commit: str | None = None
    pinned_target: str | None = None
    pinned_by: PinnedBy | None = None

    @property
    def key(self) -> BoardKey | None:
        """The key of the board that this device is, or None while no board is known to be it."""
        return None if self.local_id is None else BoardKey(self.application_id, self.local_id)

    @property
    def pin(self) -> str | None:
        """The commit that stands in for the target, for as long as that is the one at which it was pinned."""
        return self.pinned_commit if self.pinned_target == self.target_commit else None

    @property
    def wanted_commit(self) -> str | None:
        """What it is to run now: its pin, else its target."""
        return self.pin or self.target_commit

    def changed(self, changes: Mapping[str, Any]) -> Device:
        """It with other values by their names, as ``dataclasses.replace`` makes it, in half the time.

        Raises:
            KeyError: it has no value of such a name.
        """
        values = list(_VALUES(self))
        for name, value in changes.items():
            values[_PLACES[name]] = value
        return Device(*values)


_NAMES = tuple(each.name for each in fields(Device))
_VALUES = attrgetter(*_NAMES)
_PLACES = {name: place for place, name in enumerate(_NAMES)}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one device, journalled before its first byte.

    ``stages`` maps a stage to the second at which it began, counted from ``started_at``.
    """

    id: int
    kind: AttemptKind
    application_id: int
    local_id: str
    uuid: str | None
    commit: str | None
    started_at: float
    ended_at: float | None = None
    outcome: Outcome = Outcome.RUNNING
    proof: Proof | None = None
    reason: str = ""
    message: str = ""
    sent: int = 0
    size: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """A provisioning that was journalled before the request left, and whose end is not known yet.

    ``list_serial`` is the number of the last list before the request; a device first listed later is new since.
    ``asked`` is false while the request has not left.
    """

    key: BoardKey
    board_type: str
    list_serial: int
    asked_at: float
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a device's log, kept for ``enmctl logs``."""

    id: int
    at: float
    uuid: str
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a source is told of one device; None is left out of the telling."""

    status: DeviceStatus | None = None
    is_online: bool | None = None
    commit: str | None = None
    config: Mapping[str, str] | None = field(default=None, repr=False)
    environment: Mapping[str, str] | None = None
    download_progress: int | None = None

    def fields(self) -> dict[str, Any]:
        """The fields that are told, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


SHORT = 8
"""Letters by which a commit that is a hash is known to people."""

SHORT_VERSION = 32
"""Letters of a commit that a person has named."""


def short(commit: str | None) -> str:
    """A commit as people are shown it: the beginning of a hash, and a version that somebody named as it is."""
    text = commit or ""
    return text[:SHORT] if _HASH.fullmatch(text) else text[:SHORT_VERSION]
