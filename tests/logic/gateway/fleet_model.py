"""A gateway without a gateway: ``decide`` turned over a made-up fleet on a clock of its own, with an honest witness.

The witness keeps its own record of what happened and judges by that alone, never by what the program computed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from enmctl.gateway.actions import Action, Pin, Record, Update
from enmctl.gateway.decide import Seen, Stored, decide
from enmctl.gateway.presence import Presence
from enmctl.models import Application, BoardKey, Desired, Device, DiscoveredBoard, ListedDevice, PinnedBy, Radio
from enmctl.policy import Policy

START = 1_800_000_000.0
STEP = 20.0
"""Seconds between two passes."""
TAKES = 70.0
"""Seconds of an update."""
RETRY = 50.0
UNWELL_AFTER, UNWELL_FOR = 30.0, 200.0
"""Seconds after which a board that is not well falls silent, and for how long."""


class Nature(Enum):
    """How a board takes to a version."""

    WELL = "well"
    FLAKY = "flaky"
    """Fails once."""
    REFUSES = "refuses"
    UNWELL = "unwell"
    """Comes to it and falls silent again."""


@dataclass(frozen=True)
class Fleet:
    """What is tried: two applications under one policy, boards with a nature for each version, and what people do.

    ``edits`` tells at which pass an application gets its next version; ``outages`` at which pass a board is off, and
    for how many.
    """

    policies: tuple[Policy, ...]
    boards: tuple[tuple[int, tuple[Nature, ...]], ...]
    edits: Mapping[int, int] = field(default_factory=dict)
    outages: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    at_once: int | None = None
    seed: int = 0


@dataclass
class _Job:
    commit: str
    ends_at: float


class BrokenPromiseError(AssertionError):
    """The program did what it must not do."""


class Model:
    """Plays a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.now = START
        self.versions = dict.fromkeys(range(1, len(fleet.policies) + 1), 0)
        self.devices: dict[str, Device] = {}
        self.natures: dict[str, tuple[Nature, ...]] = {}
        for number, (application, natures) in enumerate(fleet.boards):
            uuid = f"u{number}"
            device = Device(uuid, application, "esp8266", str(number), f"b{number}", first_listed=1, commit="v0")
            self.devices[uuid] = device
            self.natures[uuid] = natures
        self.jobs: dict[str, _Job] = {}
        self.off_until: dict[str, float] = {}
        self.silent_at: dict[str, float] = {}
        self.presence = Presence()
        self.came_at: dict[str, float] = {}
        self.witness = Witness(self)
        self._random = random.Random(fleet.seed)

    def commit_of(self, application: int) -> str:
        """What the application's boards should run."""
        return f"v{self.versions[application]}"

    @property
    def moment(self) -> float:
        """Now, by the clock that nobody sets."""
        return self.now - START

    def online(self, uuid: str) -> bool:
        """Whether a board answers now."""
        return self.now >= self.off_until.get(uuid, 0.0)

    def play(self, passes: int) -> None:
        """Turn so often, with everything that happens meanwhile."""
        for number in range(passes):
            if (application := self.fleet.edits.get(number)) is not None:
                self.versions[application] += 1
            if (outage := self.fleet.outages.get(number)) is not None:
                uuid, length = f"u{outage[0]}", outage[1]
                if uuid not in self.jobs:
                    self.off_until[uuid] = self.now + length * STEP
            self.step()

    def step(self) -> None:
        """One pass, and what comes of it until the next."""
        for uuid, job in list(self.jobs.items()):
            if self.now >= job.ends_at:
                del self.jobs[uuid]
                self._end(uuid, job.commit)
        for uuid, at in list(self.silent_at.items()):
            if self.now >= at and uuid not in self.jobs:
                del self.silent_at[uuid]
                self.off_until[uuid] = self.now + UNWELL_FOR
        self.witness.look()
        for action in self._decided():
            self._carry_out(action)
        self.witness.check_numbers()
        self.now += STEP

    def _decided(self) -> Sequence[Action]:
        seen = {
            device.key: Seen(_board(device.key), online=self.online(uuid))
            for uuid, device in self.devices.items()
            if device.key is not None
        }
        self.presence.note(seen, self.moment)
        applications = {
            number: Application(number, f"a{number}", "esp8266", self.commit_of(number), policy=policy)
            for number, policy in enumerate(self.fleet.policies, start=1)
        }
        listed = {
            uuid: ListedDevice(uuid, device.application_id, device.name, self.commit_of(device.application_id))
            for uuid, device in self.devices.items()
        }
        busy = {key for uuid in self.jobs if (key := self.devices[uuid].key) is not None}
        stored = Stored(
            list(self.devices.values()),
            busy=busy,
            there_since=self.presence.there_since,
            lost_at=self.presence.lost_at,
            came_at=self.came_at,
            moment=self.moment,
        )
        return decide(Desired(applications, listed, at_once=self.fleet.at_once), seen, stored, self.now)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Record(uuid, changes):
                self._change(uuid, **changes)
            case Pin(uuid, commit, target, _):
                self._change(uuid, pinned_commit=commit, pinned_target=target, pinned_by=PinnedBy.POLICY)
                self.witness.went_back(uuid, target)
            case Update(uuid, _, commit):
                self.witness.check_start(uuid, commit)
                self.jobs[uuid] = _Job(commit, self.now + TAKES * self._random.uniform(0.5, 1.5))
            case _:
                pass

    def _end(self, uuid: str, commit: str) -> None:
        device, nature = self.devices[uuid], self._nature(uuid, commit)
        is_first = not (device.failures and device.failed_target == commit)
        if not self.online(uuid) or nature is Nature.REFUSES or (nature is Nature.FLAKY and is_first):
            self.witness.failed(uuid, commit)
            self._change(
                uuid,
                failures=(0 if is_first else device.failures) + 1,
                failed_target=commit,
                failed_permanently=nature is Nature.REFUSES,
                failed_at=self.now,
                retry_at=self.now + RETRY,
            )
            return
        self.witness.succeeded(uuid, commit)
        self.came_at[uuid] = self.moment
        good = device.commit if device.commit not in (None, commit) and device.good_commit != commit else None
        self._change(
            uuid,
            commit=commit,
            commit_at=self.now,
            good_commit=good or device.good_commit,
            failures=0,
            failed_target=None,
            failed_permanently=False,
        )
        if nature is Nature.UNWELL:
            self.silent_at[uuid] = self.now + UNWELL_AFTER
        else:
            self.silent_at.pop(uuid, None)

    def _nature(self, uuid: str, commit: str) -> Nature:
        natures = self.natures[uuid]
        version = int(commit[1:])
        return natures[(version - 1) % len(natures)] if version else Nature.WELL

    def _change(self, uuid: str, **columns: Any) -> None:
        self.devices[uuid] = replace(self.devices[uuid], **columns)

    def next_event(self) -> float | None:
        """When something happens next of which time alone is the cause, while no board is in hand."""
        moments = [*self.off_until.values(), *self.silent_at.values()]
        for device in self.devices.values():
            policy = self.fleet.policies[device.application_id - 1]
            moments += [device.retry_at or 0.0, (device.commit_at or 0.0) + policy.well_for]
            if device.key is not None and (since := self.presence.there_since.get(device.key)) is not None:
                moments.append(self.now - self.moment + since + policy.well_for)
            if not policy.is_open(self.now):
                moments.append(policy.opens_at(self.now) or 0.0)
        return min((moment for moment in moments if moment >= self.now), default=None)

    def hopeless(self, uuid: str) -> bool:
        """Whether a board cannot be expected to be on its target in the end."""
        device = self.devices[uuid]
        commit = self.commit_of(device.application_id)
        policy = self.fleet.policies[device.application_id - 1]
        return self._nature(uuid, commit) in (Nature.REFUSES, Nature.UNWELL) or (
            policy.rollback and self.witness.gave_cause(uuid, commit, policy.tries)
        )


