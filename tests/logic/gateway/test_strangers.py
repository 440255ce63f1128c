"""Boards that are nobody's come and go without end: what is remembered of them is bounded."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from enmctl.errors import SourceError
from enmctl.gateway import bluetooth_hearing, sightings
from enmctl.gateway.bluetooth_hearing import BluetoothHearing
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import Seen
from enmctl.gateway.presence import Presence
from enmctl.gateway.provisioning import Provisioning
from enmctl.gateway.reach import no_radio
from enmctl.gateway.sightings import Sightings
from enmctl.gateway.signals import Signals
from enmctl.models import Application, BoardKey, DiscoveredBoard, Radio
from enmctl.settings import Settings

pytestmark = pytest.mark.looptime

MOST = 10


def board(number: int, application_id: int | None = None, radio: Radio = Radio.BLUETOOTH) -> DiscoveredBoard:
    address = f"E7:12:34:56:78:{number:02X}"
    return DiscoveredBoard("microbit", application_id, address, radio, "micro:bit", (address,))


async def test_strangers_make_room_for_others_and_never_a_board_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "STRANGERS_MOST", MOST)
    table = Sightings(lambda: None)
    table.hear("ours", board(0, 7))
    table.hear("on the network", board(0, radio=Radio.WIFI))
    for number in range(1, 100):
        table.hear(f"stranger {number}", board(number))
    assert table.over(Radio.BLUETOOTH) == ["ours", *(f"stranger {number}" for number in range(90, 100))]
    assert table.over(Radio.WIFI) == ["on the network"]
    assert list(table.places) == ["ours"]


async def test_a_stranger_that_becomes_ours_is_none_any_more_and_one_that_is_dropped_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sightings, "STRANGERS_MOST", MOST)
    table = Sightings(lambda: None)
    for number in range(MOST):
        table.hear(f"board {number}", board(number))
    table.hear("board 0", board(0, 7))
    table.drop("board 1")
    for number in range(MOST, 2 * MOST):
        table.hear(f"board {number}", board(number))
    assert table.over(Radio.BLUETOOTH) == ["board 0", *(f"board {number}" for number in range(MOST, 2 * MOST))]


async def test_the_radio_that_is_let_go_leaves_nothing_of_what_it_heard() -> None:
    table = Sightings(lambda: None)
    hearing = BluetoothHearing(Settings(), {}, table, is_busy=lambda _: False, open_radio=no_radio)
    for number in range(3):
        hearing.take(f"{bluetooth_hearing.PREFIX}{number}", board(number, None if number else 7))
    table.hear("on the network", board(9, radio=Radio.WIFI))
    await hearing.stop()
    assert table.over(Radio.BLUETOOTH) == []
    assert table.over(Radio.WIFI) == ["on the network"]
    assert not table.places


async def test_when_a_board_went_is_remembered_of_devices_alone() -> None:
    presence = Presence()
    keys = [BoardKey(7, str(number)) for number in range(100)]
    presence.note({key: Seen(board(0, 7), online=True) for key in keys}, 1.0)
    presence.note({}, 2.0)
    presence.keep({keys[3]})
    assert presence.lost_at == {keys[3]: 2.0}


async def test_a_board_that_has_waited_for_its_next_try_is_forgotten() -> None:
    async def fail(*_: Any) -> None:
        raise SourceError("no", remedy="wait")

    crew = SimpleNamespace(
        desired=SimpleNamespace(applications={7: Application(7, "badges", "microbit", None)}),
        settings=Settings(),
        signals=Signals(),
    )
    provisioning = Provisioning(cast("Crew", crew), list_serial=lambda: 1, relist=fail)
    provisioning.make_device = fail  # type: ignore[method-assign,assignment]
    for number in range(3):
        await provisioning.provision(7, board(number, 7))
        assert not provisioning.may_try(board(number, 7).key)
    await asyncio.sleep(Settings().retry_delay_most)
    assert provisioning._not_before == {}
    assert provisioning.may_try(board(0, 7).key)
    assert crew.signals.turn.is_set()
