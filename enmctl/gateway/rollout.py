"""Whether a board may be worked on now, by the policy of its application: canaries, windows, limits, ways back.

Pure like ``decide``, which asks it; nothing is tallied for an application in a pass in which nobody asks. A source that
states no policy holds nothing back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from enmctl.gateway.actions import Configure, Pin, Restart, Update
from enmctl.models import Application, BoardKey, Desired, Device, DiscoveredBoard, PinnedBy, short
from enmctl.policy import Policy, is_named, wall_clock


class SeenBoard(Protocol):
    """What ``decide`` knows of a board that is heard."""

    @property
    def board(self) -> DiscoveredBoard:
        """The board."""
        ...

    @property
    def online(self) -> bool:
        """Whether it answers."""
        ...


@dataclass(slots=True)
class _Tally:
    """How far one application is with its version.

    ``tried`` are the boards that it goes to or went to, ``under_way`` those in hand now, ``failed`` those that it could
    not be brought to (yet), ``well`` those that run it and have stayed well for long enough.
    """

    boards: int = 0
    tried: set[BoardKey] = field(default_factory=set)
    failed: set[BoardKey] = field(default_factory=set)
    well: set[BoardKey] = field(default_factory=set)
    canaries: set[BoardKey] = field(default_factory=set)
    under_way: set[BoardKey] = field(default_factory=set)
    waiting: tuple[int, str] | None = None

    def watched(self, policy: Policy) -> set[BoardKey]:
        """The canaries that run it and have not stayed well for long enough yet."""
        first = self.tried if len(self.tried) <= policy.canary_count else set()
        canaries = self.canaries if policy.canaries else first
        return (canaries & self.tried) - self.well - self.failed - self.under_way


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the boards beyond their rows.

    ``busy`` are in hand; ``there_since`` tells since when one is there without a gap, ``lost_at`` when it was seen to
    go last, ``came_at`` when a device (by its uuid) was seen to come to its commit. These and ``moment``, which is now,
    are seconds of a clock that nobody sets.
    """

    moment: float = 0.0
    busy: Collection[BoardKey] = frozenset()
    there_since: Mapping[BoardKey, float] = field(default_factory=dict)
    lost_at: Mapping[BoardKey, float] = field(default_factory=dict)
    came_at: Mapping[str, float] = field(default_factory=dict)


