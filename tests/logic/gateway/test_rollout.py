"""Policy in decide(): canaries first, windows, limits, the way back; each rule is one small example."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from enmctl.gateway.actions import Action, Configure, Hold, Pin, Restart, Tell, Update
from enmctl.gateway.claiming import claimed
from enmctl.gateway.decide import Seen, Stored, decide
from enmctl.gateway.planning import planned
from enmctl.gateway.remaining import Around
from enmctl.models import Application, BoardKey, Desired, Device, DiscoveredBoard, ListedDevice, PinnedBy, Radio
from enmctl.policy import Membership, Policy, Window

OLD, NEW = "1.0-aaaaaaaa", "1.1-bbbbbbbb"
NOW = 1_800_000_000.0
MOMENT = 5_000.0
"""The same moment, by the clock that nobody sets."""


def device(number: int, **fields: Any) -> Device:
    known: dict[str, Any] = {"commit": OLD, "target_commit": NEW, "first_listed": 1, "commit_at": NOW - 86_400}
    return Device(f"u{number}", 7, "esp8266", str(number), f"lamp-{number}", **(known | fields))


def board(number: int, application_id: int | None = 7) -> DiscoveredBoard:
    return DiscoveredBoard("esp8266", application_id, str(number), Radio.WIFI, f"x_{number}", ("10.0.0.9",), 80)


def decided(
    policy: Policy,
    *devices: Device,
    at_once: int | None = None,
    offline: tuple[int, ...] = (),
    now: float = NOW,
    **more: Any,
) -> list[Action]:
    listed = {each.uuid: ListedDevice(each.uuid, 7, each.name, each.target_commit) for each in devices}
    desired = Desired({7: Application(7, "lamps", "esp8266", NEW, policy=policy)}, listed, at_once=at_once)
    numbers = [int(each.local_id or 0) for each in devices]
    seen = {BoardKey(7, str(number)): Seen(board(number), online=number not in offline) for number in numbers}
    actions = decide(desired, seen, Stored(devices, **({"moment": MOMENT} | more)), now)
    return [action for action in actions if not isinstance(action, Tell)]


def updates(actions: list[Action]) -> list[str]:
    return [action.uuid for action in actions if isinstance(action, Update)]


def reasons(actions: list[Action]) -> dict[str, str]:
    return {action.work.uuid: action.why for action in actions if isinstance(action, Hold)}


def key(number: int) -> BoardKey:
    return BoardKey(7, str(number))


def test_without_a_policy_nothing_is_held_back() -> None:
    assert updates(decided(Policy(), *map(device, range(1, 9)))) == [f"u{number}" for number in range(1, 9)]


def test_no_more_boards_are_in_hand_than_may_be_of_an_application_and_of_all() -> None:
    assert updates(decided(Policy(at_once=2), *map(device, range(1, 5)))) == ["u1", "u2"]
    assert updates(decided(Policy(at_once=2), *map(device, range(1, 5)), busy={key(1)})) == ["u2"]
    assert updates(decided(Policy(), *map(device, range(1, 5)), at_once=3, busy={key(4)})) == ["u1", "u2"]
    held = decided(Policy(at_once=1), device(1), device(2), busy={key(1)})
    assert reasons(held) == {"u2": "1 of its application's boards are in hand, and no more at once"}


def test_so_many_boards_come_first_and_the_others_once_they_stayed_well() -> None:
    policy = Policy(canary_count=1, well_for=60.0)
    assert updates(decided(policy, *map(device, (1, 2, 3)))) == ["u1"]
    there = {key(number): MOMENT - 900 for number in (1, 2, 3)}
    fresh = device(1, commit=NEW, commit_at=NOW - 59)
    waiting = decided(policy, fresh, device(2), device(3), there_since=there)
    assert updates(waiting) == []
    assert reasons(waiting)["u2"] == "canary 1 comes first, and must stay well for 60 s"
    well = replace(fresh, commit_at=NOW - 60)
    assert updates(decided(policy, well, device(2), device(3), there_since=there)) == ["u2", "u3"]
    came_back = {**there, key(1): MOMENT - 10}
    assert updates(decided(policy, well, device(2), device(3), there_since=came_back)) == []
    assert updates(decided(policy, well, device(2), device(3), offline=(1,))) == []


def test_named_boards_come_first_and_all_of_them() -> None:
    policy = Policy(canaries=("lamp-3", "2"))
    assert updates(decided(policy, *map(device, (1, 2, 3)))) == ["u2", "u3"]
    one_done = decided(policy, device(1), device(2, commit=NEW), device(3), busy={key(3)})
    assert updates(one_done) == []
    assert updates(decided(policy, device(1), device(2, commit=NEW), device(3, commit=NEW))) == ["u1"]
    assert "none is known yet" in reasons(decided(Policy(canaries=("bench",)), device(1)))["u1"]
    badge = replace(device(2), name="BBC micro:bit [zuziv]")
    assert updates(decided(Policy(canaries=("BBC micro:bit [zuziv]",)), device(1), badge)) == ["u2"]


def test_a_failed_canary_stops_the_others_and_may_be_tried_again_itself() -> None:
    policy = Policy(canary_count=1)
    failed = device(1, failures=1, failed_target=NEW, failed_at=NOW - 100, retry_at=NOW - 10)
    actions = decided(policy, failed, device(2))
    assert updates(actions) == ["u1"]
    assert reasons(actions) == {"u2": "stopped: it failed on canary 1"}


def test_a_version_goes_to_no_more_boards_than_it_may_fail_on() -> None:
    policy = Policy(stop_after=2)
    assert updates(decided(policy, *map(device, range(1, 6)))) == ["u1", "u2"], "both may yet fail"
    failed = device(1, failures=1, failed_target=NEW, failed_permanently=True)
    assert updates(decided(policy, failed, *map(device, range(2, 6)))) == ["u2"]
    stopped = decided(policy, failed, replace(failed, uuid="u2", local_id="2"), device(3))
    assert updates(stopped) == []
    assert reasons(stopped) == {"u3": f"stopped: {NEW} failed on 2 boards"}
    assert updates(decided(Policy(stop_share=0.5), failed, *map(device, range(2, 6)))) == ["u2"]


def closed_window() -> Policy:
    """A window that is not open at NOW in UTC."""
    minute = int(NOW // 60) % (24 * 60)
    return Policy(windows=(Window((minute + 60) % 1440, (minute + 120) % 1440),), zone="UTC")


def test_outside_its_window_nothing_is_touched_but_what_a_person_wants() -> None:
    policy = closed_window()
    hand_over = device(2, commit=NEW, target_environment={"A": "1"})
    actions = decided(policy, device(1), hand_over, device(3, restart_wanted=True))
    assert [type(action) for action in actions] == [Hold, Hold, Restart]
    assert "outside the maintenance window" in reasons(actions)["u1"]
    assert isinstance(actions[1], Hold)
    assert actions[1].work == Configure("u2", key(2))
    person = device(1, commit=NEW, pinned_commit=OLD, pinned_target=NEW, pinned_by=PinnedBy.PERSON)
    assert updates(decided(policy, person)) == ["u1"]
    assert updates(decided(policy, replace(person, pinned_by=PinnedBy.POLICY))) == []


def test_a_board_that_cannot_be_brought_to_a_version_goes_back_where_policy_asks_for_it() -> None:
    failed = device(1, commit=None, good_commit=OLD, failures=3, failed_target=NEW, failed_at=0.0, retry_at=0.0)
    assert updates(decided(Policy(), failed)) == ["u1"]
    back = decided(Policy(rollback=True), failed)
    assert back == [Pin("u1", OLD, NEW, f"3 tries failed at {NEW}"), Update("u1", key(1), OLD)]
    assert [type(action) for action in decided(Policy(rollback=True, tries=4), failed)] == [Update]
    refused = device(1, failures=1, failed_target=NEW, failed_permanently=True)
    assert decided(Policy(rollback=True), refused) == [Pin("u1", OLD, NEW, f"it refuses {NEW}")], "it still runs it"
    nowhere = replace(failed, good_commit=None)
    assert updates(decided(Policy(rollback=True), nowhere)) == ["u1"]


def test_a_board_that_was_lost_while_it_had_to_stay_well_goes_back() -> None:
    policy = Policy(canary_count=1, well_for=60.0, rollback=True)
    unwell = device(1, commit=NEW, commit_at=NOW - 50, good_commit=OLD)
    [pin, update, hold] = decided(policy, unwell, device(2), lost_at={key(1): MOMENT - 20})
    assert isinstance(pin, Pin)
    assert "lost while it was watched" in pin.why
    assert update == Update("u1", key(1), OLD)
    assert isinstance(hold, Hold)
    assert decided(policy, unwell, lost_at={key(1): MOMENT - 51}) == [], "that was before it came to it"
    later = replace(unwell, commit_at=NOW - 90)
    assert decided(policy, later, lost_at={key(1): MOMENT - 20}) == [], "that was when it had been well for long enough"


HOUR = 3_600.0


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_clock_that_was_set_neither_opens_nor_blocks_the_gate_that_a_canary_keeps(step: float) -> None:
    policy = Policy(canary_count=1, well_for=60.0)
    there = {key(number): MOMENT - 900 for number in (1, 2)}

    def goes_on(came_ago: float, **more: Any) -> bool:
        canary = device(1, commit=NEW, commit_at=NOW - came_ago)
        actions = decided(policy, canary, device(2), now=NOW + step, there_since=there | more.pop("there", {}), **more)
        return updates(actions) == ["u2"]

    assert not goes_on(59, came_at={"u1": MOMENT - 59})
    assert goes_on(60, came_at={"u1": MOMENT - 60})
    assert not goes_on(900, there={key(1): MOMENT - 59}), "came by an earlier run of the gateway"
    assert goes_on(900, there={key(1): MOMENT - 60})


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_canary_that_was_lost_goes_back_although_the_clock_was_set(step: float) -> None:
    policy = Policy(canary_count=1, well_for=60.0, rollback=True)
    unwell = device(1, commit=NEW, commit_at=NOW - 50, good_commit=OLD)
    lost: dict[str, Any] = {"lost_at": {key(1): MOMENT - 20}, "came_at": {"u1": MOMENT - 50}}
    [pin, _] = decided(policy, unwell, now=NOW + step, **lost, there_since={key(1): MOMENT - 10})
    assert isinstance(pin, Pin)


def test_a_device_that_went_back_counts_as_failed_and_comes_forward_with_another_target() -> None:
    policy = Policy(canary_count=1, rollback=True)
    back = device(1, pinned_commit=OLD, pinned_target=NEW, pinned_by=PinnedBy.POLICY, good_commit=OLD)
    assert reasons(decided(policy, back, device(2))) == {"u2": "stopped: it failed on canary 1"}
    assert updates(decided(policy, back)) == []
    newer = replace(back, target_commit="1.2-cccccccc")
    assert [action.commit for action in decided(policy, newer) if isinstance(action, Update)] == ["1.2-cccccccc"]


def test_a_pin_holds_under_a_source_without_a_policy_too() -> None:
    pinned = device(1, commit=NEW, pinned_commit=OLD, pinned_target=NEW, pinned_by=PinnedBy.PERSON)
    assert decided(None, pinned) == [Update("u1", key(1), OLD)]  # type: ignore[arg-type] # as a Supervisor has it
    assert decided(None, replace(pinned, commit=OLD)) == []  # type: ignore[arg-type]


def test_a_device_with_its_own_version_waits_for_no_canary() -> None:
    policy = Policy(canaries=("bench",))
    assert updates(decided(policy, device(1, target_commit="0.9-dddddddd"), device(2))) == ["u1"]


def test_the_plan_says_why() -> None:
    desired = Desired({7: Application(7, "lamps", "esp8266", NEW)})
    devices = [device(1), device(2, commit=None, failures=2, failed_target=NEW)]
    actions: list[Action] = [
        Update("u1", key(1), NEW),
        Hold(Update("u2", key(2), NEW), "it must"),
        Pin("u2", OLD, NEW, "it failed"),
    ]
    first, second, third = planned(actions, devices, desired, Around({}, NOW))
    assert (first.kind, first.name, first.application) == ("update", "lamp-1", "lamps")
    assert first.why == f"it runs {OLD}, and its target is {NEW}"
    assert (second.kind, second.why, second.commit, second.is_work) == ("wait", "it must", NEW, True)
    assert (third.kind, third.commit) == ("roll back", OLD)


MINE = Application(1, "mine", "esp8266", NEW, members=Membership(("x_*",), listed=frozenset({"5"})))
THEIRS = Application(2, "theirs", "esp8266", NEW, members=Membership(applications=frozenset({7})))


@pytest.mark.parametrize(
    ("number", "applications", "expected", "words"),
    [
        (1, [MINE], 1, ""),
        (1, [MINE, THEIRS], None, "mine and theirs both claim it"),
        (5, [MINE, THEIRS], 1, ""),
        (1, [replace(MINE, board_type="microbit"), THEIRS], 2, ""),
        (1, [replace(MINE, members=Membership(("y",)))], None, ""),
        (1, [replace(MINE, members=None)], 7, ""),
    ],
)
def test_a_board_is_whose_the_source_says(
    number: int, applications: list[Application], expected: int | None, words: str
) -> None:
    given, problem = claimed(board(number), Desired({each.id: each for each in applications}))
    assert given.application_id == expected
    assert words in problem
    assert given.named_application == (7 if expected in (1, 2) else None)
