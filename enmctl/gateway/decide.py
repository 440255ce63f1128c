"""What to do next, from what should be, what is there, and what is known: a pure function.

It reads no clock, no file and no socket, and changes nothing it is given; the same arguments give the same actions.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enmctl.gateway.actions import (
    Action,
    Complain,
    Configure,
    Hold,
    Inquire,
    Meet,
    Provision,
    Record,
    Restart,
    Tell,
    Update,
)
from enmctl.gateway.rollout import Facts, Rollout
from enmctl.models import (
    Application,
    BoardKey,
    BoardMode,
    Desired,
    Device,
    DeviceStatus,
    DiscoveredBoard,
    ListedDevice,
    PinnedBy,
    Report,
)
from enmctl.store.rows import NO_FAILURES

COMMIT = re.compile(r"[0-9a-f]{40}")
"""What a commit of the Supervisor looks like."""


def commit_of(version: str | None) -> str | None:
    """The commit that a board tells as its version; None where it tells none, or a word of its builder's own."""
    return version if version is not None and COMMIT.fullmatch(version) else None


@dataclass(frozen=True, slots=True)
class Seen:
    """A board as discovery sees it; ``rivals`` are further places where a board of the same key answers."""

    board: DiscoveredBoard
    online: bool
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What the source was told of a device last, in full, and when."""

    report: Report
    at: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known beyond one pass.

    ``devices`` has the deleted ones too. ``busy`` are boards that a worker has in hand: they are left alone.
    ``hooked`` tells when a hook last set a device's target, ``told`` what the source knows.
    ``settled`` is false while the radios have not listened long enough to call a board offline that nobody heard, or
    that was heard and has not been asked yet.
    ``heard`` is false until the source has answered once; ``list_serial`` numbers its answers. ``there_since`` tells
    since when a board is online without a gap, ``lost_at`` when it was seen to go last, ``came_at`` when a device was
    seen to come to its commit by this run of the gateway. These three, ``hooked`` and ``moment``, which is now, are by
    the loop's clock, which nobody sets; other times are seconds since the epoch.
    """

    devices: Sequence[Device]
    busy: Collection[BoardKey] = frozenset()
    hooked: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, Told] = field(default_factory=dict)
    settled: bool = True
    heard: bool = True
    list_serial: int = 0
    report_interval: float = 300.0
    there_since: Mapping[BoardKey, float] = field(default_factory=dict)
    lost_at: Mapping[BoardKey, float] = field(default_factory=dict)
    came_at: Mapping[str, float] = field(default_factory=dict)
    moment: float = 0.0


def decide(desired: Desired, seen: Mapping[BoardKey, Seen], stored: Stored, now: float) -> list[Action]:
    """All that should be done now; boards that wait in their bootloaders come first.

    Args:
        desired: the source's last answer.
        seen: what discovery hears, by board.
        stored: what is known beyond this pass.
        now: seconds since the epoch.
    """
    actions: list[Action] = []
    stranded: list[Action] = []
    taken: set[BoardKey] = set()
    facts = Facts(stored.moment, stored.busy, stored.there_since, stored.lost_at, stored.came_at)
    rollout = Rollout(desired, seen, stored.devices, facts, now)
    for device in stored.devices:
        key = device.key
        if key is not None:
            taken.add(key)
        current = _take_up(device, desired, stored, actions)
        if current is not None and key is not None and key not in stored.busy:
            current = _sent_back(current, rollout, actions)
            here = seen.get(key)
            is_stranded = here is not None and here.board.mode is BoardMode.BOOTLOADER
            (stranded if is_stranded else actions).extend(_for_device(current, key, here, stored, now, rollout=rollout))
    if stored.heard:
        actions.extend(_for_strangers(desired, stored))
        actions.extend(_for_boards(desired, seen, taken, stored))
    return stranded + actions


def _take_up(device: Device, desired: Desired, stored: Stored, actions: list[Action]) -> Device | None:
    """Add what is to be noted of a device; return it as it is then, or None where it is not to be looked after now."""
    listed = desired.devices.get(device.uuid)
    if device.deleted:
        if stored.heard and (changes := _reappearance(device, listed, stored)):
            actions.append(Record(device.uuid, changes))
        return None
    if listed is not None:
        changes = _news(device, listed, desired, stored)
        if not changes:
            return device
        actions.append(Record(device.uuid, changes))
        return device.changed(changes)
    if stored.heard and device.first_listed is not None:
        actions.append(Inquire(device.uuid))
        return None
    return device


