"""Boards flashed through the real bluetoothd: what it remembers, what it loses, and what it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.boards.manner import FULL
from enmctl.models import BoardMode, Proof, Stage
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.simulator.bluetooth.hosting import BoardHost
from enmctl.simulator.nordic.contract import Bonding
from tests.real.boards.air import dk_image, image, notes, package_file, program_file, proof, stages
from tests.real.simulator.bluetooth.echo import ADDRESS, SECRET, EchoBoard
from tests.system.vm.bluetooth.real_room import SIZE, RealRoom, is_powered, real_room
from tests.system.vm.daemons import until

pytestmark = pytest.mark.system

SURE = {Proof.CHECK_AND_RETURN, Proof.RETURN_ALONE}
"""On an emulated processor a board's hang-up may overtake its last answer; then its return is all that is known."""

WHOLE = {FULL: "1"}


@pytest.fixture(scope="module")
async def room() -> AsyncIterator[RealRoom]:
    async with real_room() as made:
        await made.open_radio()
        yield made


async def is_heard(radio: BluetoothRadio, address: str) -> bool:
    """Whether a board is heard from now on, for as long as a look takes."""
    return await radio.heard(lambda advert: advert.address == address, 2.0) is not None


async def has_trouble(radio: BluetoothRadio) -> bool:
    """Whether it is known that there is no scan."""
    return radio.trouble is not None


async def test_a_secure_bootloader_at_the_same_address_is_seen_past_what_bluez_remembers(
    room: RealRoom, tmp_path: Path
) -> None:
    living = await room.add("microbit-v2", 2, image=image("microbit-v2", seed=0, size=SIZE))
    for seed in (1, 2):
        steps = await room.flash(living, program_file(tmp_path, seed=seed, size=SIZE), config=WHOLE)
        assert proof(steps) in SURE, notes(steps)
        assert living.board.holds(image("microbit-v2", seed=seed, size=SIZE))
    await living.power(on=False)


async def test_a_legacy_bootloader_at_the_same_address_likewise(room: RealRoom, tmp_path: Path) -> None:
    living = await room.add("microbit-v1", 1, image=image("microbit-v1", seed=0, size=SIZE))
    steps = await room.flash(living, program_file(tmp_path, size=SIZE), config=WHOLE)
    assert proof(steps) in SURE, notes(steps)
    assert living.board.holds(image("microbit-v1", size=SIZE))
    await living.power(on=False)


async def test_a_transfer_that_breaks_off_goes_on_where_it_was(room: RealRoom, tmp_path: Path) -> None:
    living = await room.add("microbit-v1", 3, image=image("microbit-v1", seed=0, size=SIZE))
    living.break_with("link-lost")
    steps = await room.flash(living, program_file(tmp_path, size=SIZE), config=WHOLE)
    assert proof(steps) in SURE, notes(steps)
    assert living.board.holds(image("microbit-v1", size=SIZE))
    assert not living.describe()["faults"]
    await living.power(on=False)


async def test_digits_that_a_board_shows_are_handed_to_bluetoothd_by_our_agent(room: RealRoom) -> None:
    asked: list[int] = []
    async with BoardHost(room.neighbourhood.air, EchoBoard(bonding=Bonding.PASSKEY)) as host:

        async def read_off() -> int:
            asked.append(int(host.passkey))
            return asked[-1]

        async with room.radio.connect(ADDRESS) as connection:
            await connection.pair(read_off)
            assert len(asked) == 1
            await connection.read(SECRET)
        assert await room.radio.is_bonded(ADDRESS)
        await room.radio.unpair(ADDRESS)
        assert not await room.radio.is_bonded(ADDRESS)


async def test_a_restart_of_bluetoothd_is_survived(room: RealRoom) -> None:
    living = await room.add("microbit-v1", 5)
    await room.heard(living)
    stop = room.radio.listen(lambda _: None)
    await room.bluetoothd.end()
    await until(lambda: has_trouble(room.radio))
    await room.bluetoothd.start()
    await until(lambda: is_heard(room.radio, living.local_id))
    stop()
    await living.power(on=False)


async def test_an_adapter_that_is_pulled_and_put_back_is_used_again(room: RealRoom, tmp_path: Path) -> None:
    living = await room.add("microbit-v2", 6, image=image("microbit-v2", seed=0, size=SIZE))
    await room.heard(living)
    stop = room.radio.listen(lambda _: None)
    await room.adapter.unplug()
    await until(lambda: has_trouble(room.radio))
    await room.adapter.plug_in()
    await until(is_powered)
    await until(lambda: is_heard(room.radio, living.local_id))
    stop()
    board = await room.heard(living, BoardMode.APPLICATION)
    steps = await room.flash(living, program_file(tmp_path, size=SIZE), board=board)
    assert stages(steps)[-1] is Stage.DONE
    await living.power(on=False)


async def test_a_bootloader_that_waits_for_this_machine_alone_is_connected_to_unheard(
    room: RealRoom, tmp_path: Path
) -> None:
    living = await room.add("nrf51822dk", 4)
    steps = await room.flash(living, package_file(tmp_path, size=SIZE))
    assert (stages(steps)[-1], proof(steps)) == (Stage.DONE, Proof.RETURN_ALONE), notes(steps)
    assert living.board.holds(dk_image(size=SIZE))
    await living.power(on=False)
