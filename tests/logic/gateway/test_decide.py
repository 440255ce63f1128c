"""decide(): pure, so each rule of the loop is one small example; ``test_decide_properties`` looks for the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from enmctl.gateway.actions import (
    Complain,
    Configure,
    Inquire,
    Meet,
    Provision,
    Record,
    Restart,
    Tell,
    Update,
)
from enmctl.gateway.decide import Seen, Stored, Told, decide, full_report
from enmctl.models import (
    Application,
    BoardKey,
    Desired,
    Device,
    DeviceStatus,
    DiscoveredBoard,
    ListedDevice,
    Radio,
    Report,
)

OLD, NEW = "a" * 40, "b" * 40
APP = Application(7, "lamps", "esp8266", NEW)
KEY = BoardKey(7, "101")
BOARD = DiscoveredBoard("esp8266", 7, "101", Radio.WIFI, "esp8266_7_101", ("10.42.0.9",), 80)
DEVICE = Device("uuid-1", 7, "esp8266", "101", "holy-sunset", commit=OLD, target_commit=OLD, first_listed=2)
LISTED = ListedDevice("uuid-1", 7, "holy-sunset", OLD)
DESIRED = Desired({7: APP}, {"uuid-1": LISTED}, asked_at=100.0)
ONLINE = {KEY: Seen(BOARD, online=True)}


def told(device: Device, *, online: bool = True, at: float = 1000.0) -> dict[str, Told]:
    return {device.uuid: Told(full_report(device, online=online), at)}


def stored(*devices: Device, **more: Any) -> Stored:
    """What is known of devices of which the source was told everything a second ago."""
    more.setdefault("told", {device.uuid: Told(full_report(device, online=True), 1000.0) for device in devices})
    return Stored(devices, **more)


def test_a_device_at_rest_costs_nothing() -> None:
    assert decide(DESIRED, ONLINE, stored(DEVICE), 1001.0) == []


def test_a_new_target_is_taken_up_and_worked_on_in_the_same_pass() -> None:
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert decide(desired, ONLINE, stored(DEVICE), 1001.0) == [
        Record("uuid-1", {"target_commit": NEW}),
        Update("uuid-1", KEY, NEW),
    ]


def test_null_overwrites_nothing() -> None:
    silent = ListedDevice("uuid-1", 7, None, None, None, None)
    device = replace(DEVICE, target_config={"a": "1"}, config={"a": "1"}, target_environment={}, environment={})
    assert decide(replace(DESIRED, devices={"uuid-1": silent}), ONLINE, stored(device), 1001.0) == []


def test_a_hooks_target_stands_until_a_list_that_was_asked_for_later() -> None:
    device = replace(DEVICE, target_commit=NEW)
    earlier = decide(DESIRED, ONLINE, stored(device, hooked={"uuid-1": 100.0}), 1001.0)
    later = decide(DESIRED, ONLINE, stored(device, hooked={"uuid-1": 99.0}), 1001.0)
    assert earlier == [Update("uuid-1", KEY, NEW)]
    assert Record("uuid-1", {"target_commit": OLD}) in later
    assert not [action for action in later if isinstance(action, Update)]


def test_a_board_that_is_offline_is_reported_and_left_alone() -> None:
    device = replace(DEVICE, target_commit=NEW)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    offline = decide(desired, {KEY: Seen(BOARD, online=False)}, stored(device), 1001.0)
    assert offline == [Tell("uuid-1", Report(status=DeviceStatus.OFFLINE, is_online=False))]


def test_nobody_is_called_offline_before_the_radios_have_listened_long_enough() -> None:
    assert decide(DESIRED, {}, stored(DEVICE, settled=False), 1001.0) == []


def test_a_board_that_was_only_just_heard_is_not_called_offline_before_it_was_asked() -> None:
    not_asked_yet = {KEY: replace(ONLINE[KEY], online=False)}
    assert decide(DESIRED, not_asked_yet, stored(DEVICE, settled=False), 1001.0) == []
    assert decide(DESIRED, not_asked_yet, stored(DEVICE), 1001.0) != []


def test_a_board_in_hand_is_left_alone() -> None:
    device = replace(DEVICE, target_commit=NEW)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert decide(desired, ONLINE, stored(device, busy={KEY}), 1001.0) == []


def test_two_boards_with_one_id_are_both_left_alone_and_said() -> None:
    device = replace(DEVICE, target_commit=NEW)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    seen = {KEY: Seen(BOARD, online=True, rivals=("10.42.0.10:80",))}
    actions = decide(desired, seen, stored(device), 1001.0)
    assert [type(action) for action in actions] == [Complain]
    assert decide(desired, seen, Stored([]), 1001.0)[1:] == actions, "and none is provisioned"


def test_a_failure_waits_out_its_delay_and_a_new_target_ends_the_wait() -> None:
    failed = replace(DEVICE, target_commit=NEW, failures=2, failed_target=NEW, failed_at=1000.0, retry_at=1040.0)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    newest = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit="c" * 40)})
    assert decide(desired, ONLINE, stored(failed), 1039.0) == []
    assert decide(desired, ONLINE, stored(failed), 1041.0) == [Update("uuid-1", KEY, NEW)]
    assert Update("uuid-1", KEY, "c" * 40) in decide(newest, ONLINE, stored(failed), 1001.0)


@pytest.mark.parametrize("column", ["target_config", "target_environment"])
def test_a_device_that_failed_is_tried_again_at_once_with_another_config_or_environment(column: str) -> None:
    failed = replace(
        DEVICE,
        target_commit=NEW,
        target_config={},
        target_environment={},
        failures=1,
        failed_target=NEW,
        failed_permanently=True,
        failed_at=1000.0,
        retry_at=1040.0,
    )
    listed = replace(LISTED, target_commit=NEW)
    assert decide(replace(DESIRED, devices={"uuid-1": listed}), ONLINE, stored(failed), 1001.0) == []
    remedy: dict[str, Any] = {column: {"ENM_OTA_PATH": "/ota"}}
    mended = replace(DESIRED, devices={"uuid-1": replace(listed, **remedy)})
    record, update = decide(mended, ONLINE, stored(failed), 1001.0)
    assert update == Update("uuid-1", KEY, NEW)
    assert isinstance(record, Record)
    tried_again = failed.changed(record.changes)
    assert (tried_again.failures, tried_again.failed_permanently, tried_again.retry_at) == (0, False, None)
    assert decide(mended, ONLINE, stored(tried_again), 1001.0) == [update], "and it is written once"


def test_the_first_list_that_names_a_new_device_is_no_reason_to_try_again_what_it_refuses() -> None:
    refuses = replace(DEVICE, target_commit=NEW, failures=1, failed_target=NEW, failed_permanently=True)
    shared = DESIRED.applications[7].config
    listed = replace(LISTED, target_commit=NEW, target_config=shared, target_environment={"A": "1"})
    actions = decide(replace(DESIRED, devices={"uuid-1": listed}), ONLINE, stored(refuses), 1001.0)
    assert actions == [Record("uuid-1", {"target_config": shared, "target_environment": {"A": "1"}})]


def test_a_clock_that_was_set_back_holds_nobody_up() -> None:
    failed = replace(DEVICE, target_commit=NEW, failures=1, failed_target=NEW, failed_at=1000.0, retry_at=1040.0)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert Update("uuid-1", KEY, NEW) in decide(desired, ONLINE, stored(failed), 5.0)


def test_a_permanent_failure_waits_for_another_target() -> None:
    refused = replace(DEVICE, target_commit=NEW, failures=1, failed_target=NEW, failed_permanently=True, failed_at=0.0)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert decide(desired, ONLINE, stored(refused, told=told(refused, at=9e9)), 9e9) == []


def test_a_flash_by_hand_that_is_held_is_left_alone_until_the_target_changes() -> None:
    held = replace(DEVICE, commit=None, held_target=OLD)
    assert decide(DESIRED, ONLINE, stored(held), 1001.0) == []
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert Update("uuid-1", KEY, NEW) in decide(desired, ONLINE, stored(held), 1001.0)


def test_a_board_that_somebody_else_flashed_is_brought_back() -> None:
    seen = {KEY: Seen(replace(BOARD, version=NEW), online=True)}
    assert decide(DESIRED, seen, stored(DEVICE), 1001.0) == [Update("uuid-1", KEY, OLD)]


def test_a_version_that_is_no_commit_proves_nothing() -> None:
    seen = {KEY: Seen(replace(BOARD, version="1.4.2"), online=True)}
    assert decide(DESIRED, seen, stored(DEVICE), 1001.0) == []


def test_an_unknown_board_is_provisioned_and_a_deleted_one_is_not() -> None:
    assert Provision(7, BOARD) in decide(Desired({7: APP}, {}, 1.0), ONLINE, Stored([]), 1001.0)
    deleted = replace(DEVICE, deleted=True, unlisted=True)
    assert decide(Desired({7: APP}, {}, 1.0), ONLINE, Stored([deleted]), 1001.0) == []


def test_a_board_of_an_unknown_application_is_none_of_our_business() -> None:
    assert decide(Desired({}, {}, 1.0), ONLINE, Stored([]), 1001.0) == []


def test_a_deleted_device_comes_back_only_once_it_was_gone_from_the_list() -> None:
    deleted = replace(DEVICE, deleted=True)
    assert decide(DESIRED, ONLINE, Stored([deleted]), 1001.0) == []
    gone = decide(replace(DESIRED, devices={}), ONLINE, Stored([deleted]), 1001.0)
    assert gone == [Record("uuid-1", {"unlisted": True})]
    back = decide(DESIRED, ONLINE, Stored([replace(deleted, unlisted=True)]), 1001.0)
    assert back == [Record("uuid-1", {"deleted": False, "unlisted": False})]


def test_a_device_that_was_deleted_before_it_was_ever_listed_stays_deleted_when_it_is() -> None:
    young = replace(DEVICE, deleted=True, first_listed=None)
    assert decide(replace(DESIRED, devices={}), ONLINE, Stored([young]), 1001.0) == []
    listed = decide(DESIRED, ONLINE, Stored([young], list_serial=5), 1001.0)
    assert listed == [Record("uuid-1", {"first_listed": 5})]


def test_a_device_that_the_list_left_out_is_asked_for_before_it_is_forgotten() -> None:
    assert decide(replace(DESIRED, devices={}), ONLINE, stored(DEVICE), 1001.0) == [Inquire("uuid-1")]


def test_a_device_that_was_never_listed_yet_is_not_missed() -> None:
    fresh = replace(DEVICE, first_listed=None)
    assert decide(replace(DESIRED, devices={}), ONLINE, stored(fresh), 1001.0) == []


def test_nothing_is_made_or_forgotten_before_the_source_was_heard() -> None:
    actions = decide(Desired(), ONLINE, stored(DEVICE, heard=False), 1001.0)
    assert actions == []
    device = replace(DEVICE, target_commit=NEW)
    assert decide(Desired(), ONLINE, stored(device, heard=False), 1001.0) == [Update("uuid-1", KEY, NEW)]


def test_a_stranger_in_the_list_is_noted() -> None:
    actions = decide(DESIRED, {}, Stored([]), 1001.0)
    assert actions == [Meet(LISTED, "esp8266")]


def test_config_and_environment_are_handed_over_once_the_firmware_is_on_target() -> None:
    wanting = replace(DEVICE, target_environment={"A": "1"})
    listed = replace(LISTED, target_environment={"A": "1"})
    assert decide(replace(DESIRED, devices={"uuid-1": listed}), ONLINE, stored(wanting), 1001.0) == [
        Configure("uuid-1", KEY)
    ]
    late = replace(wanting, target_commit=NEW)
    listed = replace(listed, target_commit=NEW)
    assert decide(replace(DESIRED, devices={"uuid-1": listed}), ONLINE, stored(late), 1001.0) == [
        Update("uuid-1", KEY, NEW)
    ]


def test_an_empty_environment_is_not_the_same_as_none_applied_yet() -> None:
    """The Supervisor's hook comes to rest only when {} was put back where nothing was before."""
    wanting = replace(DEVICE, target_environment={}, environment=None)
    listed = replace(LISTED, target_environment={})
    assert Configure("uuid-1", KEY) in decide(
        replace(DESIRED, devices={"uuid-1": listed}), ONLINE, stored(wanting), 1001.0
    )


