"""What a plan says of devices that are not as they are to be, and about which a pass does nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from enmctl.gateway.decide import Seen, Stored, decide
from enmctl.gateway.planning import Planned, planned
from enmctl.gateway.remaining import Around
from enmctl.models import (
    Application,
    BoardKey,
    BoardMode,
    Desired,
    Device,
    DiscoveredBoard,
    ListedDevice,
    PinnedBy,
    Radio,
)
from enmctl.policy import Policy

OLD, NEW = "1.0-aaaaaaaa", "1.1-bbbbbbbb"
NOW = 1_800_000_000.0
KEY = BoardKey(7, "101")
BOARD = DiscoveredBoard("esp8266", 7, "101", Radio.WIFI, "esp8266_7_101", ("10.42.0.9",), 80)
BEHIND = Device("u1", 7, "esp8266", "101", "lamp", commit=OLD, target_commit=NEW, first_listed=1)
ONLINE = Seen(BOARD, online=True)


def plan(device: Device, here: Seen | None, policy: Policy | None = None, **around: Any) -> list[Planned]:
    """What a pass would do that finds this device's board so."""
    listed = ListedDevice(device.uuid, 7, device.name, device.target_commit)
    desired = Desired({7: Application(7, "lamps", "esp8266", NEW, policy=policy)}, {device.uuid: listed})
    seen = {} if here is None else {here.board.key: here}
    stored = Stored([device], busy=around.get("in_hand", {}))
    rows = planned(decide(desired, seen, stored, NOW), [device], desired, Around(seen, NOW, **around))
    return [row for row in rows if row.kind != "report"]


@pytest.mark.parametrize(
    ("here", "around", "why"),
    [
        (None, {}, "it is offline: not heard"),
        (replace(ONLINE, online=False), {}, "it is offline: not heard"),
        (None, {"settled": False}, "it is not heard yet"),
        (None, {"paused": True}, "the gateway is paused"),
        (ONLINE, {"in_hand": {KEY: "Installing 44 %"}}, "it is in hand: Installing 44 %"),
        (ONLINE, {"in_hand": {KEY: ""}, "paused": True}, "it is in hand"),
    ],
)
def test_a_device_that_is_behind_and_not_touched_waits_with_its_reason(
    here: Seen | None, around: dict[str, Any], why: str
) -> None:
    [row] = plan(BEHIND, here, **around)
    assert (row.kind, row.name, row.board, row.application, row.commit) == ("wait", "lamp", "101", "lamps", NEW)
    assert row.why == why
    assert row.fields()["todo"] is True


@pytest.mark.parametrize("around", [{}, {"settled": False}, {"paused": True}, {"in_hand": {KEY: "Stopping"}}])
def test_a_device_that_is_as_it_is_to_be_waits_for_nothing(around: dict[str, Any]) -> None:
    at_rest = replace(BEHIND, commit=NEW)
    for here in (None, ONLINE):
        assert plan(at_rest, here, **around) == []
    held = replace(BEHIND, held_target=NEW)
    assert plan(held, None, **around) == []
    assert plan(replace(BEHIND, deleted=True), None, **around) == []


@pytest.mark.parametrize(
    "changes", [{"target_config": {"A": "1"}}, {"target_environment": {"A": "1"}}, {"restart_wanted": True}]
)
def test_other_work_than_an_update_waits_too(changes: dict[str, Any]) -> None:
    [row] = plan(replace(BEHIND, commit=NEW, **changes), None)
    assert (row.kind, row.why) == ("wait", "it is offline: not heard")


def test_a_device_that_failed_waits_for_another_target_or_for_its_time() -> None:
    failed = replace(BEHIND, failures=2, failed_target=NEW, failed_at=NOW - 1, retry_at=NOW + 60)
    [row] = plan(failed, ONLINE)
    at = time.strftime("%H:%M:%S", time.localtime(NOW + 60))
    assert (row.kind, row.why) == ("wait", f"it waits until {at}, after 2 failed tries")
    [row] = plan(replace(failed, failed_permanently=True), ONLINE)
    assert (row.kind, row.why) == ("wait", f"it waits for another target: it refuses {NEW}")


def test_a_board_that_waits_in_its_bootloader_or_is_two_boards_waits() -> None:
    bootloader = replace(ONLINE, board=replace(BOARD, mode=BoardMode.BOOTLOADER))
    failed = replace(BEHIND, commit=NEW, failures=1, failed_target=NEW, failed_at=NOW - 1, retry_at=NOW + 60)
    [row] = plan(failed, bootloader)
    assert row.why.endswith("after 1 failed try")
    rows = {row.kind: row.why for row in plan(BEHIND, replace(ONLINE, rivals=("10.42.0.10",)))}
    assert rows["wait"] == "more than one board answers to its id (also at 10.42.0.10)"


def test_an_offline_canary_that_is_to_go_back_has_its_row_before_and_after_that_is_noted() -> None:
    policy = Policy(rollback=True, tries=1)
    failed = replace(BEHIND, failures=1, failed_target=NEW, failed_permanently=True)
    [row] = plan(failed, None, policy)
    assert (row.kind, row.commit) == ("roll back", OLD)
    gone = replace(BEHIND, commit=None, pinned_commit=OLD, pinned_target=NEW, pinned_by=PinnedBy.POLICY)
    [row] = plan(gone, None, policy)
    assert (row.kind, row.commit, row.why) == ("wait", OLD, "it is offline: not heard")


def test_one_that_learns_of_its_target_only_now_has_one_row() -> None:
    device = replace(BEHIND, target_commit=OLD)
    desired = Desired({7: Application(7, "lamps", "esp8266", NEW)}, {"u1": ListedDevice("u1", 7, "lamp", NEW)})
    rows = planned(decide(desired, {}, Stored([device]), NOW), [device], desired, Around({}, NOW))
    assert [row.kind for row in rows if row.kind != "report"] == ["wait"]
    assert rows[-1].commit == NEW


def test_a_board_that_is_being_made_a_device_is_still_to_do() -> None:
    desired, seen = Desired({7: Application(7, "lamps", "esp8266", NEW)}), {KEY: ONLINE}
    actions = decide(desired, seen, Stored([], busy={KEY}), NOW)
    [row] = planned(actions, [], desired, Around(seen, NOW, in_hand={KEY: ""}))
    assert (row.kind, row.name, row.why, row.is_work) == ("wait", "esp8266_7_101", "it is in hand", True)