def _sent_back(device: Device, rollout: Rollout, actions: list[Action]) -> Device:
    """Add that a device goes back to its last good commit, where policy has it do so; return it as it is then."""
    pin = rollout.way_back(device)
    if pin is None:
        return device
    actions.append(pin)
    pinned = {"pinned_commit": pin.commit, "pinned_target": pin.target, "pinned_by": PinnedBy.POLICY}
    return device.changed(pinned)


def _for_device(
    device: Device, key: BoardKey, here: Seen | None, stored: Stored, now: float, *, rollout: Rollout
) -> Iterator[Action]:
    """What to do with a device that nobody works on: work that its board is there for, else the report that is due."""
    online = here is not None and here.online
    if here is not None and online and not here.rivals:
        work = _work(device, key, here.board, now)
        if work is not None:
            problem = rollout.objection(device, key, work)
            if not problem or isinstance(work, Restart):
                yield work
                return
            yield Hold(work, problem)
    if not online and not stored.settled:
        return
    told = stored.told.get(device.uuid)
    report = _due_report(device, told, online=online, interval=stored.report_interval, now=now)
    if report is not None:
        yield Tell(device.uuid, report)


def _is_hooked_later(uuid: str, desired: Desired, stored: Stored) -> bool:
    """Whether a hook spoke after the list was asked for: what it said stands until a later list."""
    hooked_at = stored.hooked.get(uuid)
    return hooked_at is not None and hooked_at >= desired.asked_at


def _reappearance(device: Device, listed: ListedDevice | None, stored: Stored) -> dict[str, Any]:
    """A deleted device that the source stopped listing is marked so; one that it lists again was brought back.

    One that is listed for the first time was only made: it was deleted before any list showed it.
    """
    if listed is None:
        return {} if device.unlisted or device.first_listed is None else {"unlisted": True}
    if device.unlisted:
        return {"deleted": False, "unlisted": False}
    return {"first_listed": stored.list_serial} if device.first_listed is None else {}


def _news(device: Device, listed: ListedDevice, desired: Desired, stored: Stored) -> dict[str, Any]:
    """The columns in which the source's list says something new; null says nothing."""
    changes: dict[str, Any] = {}
    if device.first_listed is None:
        changes["first_listed"] = stored.list_serial
    if listed.name and listed.name != device.name:
        changes["name"] = listed.name
    if _is_hooked_later(device.uuid, desired, stored):
        return changes
    if listed.target_commit is not None and listed.target_commit != device.target_commit:
        changes["target_commit"] = listed.target_commit
    if listed.target_config is not None and listed.target_config != device.target_config:
        changes["target_config"] = listed.target_config
    if listed.target_environment is not None and listed.target_environment != device.target_environment:
        changes["target_environment"] = listed.target_environment
    if device.failures and changes:
        application = desired.applications.get(device.application_id)
        if is_remedied(device, device.changed(changes), {} if application is None else application.config):
            changes |= NO_FAILURES
    return changes


def is_remedied(device: Device, then: Device, shared: Mapping[str, str]) -> bool:
    """Whether a device is to have another config or environment than it failed with, so that it is tried again at once.

    ``shared`` is its application's config. The first list that names a new device says nothing else for the most part.
    """
    before, after = ({**shared, **(each.target_config or {})} for each in (device, then))
    return before != after or device.target_environment not in (None, then.target_environment)


def _work(device: Device, key: BoardKey, board: DiscoveredBoard, now: float) -> Restart | Configure | Update | None:
    if device.restart_wanted:
        return Restart(device.uuid, key)
    if board.mode is BoardMode.BOOTLOADER:
        return _bring_out(device, key, now)
    if is_on_target(device) and not _runs_another_commit(device, board):
        return Configure(device.uuid, key) if needs_configuring(device) and may_try(device, now) else None
    wanted = device.wanted_commit
    if wanted is not None and (may_try(device, now) or board.version == wanted):
        return Update(device.uuid, key, wanted)
    return None


def _bring_out(device: Device, key: BoardKey, now: float) -> Update | None:
    """Send a board its target that waits in its bootloader: whatever it ran, it has no whole program now.

    One without a target gets back what it ran, which is its last good commit where its update broke off.
    """
    wanted = device.wanted_commit or device.commit or device.good_commit
    return Update(device.uuid, key, wanted) if wanted is not None and may_try(device, now, wanted) else None


def is_on_target(device: Device) -> bool:
    """Whether nothing is to be sent: no target, what is wanted runs, or a flash by hand is to be left alone."""
    wanted = device.wanted_commit
    is_held = device.held_target is not None and device.held_target == device.target_commit
    return wanted is None or wanted == device.commit or is_held