class Witness:
    """Judges what happens by its own record of it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._failing: dict[str, set[str]] = {}
        self._succeeded_at: dict[tuple[str, str], float] = {}
        self._back_since: dict[str, float] = {}
        self._times_failed: dict[tuple[str, str], int] = {}
        self._lost: set[tuple[str, str]] = set()

    def gave_cause(self, uuid: str, commit: str, tries: int) -> bool:
        """Whether a board was lost while it had to stay well, or failed too often, by no fault of the program."""
        return (uuid, commit) in self._lost or self._times_failed.get((uuid, commit), 0) >= tries

    def look(self) -> None:
        """Note which boards are there."""
        for uuid in self._model.devices:
            if not self._model.online(uuid):
                self._note_loss(uuid)
                self._back_since.pop(uuid, None)
            else:
                self._back_since.setdefault(uuid, self._model.now)

    def _note_loss(self, uuid: str) -> None:
        device = self._model.devices[uuid]
        policy = self._model.fleet.policies[device.application_id - 1]
        since = self._succeeded_at.get((uuid, device.commit or ""))
        if uuid in self._back_since and since is not None and self._model.now < since + policy.well_for:
            self._lost.add((uuid, device.commit or ""))

    def failed(self, uuid: str, commit: str) -> None:
        """An update failed."""
        self._times_failed[uuid, commit] = self._times_failed.get((uuid, commit), 0) + 1
        self._failing.setdefault(commit + self._suffix(uuid), set()).add(uuid)

    def went_back(self, uuid: str, commit: str) -> None:
        """A board goes back from a version, which therefore has failed on it."""
        self._failing.setdefault(commit + self._suffix(uuid), set()).add(uuid)

    def succeeded(self, uuid: str, commit: str) -> None:
        """An update succeeded."""
        self._failing.get(commit + self._suffix(uuid), set()).discard(uuid)
        self._succeeded_at[uuid, commit] = self._model.now

    def check_start(self, uuid: str, commit: str) -> None:
        """See that an update may begin now."""
        device = self._model.devices[uuid]
        policy = self._model.fleet.policies[device.application_id - 1]
        if policy.windows and not self._within(policy):
            raise BrokenPromiseError(f"{uuid} is touched outside the windows")
        is_retry = uuid in self._failing.get(commit + self._suffix(uuid), set())
        if commit != self._model.commit_of(device.application_id) or device.pin is not None or is_retry:
            return
        if policy.has_canaries:
            self._check_canaries(uuid, commit, policy)

    def check_numbers(self) -> None:
        """See that no more boards are in hand, and none more failed, than may be."""
        model = self._model
        if model.fleet.at_once is not None and len(model.jobs) > model.fleet.at_once:
            raise BrokenPromiseError(f"{len(model.jobs)} boards are in hand")
        for application, policy in enumerate(model.fleet.policies, start=1):
            mine = [uuid for uuid, device in model.devices.items() if device.application_id == application]
            in_hand = sum(uuid in model.jobs for uuid in mine)
            if policy.at_once is not None and in_hand > policy.at_once:
                raise BrokenPromiseError(f"{in_hand} boards of one application are in hand")
            most = policy.most_failures(len(mine))
            for commit, failing in self._failing.items():
                if most is not None and commit.endswith(f"/{application}") and len(failing) > most:
                    raise BrokenPromiseError(f"{commit} failed on {len(failing)} boards, and may on {most}")

    def _check_canaries(self, uuid: str, commit: str, policy: Policy) -> None:
        model = self._model
        application = model.devices[uuid].application_id
        mine = [other for other, device in model.devices.items() if device.application_id == application]
        well = {other for other in mine if self._is_well(other, commit, policy)}
        if policy.canaries:
            canaries = {other for other in mine if model.devices[other].name in policy.canaries}
            if uuid not in canaries and not (canaries and canaries <= well):
                raise BrokenPromiseError(f"{uuid} goes before the canaries {canaries - well}")
            return
        count = min(policy.canary_count, len(mine))
        touched = {other for (other, to) in self._succeeded_at if to == commit and other in mine}
        touched |= {other for other in mine if other in model.jobs and model.jobs[other].commit == commit}
        touched |= self._failing.get(f"{commit}/{application}", set())
        if len(touched) >= count > len(well):
            raise BrokenPromiseError(f"{uuid} goes while of {count} canaries {len(well)} are well")

    def _is_well(self, uuid: str, commit: str, policy: Policy) -> bool:
        since = self._succeeded_at.get((uuid, commit))
        back = self._back_since.get(uuid)
        if since is None or back is None or self._model.devices[uuid].commit != commit:
            return False
        return self._model.now >= max(since, back) + policy.well_for

    def _within(self, policy: Policy) -> bool:
        wall = datetime.fromtimestamp(self._model.now, UTC)
        minute = wall.hour * 60 + wall.minute
        return any(
            window.start <= minute < window.end
            if window.start < window.end
            else (minute >= window.start or minute < window.end)
            for window in policy.windows
        )

    def _suffix(self, uuid: str) -> str:
        return f"/{self._model.devices[uuid].application_id}"


def _board(key: BoardKey) -> DiscoveredBoard:
    return DiscoveredBoard("esp8266", *key, radio=Radio.WIFI, name=f"x_{key.local_id}", addresses=("127.0.0.1",))
