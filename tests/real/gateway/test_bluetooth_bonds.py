"""A gateway and boards that want a bond: it makes none, says so, and uses those that a person has made."""

from __future__ import annotations

import asyncio
from pathlib import Path

from enmctl.boards.microbit import Microbit
from enmctl.gateway.run import Running, running
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.simulator.bluetooth.air import Air
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.bluetooth.virtual import radio_on
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.packages import universal_hex
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import RuntimeTraits
from enmctl.simulator.world import World
from enmctl.store import Store
from tests.real.boards.air import QUICK, QUICK_AIR, SETTINGS, image, made_quick, program_file
from tests.real.gateway.rig import WITHIN, application_id, settings_in
from tests.real.radio.waiting import until

BONDED = RuntimeTraits(open=False, partial=True)
"""Heard by everybody, and let in with a bond alone."""


async def test_a_board_that_wants_a_bond_is_told_of_and_updated_once_a_person_has_made_one(tmp_path: Path) -> None:
    app = application_id()
    async with World(
        applications=[(app, "badges", "microbit")],
        boards_per_application=0,
        release_at_start=False,
        bluetooth_options={"timing": QUICK_AIR},
        hook_throttle=0.2,
    ) as world:
        first, newest = (
            {breed: image(breed, seed=seed, runtime=BONDED, name=str(app)) for breed in ("microbit-v1", "microbit-v2")}
            for seed in (0, 2)
        )
        living = made_quick(
            await world.add_bluetooth_board(
                app, breed="microbit-v2", image=first["microbit-v2"], habits=Habits(**QUICK)
            )
        )
        commit = world.push(app, {"application.hex": universal_hex(newest["microbit-v1"], newest["microbit-v2"])})
        settings = settings_in(tmp_path, world.supervisor, api_port=world.api_port, bluetooth_long_timeout=3.0)
        async with running(settings, reach=world.reach) as gateway:
            message = await refusal(gateway)
            assert "wants to be paired with first" in message
            assert "flash it from a terminal, which pairs with it" in message
        assert not air_of(world).keys.to_dict(), "it has made a bond"
        await paired_by_a_person(world, living, program_file(tmp_path, runtime=BONDED, name=str(app)))
        async with running(settings, reach=world.reach):
            await world.supervisor.wait_for(
                lambda: [row.commit for row in world.supervisor.devices.values()] == [commit], WITHIN
            )
            assert living.board.holds(newest["microbit-v2"])


def air_of(world: World) -> Air:
    """The air of a world that has one."""
    assert world.neighbourhood is not None
    return world.neighbourhood.air


async def refusal(gateway: Running) -> str:
    """What the journal says of an attempt that the board refused for want of a bond."""
    async with asyncio.timeout(WITHIN):
        while True:
            for attempt in await gateway.gateway.crew.store.call(Store.attempts):
                if attempt.reason == "needs-bond":
                    return attempt.message
            await asyncio.sleep(0.01)


async def paired_by_a_person(world: World, living: LivingBoard, file: Path) -> None:
    """Flash the board from a terminal while the gateway rests, in its pairing mode."""
    living.reset(Boot.PAIRING)
    await until(lambda: living.board.mode == "pairing")
    driver = Microbit(SETTINGS)
    async with BluetoothRadio(SETTINGS, radio_on(air_of(world))) as radio:
        driver.surroundings.bluetooth = radio
        driver.surroundings.may_pair = True
        advert = await radio.heard(lambda advert: advert.address == living.local_id, WITHIN)
        assert advert is not None
        board = driver.recognise(advert)
        assert board is not None
        async for _ in driver.update(board, driver.read_firmware(file, {}), {}):
            pass