def _runs_another_commit(device: Device, board: DiscoveredBoard) -> bool:
    """Whether the board itself says that it runs another commit than we believe: somebody else flashed it.

    A version that is no commit (as "1.2") proves nothing; a flash by hand that is held is meant to differ.
    """
    runs, believed = commit_of(board.version), commit_of(device.commit)
    return runs is not None and believed not in (None, runs, device.held_target)


def is_behind(device: Device, board: DiscoveredBoard | None) -> bool:
    """Whether something is to be done with a device, now or later; ``board`` is what is heard of it, if anything is."""
    if device.restart_wanted or not is_on_target(device) or needs_configuring(device):
        return True
    if board is None:
        return False
    if board.mode is BoardMode.BOOTLOADER:
        return device.wanted_commit is not None or device.commit is not None
    return _runs_another_commit(device, board)


def needs_configuring(device: Device) -> bool:
    """Whether the config or environment that should be has not been applied yet."""
    return (device.target_config is not None and device.target_config != device.config) or (
        device.target_environment is not None and device.target_environment != device.environment
    )


def may_try(device: Device, now: float, commit: str | None = None) -> bool:
    """Whether a device's failures let it try its target now, or another commit that is named.

    A clock that was set back must not make it wait longer: a failure that lies in the future holds nothing up.
    """
    if device.failures == 0 or device.failed_target != (commit or device.wanted_commit):
        return True
    if device.failed_permanently:
        return False
    return not (device.failed_at or 0.0) <= now < (device.retry_at or 0.0)


def full_report(device: Device, *, online: bool) -> Report:
    """All that a source can be told of a device that nobody works on."""
    return Report(
        status=DeviceStatus.IDLE if online else DeviceStatus.OFFLINE,
        is_online=online,
        commit=device.commit,
        config=device.config,
        environment=device.environment,
    )


def _due_report(device: Device, told: Told | None, *, online: bool, interval: float, now: float) -> Report | None:
    """The whole report where one is due, else what has changed since the last, else None."""
    if told is None or _is_old(device.uuid, now - told.at, interval):
        return full_report(device, online=online)
    known = told.report
    if (
        known.is_online is online
        and known.status is (DeviceStatus.IDLE if online else DeviceStatus.OFFLINE)
        and known.commit == device.commit
        and known.config == device.config
        and known.environment == device.environment
    ):
        return None
    known_fields = known.fields()
    fields = full_report(device, online=online).fields()
    changes = {name: value for name, value in fields.items() if known_fields.get(name) != value}
    return Report(**changes) if changes else None


def _is_old(uuid: str, age: float, interval: float) -> bool:
    """Whether a full report is to be made again; one from the future, by a clock that was set back, is old too.

    Devices have a share of the interval each, from a half to all of it and always the same, so that reports do not come
    in one burst.
    """
    if 0 <= age < interval / 2:
        return False
    return not 0 <= age < interval * (0.5 + zlib.crc32(uuid.encode()) / 0x2_0000_0000)


def _for_strangers(desired: Desired, stored: Stored) -> Iterator[Action]:
    """Devices that the source lists and nobody has met yet."""
    known = {device.uuid for device in stored.devices}
    if known.issuperset(desired.devices):
        return
    for uuid, listed in desired.devices.items():
        application = desired.applications.get(listed.application_id)
        if uuid not in known and application is not None:
            yield Meet(listed, application.board_type or "")


def _for_boards(
    desired: Desired, seen: Mapping[BoardKey, Seen], taken: Collection[BoardKey], stored: Stored
) -> Iterator[Action]:
    for application in desired.applications.values():
        if application.problem:
            yield Complain(f"application {application.id} ({application.name})", application.problem)
    for key, here in seen.items():
        application_of_board = desired.applications.get(key.application_id)
        if application_of_board is None or application_of_board.board_type is None:
            continue
        if problem := _obstacle(application_of_board, here):
            yield Complain(f"board {key.local_id} of application {key.application_id}", problem)
        elif here.online and key not in taken and key not in stored.busy:
            yield Provision(key.application_id, here.board)


def _obstacle(application: Application, here: Seen) -> str:
    if here.board.board_type != application.board_type:
        return f"it is a {here.board.board_type}, and the application is for {application.board_type}: left alone"
    if here.rivals:
        places = ", ".join(here.rivals)
        return f"more than one board answers to this id (also at {places}): none is touched until one is left"
    return ""