def test_a_wanted_restart_comes_before_an_update() -> None:
    device = replace(DEVICE, restart_wanted=True)
    desired = replace(DESIRED, devices={"uuid-1": replace(LISTED, target_commit=NEW)})
    assert Restart("uuid-1", KEY) in decide(desired, ONLINE, stored(device), 1001.0)


def test_only_what_changed_is_reported_and_everything_from_time_to_time() -> None:
    changed = replace(DEVICE, environment={"A": "1"}, target_environment={"A": "1"})
    listed = replace(LISTED, target_environment={"A": "1"})
    desired = replace(DESIRED, devices={"uuid-1": listed})
    [action] = decide(desired, ONLINE, stored(changed, told=told(DEVICE)), 1001.0)
    assert action == Tell("uuid-1", Report(environment={"A": "1"}))
    [action] = decide(desired, ONLINE, stored(changed, told=told(changed)), 1000.0 + 300.0)
    assert action == Tell("uuid-1", full_report(changed, online=True))


def test_every_device_is_reported_in_full_at_the_start() -> None:
    actions = decide(DESIRED, ONLINE, Stored([DEVICE]), 1001.0)
    assert actions == [Tell("uuid-1", full_report(DEVICE, online=True))]


def test_an_application_with_a_strange_config_is_said_and_skipped() -> None:
    strange = Application(7, "lamps", None, NEW, problem="its host type is no text")
    actions = decide(Desired({7: strange}, {}, 1.0), ONLINE, Stored([]), 1001.0)
    assert actions == [Complain("application 7 (lamps)", "its host type is no text")]


def test_a_board_of_another_type_than_its_application_is_said_and_skipped() -> None:
    other = replace(APP, board_type="microbit")
    [action] = decide(Desired({7: other}, {}, 1.0), ONLINE, Stored([]), 1001.0)
    assert isinstance(action, Complain)