class Rollout:
    """One pass's answers.

    Args:
        desired: what the source says, its policies among it.
        seen: what is heard, by board.
        devices: all that is stored.
        facts: what is known beyond that.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        desired: Desired,
        seen: Mapping[BoardKey, SeenBoard],
        devices: Sequence[Device],
        facts: Facts,
        now: float,
    ) -> None:
        self._desired = desired
        self._seen = seen
        self._devices = devices
        self._facts = facts
        self._now = now
        self._tallies: dict[int, _Tally] = {}
        self._in_hand: dict[int, int] | None = None

    def way_back(self, device: Device) -> Pin | None:
        """Where a device is to go back to that cannot be brought to its target, where policy asks for that."""
        policy = self._policy_of(device)
        target = device.target_commit
        if policy is None or not policy.rollback or target is None or device.pin is not None:
            return None
        back = good_commit_of(device, target)
        if back is None:
            return None
        if device.commit == target:
            if not self._was_lost(device, policy):
                return None
            why = f"it did not stay well on {short(target)}: it was lost while it was watched"
        elif device.failed_target == target and (device.failed_permanently or device.failures >= policy.tries):
            tries = "it refuses" if device.failed_permanently else f"{device.failures} tries failed at"
            why = f"{tries} {short(target)}"
        else:
            return None
        return Pin(device.uuid, back, target, why)

    def objection(self, device: Device, key: BoardKey, action: Update | Configure | Restart) -> str:
        """Why an action must not begin now, "" where it may; then it counts as begun for those asked about after it."""
        policy = self._policy_of(device)
        if policy is None or isinstance(action, Restart):
            return ""
        problem = closed(self._desired, device, self._now)
        if not problem and isinstance(action, Update) and device.pin is None:
            problem = self._trial(device, key, action, policy)
        problem = problem or self._crowd(device, policy)
        if not problem:
            self._begin(device, key, action)
        return problem

    def _policy_of(self, device: Device) -> Policy | None:
        application = self._desired.applications.get(device.application_id)
        return None if application is None else application.policy

    def _crowd(self, device: Device, policy: Policy) -> str:
        """Whether as many boards are in hand as may be, of the application or of all."""
        if self._in_hand is None:
            self._in_hand = {}
            for other in self._devices:
                if other.key in self._facts.busy:
                    self._in_hand[other.application_id] = self._in_hand.get(other.application_id, 0) + 1
        mine, all_boards = self._in_hand.get(device.application_id, 0), sum(self._in_hand.values())
        if policy.at_once is not None and mine >= policy.at_once:
            return f"{mine} of its application's boards are in hand, and no more at once"
        if self._desired.at_once is not None and all_boards >= self._desired.at_once:
            return f"{all_boards} boards are in hand, and no more at once"
        return ""

    def _trial(self, device: Device, key: BoardKey, action: Update, policy: Policy) -> str:
        """Whether a version may go to one more board; one on which it failed before may always be tried again."""
        application = self._desired.applications[device.application_id]
        if action.commit != application.commit:
            return ""
        tally = self._tally(application, policy)
        if key in tally.failed:
            return ""
        if policy.has_canaries and (problem := _canaries_first(tally, key, policy)):
            return problem
        most = policy.most_failures(tally.boards)
        at_stake = len(tally.failed | tally.under_way | (tally.watched(policy) if policy.rollback else set()))
        if most is None or at_stake < most:
            return ""
        if len(tally.failed) >= most:
            return f"stopped: {action.commit} failed on {len(tally.failed)} boards"
        return f"{action.commit} may fail on {most} boards, and so many are tried now, watched, or failed"

    def _begin(self, device: Device, key: BoardKey, action: Update | Configure) -> None:
        if self._in_hand is not None:
            self._in_hand[device.application_id] = self._in_hand.get(device.application_id, 0) + 1
        tally = self._tallies.get(device.application_id)
        if tally is not None and isinstance(action, Update) and device.pin is None:
            tally.tried.add(key)
            tally.under_way.add(key)

    def _tally(self, application: Application, policy: Policy) -> _Tally:
        tally = self._tallies.get(application.id)
        if tally is None:
            tally = self._tallies[application.id] = _Tally()
            for device in self._devices:
                if device.application_id == application.id and device.key is not None and not device.deleted:
                    self._count(tally, device, device.key, application.commit, policy)
        return tally

    def _count(self, tally: _Tally, device: Device, key: BoardKey, commit: str | None, policy: Policy) -> None:
        tally.boards += 1
        if policy.canaries and self._is_canary(device, key, policy):
            tally.canaries.add(key)
        if device.commit == commit and device.pin is None:
            tally.tried.add(key)
            if self._is_well(device, key, policy):
                tally.well.add(key)
        elif has_failed(device, commit):
            tally.failed.add(key)
            tally.tried.add(key)
        if key in self._facts.busy and device.commit != commit:
            tally.under_way.add(key)
            tally.tried.add(key)

    def _is_canary(self, device: Device, key: BoardKey, policy: Policy) -> bool:
        here = self._seen.get(key)
        words = [device.name, key.local_id, *(here.board.addresses if here is not None else ())]
        return any(is_named(word, pattern) for word in words for pattern in policy.canaries)

    def _is_well(self, device: Device, key: BoardKey, policy: Policy) -> bool:
        """Whether a device that runs its version has done so for long enough, and was there all the time."""
        here = self._seen.get(key)
        if here is None or not here.online:
            return False
        came_at = self._came_at(device)
        since = max(-math.inf if came_at is None else came_at, self._facts.there_since.get(key, -math.inf))
        return self._facts.moment >= since + policy.well_for

    def _came_at(self, device: Device) -> float | None:
        """When a device came to its commit, by the clock that nobody sets; None where that cannot be told.

        What an earlier run of the gateway wrote down is by a clock that may have been set since: what lies in the
        future says nothing.
        """
        seen = self._facts.came_at.get(device.uuid)
        if seen is not None:
            return seen
        if device.commit_at is None or device.commit_at > self._now:
            return None
        return self._facts.moment - (self._now - device.commit_at)

    def _was_lost(self, device: Device, policy: Policy) -> bool:
        """Whether a canary was lost while it had to stay well."""
        came_at = self._came_at(device)
        if device.key is None or came_at is None:
            return False
        lost_at = self._facts.lost_at.get(device.key)
        if lost_at is None or not came_at <= lost_at < came_at + policy.well_for:
            return False
        application = self._desired.applications[device.application_id]
        is_newest = device.commit == application.commit
        return is_newest and device.key in self._tally(application, policy).watched(policy)


def _canaries_first(tally: _Tally, key: BoardKey, policy: Policy) -> str:
    """Whether a board has to wait for others that come first."""
    if policy.canaries:
        if key in tally.canaries:
            return ""
        if not tally.canaries:
            return f"the canaries come first, and none is known yet ({', '.join(policy.canaries)})"
        waited_for = tally.canaries - tally.well
    else:
        count = min(policy.canary_count, tally.boards)
        if len(tally.tried) < count:
            return ""
        if len(tally.well) >= count:
            return ""
        waited_for = set(sorted(tally.tried - tally.well)[: count - len(tally.well)])
    if not waited_for:
        return ""
    if tally.waiting is None or tally.waiting[0] != len(tally.tried):  # the same for all that wait in a pass
        tally.waiting = len(tally.tried), _waits_for(waited_for, tally, policy)
    return tally.waiting[1]


def _waits_for(canaries: Collection[BoardKey], tally: _Tally, policy: Policy) -> str:
    failed = sorted(key.local_id for key in canaries if key in tally.failed)
    if failed:
        return f"stopped: it failed on canary {', '.join(failed)}"
    names = ", ".join(sorted(key.local_id for key in canaries))
    return f"canary {names} comes first, and must stay well for {policy.well_for:g} s"


def closed(desired: Desired, device: Device, now: float) -> str:
    """Why a device must not be touched at this time, "" where it may; what a person wants waits for no window."""
    application = desired.applications.get(device.application_id)
    policy = None if application is None else application.policy
    by_person = device.pin is not None and device.pinned_by is PinnedBy.PERSON
    if policy is None or by_person or policy.is_open(now):
        return ""
    opens_at = policy.opens_at(now)
    windows = ", ".join(map(str, policy.windows))
    if opens_at is None:
        return f"outside the maintenance window ({windows})"
    return f"outside the maintenance window ({windows}), which opens {wall_clock(opens_at, policy.zone):%a %H:%M}"


def has_failed(device: Device, commit: str | None) -> bool:
    """Whether a device could not be brought to a commit, or did not stay well on it."""
    if device.pinned_by is PinnedBy.POLICY and device.pin is not None and device.pinned_target == commit:
        return True
    return device.failures > 0 and device.failed_target == commit and device.commit != commit


def good_commit_of(device: Device, target: str | None) -> str | None:
    """The commit to which a device can go back from ``target``, None where none is known."""
    if device.commit is not None and device.commit != target:
        return device.commit
    return device.good_commit if device.good_commit != target else None
