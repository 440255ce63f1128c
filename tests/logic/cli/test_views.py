"""How a stored device stands, in one word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.cli.views import (
    ATTEMPT_COLUMNS,
    BOARD_COLUMNS,
    DEVICE_COLUMNS,
    STATES,
    attempt_cells,
    board_cells,
    device_cells,
    device_fields,
    state_of,
)
from enmctl.models import Attempt, AttemptKind, Device, DiscoveredBoard, Radio

DEVICE = Device(
    uuid="64a1ae375b213d7e",
    application_id=511898,
    board_type="esp8266",
    local_id="1265892",
    name="holy-sunset",
    commit="a" * 40,
    target_commit="b" * 40,
)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"local_id": None}, "no-board"),
        ({"target_commit": None}, "no-target"),
        ({"commit": "b" * 40}, "on-target"),
        ({"commit": "b" * 40, "failures": 2, "failed_target": "b" * 40}, "on-target"),
        ({"held_target": "b" * 40}, "held"),
        ({"held_target": "c" * 40}, "behind"),
        ({"failures": 1, "failed_target": "b" * 40}, "retrying"),
        ({"failures": 1, "failed_target": "b" * 40, "failed_permanently": True}, "refused"),
        ({"failures": 1, "failed_target": "c" * 40, "failed_permanently": True}, "behind"),
        ({}, "behind"),
    ],
)
def test_a_device_has_one_state(changes: dict[str, object], state: str) -> None:
    device = replace(DEVICE, **changes)  # type: ignore[arg-type] # any field of a device
    assert state_of(device) == state
    assert state in STATES
    assert len(device_cells(device)) == len(DEVICE_COLUMNS)


def test_live_status_and_progress_are_shown_where_a_gateway_tells_them() -> None:
    live = {"Status": "Installing", "Progress": 40}
    assert "Installing 40 %" in device_cells(DEVICE, live)
    assert device_fields(DEVICE, live)["progress"] == 40
    assert device_fields(DEVICE)["status"] is None


@pytest.mark.parametrize(("ended_at", "took"), [(104.5, "4.5s"), (40.0, "0s"), (None, "")])
def test_an_attempt_took_no_less_than_no_time_although_the_clock_was_set_back(
    ended_at: float | None, took: str
) -> None:
    attempt = Attempt(1, AttemptKind.UPDATE, 7, "1265892", None, None, 100.0, ended_at)
    assert attempt_cells(attempt, None)[ATTEMPT_COLUMNS.index("took")] == took


def test_a_wait_is_told_in_words() -> None:
    waiting = replace(DEVICE, failures=3, failed_target="b" * 40, retry_at=1.0)
    assert "failed 3 times, tried again now" in device_cells(waiting)


@pytest.mark.parametrize(("address", "shown"), [("10.0.0.7", "10.0.0.7:80"), ("fe80::1%2", "[fe80::1%2]:80")])
def test_a_board_shows_where_it_is(address: str, shown: str) -> None:
    board = DiscoveredBoard("esp8266", 511898, "1265892", Radio.WIFI, "esp8266_511898_1265892", (address,), 80)
    cells = board_cells(board, None)
    assert len(cells) == len(BOARD_COLUMNS)
    assert shown in cells
    assert "not provisioned" in cells
