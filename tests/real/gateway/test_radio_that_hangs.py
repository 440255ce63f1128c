"""A Bluetooth radio whose opening takes for ever: the loop turns, a pause comes through, one pass ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from enmctl.errors import ExitCode, RadioError
from enmctl.gateway import gateway as gateway_module
from enmctl.gateway import run
from enmctl.gateway.reach import Reach
from enmctl.gateway.run import run_once, running
from enmctl.models import GatewayStatus, Radio
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.settings import Settings
from tests.real.gateway.rig import Rig, application_id, eventually, rig

LIMIT = 10.0
"""Seconds that nothing here may take."""


class HungRadio:
    """bluetoothd does not answer."""

    def __init__(self) -> None:
        self.tries = 0
        self.opening = 0

    def of(self, settings: Settings) -> BluetoothRadio:
        del settings
        return cast("BluetoothRadio", self)

    async def __aenter__(self) -> Any:
        self.tries += 1
        self.opening += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.opening -= 1

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


async def world_of(world: Rig) -> tuple[HungRadio, Reach]:
    """An ESP8266 board with a target, an application for micro:bits, and no Bluetooth to reach them."""
    await world.add_board()
    world.push()
    world.supervisor.add_application(application_id(), "badges", {"RESIN_HOST_TYPE": "microbit"})
    radio = HungRadio()
    return radio, Reach(loopback_only=True, open_bluetooth=radio.of)


async def test_the_loop_turns_and_a_pause_calls_the_opening_off(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        radio, reach = await world_of(world)
        async with running(world.settings(), reach=reach) as started:
            world.supervisor.hook_address = f"{started.api.address}/v1/devices/"
            await eventually(lambda: radio.opening == 1)
            await world.all_on_target()
            async with asyncio.timeout(LIMIT):
                await started.gateway.turn()
            discovery = started.gateway.crew.discovery
            assert discovery.open_radios == [Radio.WIFI]
            assert not discovery.is_settled, "nobody knows yet whether its boards are there"
            await started.steward.set_target_status(GatewayStatus.PAUSED)
            await eventually(lambda: started.steward.current_status is GatewayStatus.PAUSED, LIMIT)
            assert (radio.tries, radio.opening) == (1, 0)
            await started.steward.set_target_status(GatewayStatus.RUNNING)
            await eventually(lambda: radio.opening == 1)
        assert (radio.tries, radio.opening) == (2, 0)


async def test_one_pass_waits_for_it_within_its_bounds_and_says_that_it_is_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "QUIET", 0.7)
    monkeypatch.setattr(gateway_module, "OPENING_MOST", 0.3)
    async with rig(tmp_path) as world:
        radio, reach = await world_of(world)
        async with asyncio.timeout(2 * LIMIT):
            assert await run_once(world.settings(avahi_timeout=1.5), reach=reach) is ExitCode.DONE
        assert (radio.tries, radio.opening) == (1, 0)
        assert caplog.text.count("radio: bluetooth could not be opened within 0.3 s") == 1


async def test_a_radio_that_no_application_wants_is_nothing_to_complain_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as world, world.gateway() as started:
        discovery = started.gateway.crew.discovery
        with pytest.raises(RadioError):
            await discovery.start({Radio.BLUETOOTH})
        assert Radio.BLUETOOTH in discovery.problems
        await started.gateway.turn()
        assert "radio: " not in caplog.text
        world.supervisor.add_application(application_id(), "badges", {"RESIN_HOST_TYPE": "microbit"})
        await eventually(lambda: "radio: there is no Bluetooth" in caplog.text)
        await started.gateway.turn()
    assert caplog.text.count("radio: ") == 1
