"""Micro:bits and an nRF51822-DK flashed over simulated Bluetooth, whatever the system does with names and addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enmctl.boards import bluetooth_link as link_module
from enmctl.boards.manner import FULL, NO_RESUME
from enmctl.errors import ExitCode, FirmwareError, OfflineError, RadioError, RefusedError
from enmctl.models import BoardMode, Proof, Stage, Step
from enmctl.radio.bluetooth import Connection
from enmctl.simulator.bluetooth.hosting import BoardHost
from enmctl.simulator.nordic.board import Return
from enmctl.simulator.nordic.chips import MICROBIT_V1
from enmctl.simulator.nordic.legacy_rules import LegacyOptions
from enmctl.simulator.nordic.packages import microbit_hex
from enmctl.simulator.nordic.program import Boot
from tests.real.boards.air import (
    RUNTIME,
    SETTINGS,
    Room,
    dk_image,
    image,
    notes,
    package_file,
    program_file,
    proof,
    room,
    sent,
    stages,
)
from tests.real.radio.waiting import until
from tests.real.simulator.bluetooth.echo import EchoBoard

ALL = [Stage.TRANSFERRING, Stage.ACTIVATING, Stage.RETURNING, Stage.DONE]

NEXT_ADDRESS = LegacyOptions(dual_bank=False, directed=False, called_step=1)
"""A bootloader as many build it: one bank, and the next address also when a program called for it."""

IMPATIENT = replace(SETTINGS, bluetooth_long_timeout=1.0)
"""For boards that are waited for in vain."""

BOTH = ("microbit-v1", "microbit-v2")

SYSTEMS: dict[str, dict[str, bool]] = {
    "keeping": {"keeps_services": True},
    "hiding": {"hides_addresses": True},
}
"""How systems differ: like BlueZ, which shows old names and services, and like CoreBluetooth."""


@pytest.fixture
async def air() -> AsyncIterator[Room]:
    async with room() as made:
        yield made


@pytest.fixture(params=SYSTEMS)
async def any_air(request: pytest.FixtureRequest, air: Room) -> Room:
    """A room with a radio of each kind of system."""
    await air.open_radio(**SYSTEMS[request.param])
    return air


async def on_both(air: Room, file: Path, **options: Any) -> dict[str, list[Step]]:
    """Put a file on the micro:bits of the room at once; the news of each."""
    boards = {breed: await air.heard(living) for breed, living in air.boards.items()}
    news = await asyncio.gather(
        *(air.flash(air.boards[breed], file, board=board, **options) for breed, board in boards.items())
    )
    return dict(zip(boards, news, strict=True))


async def test_of_a_second_program_only_the_users_part_is_sent_and_of_the_same_one_nothing(
    any_air: Room, tmp_path: Path
) -> None:
    for serial, breed in enumerate(BOTH):
        await any_air.add(breed, 10 * serial + 1, image=image(breed, seed=0, runtime_seed=1))
    firsts = await on_both(any_air, program_file(tmp_path))
    for breed, first in firsts.items():
        assert "another version of the runtime" in notes(first)
        assert (stages(first)[-3:], proof(first)) == (ALL[-3:], Proof.CHECK_AND_RETURN)
        assert any_air.boards[breed].board.holds(image(breed))
    for breed, second in (await on_both(any_air, program_file(tmp_path, seed=2))).items():
        assert (stages(second), proof(second)) == (ALL, Proof.VERSION_READ_BACK)
        assert "the user's part alone" in notes(second)
        assert sent(second) * 3 <= sent(firsts[breed])
        assert any_air.boards[breed].board.holds(image(breed, seed=2))
    for third in (await on_both(any_air, program_file(tmp_path, seed=2))).values():
        assert (sent(third), proof(third)) == (0, Proof.VERSION_READ_BACK)
        assert "nothing to send" in notes(third)


async def test_a_rehearsal_says_what_the_flash_then_does_and_leaves_the_board_as_it_is(
    air: Room, tmp_path: Path
) -> None:
    await air.open_radio()
    for serial, breed in enumerate(BOTH):
        living = await air.add(breed, 10 * serial + 1, image=image(breed, seed=0, runtime_seed=1))
        expected = f"it would be all of it, {len(image(breed))} bytes for "
        told = await air.rehearse(living, program_file(tmp_path))
        assert told.startswith(expected)
        assert "another version of the runtime" in told
        assert living.board.holds(image(breed, seed=0, runtime_seed=1))
        await air.flash(living, program_file(tmp_path))
        boots = living.describe()["boots"]
        assert "nothing, the board runs this very program" in await air.rehearse(living, program_file(tmp_path))
        told = await air.rehearse(living, program_file(tmp_path, seed=2))
        whole = await air.rehearse(living, program_file(tmp_path, seed=2), config={FULL: "1"})
        assert whole.startswith(expected)
        assert living.describe()["boots"] == boots
        assert living.board.holds(image(breed))
        steps = await air.flash(living, program_file(tmp_path, seed=2))
        assert told.startswith(f"it would be {sent(steps)} bytes, the user's part alone of ")


async def test_where_the_system_may_pair_by_itself_a_rehearsal_asks_nothing(air: Room, tmp_path: Path) -> None:
    await air.open_radio(**SYSTEMS["hiding"])
    living = await air.add("microbit-v1")
    told = await air.rehearse(living, program_file(tmp_path))
    assert told.startswith(f"it would be {len(image('microbit-v1'))} bytes for micro:bit V1, or a part of that: ")
    assert told.endswith("known once the board is asked")


async def test_what_needs_a_bond_to_be_known_is_said_to_be_so_and_no_bond_is_made(air: Room, tmp_path: Path) -> None:
    await air.open_radio()
    runtime = replace(RUNTIME, open=False)
    living = await air.add("microbit-v2", image=image("microbit-v2", seed=0, runtime=runtime))
    living.reset(Boot.PAIRING)
    file = program_file(tmp_path, runtime=runtime)
    air.driver_of(living).surroundings.may_pair = True
    assert (await air.rehearse(living, file)).endswith("or a part of that: known once the board is paired with")
    assert not await air.radio.is_bonded(living.local_id)
    air.driver_of(living).surroundings.may_pair = False
    with pytest.raises(RefusedError, match="wants to be paired with"):
        await air.rehearse(living, file)


async def test_a_bootloader_of_the_other_kind_refuses_the_rehearsal_too(air: Room, tmp_path: Path) -> None:
    await air.open_radio()
    living = await air.add("nrf51822dk", image=dk_image(seed=0))
    assert (await air.rehearse(living, package_file(tmp_path))).startswith("it would be all of it, ")
    with pytest.raises(FirmwareError):
        await air.rehearse(living, program_file(tmp_path))


async def test_all_of_it_is_sent_where_that_is_wanted(air: Room, tmp_path: Path) -> None:
    await air.open_radio()
    for serial, breed in enumerate(BOTH):
        await air.add(breed, 10 * serial + 1)
    for breed, steps in (await on_both(air, program_file(tmp_path), config={FULL: "1"})).items():
        assert (stages(steps), proof(steps)) == (ALL, Proof.CHECK_AND_RETURN)
        assert sent(steps) == len(image(breed))
        assert air.boards[breed].board.holds(image(breed))


async def test_a_board_that_waits_for_the_rest_of_a_part_leaves_its_pairing_mode_also_where_all_is_sent_anew(
    air: Room, tmp_path: Path
) -> None:
    await air.open_radio()
    living = await air.add("microbit-v1")
    driver, board = air.drivers["microbit"], await air.heard(living)
    async with aclosing(driver.update(board, driver.read_firmware(program_file(tmp_path), {}), {})) as steps:
        async for step in steps:
            if step.done:
                break
    assert "pairing mode" in await driver.left_with(board)
    assert living.describe()["program"]["flashIncomplete"]
    await air.flash(living, program_file(tmp_path, seed=2), config={FULL: "1", NO_RESUME: "1"})
    assert living.board.holds(image("microbit-v1", seed=2))
    await until(lambda: living.board.mode == "application")
    assert not living.describe()["program"]["flashIncomplete"]


async def test_what_a_board_is_left_with_is_told_also_where_only_its_bootloader_was_started(
    air: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    radio = await air.open_radio()
    living = await air.add("microbit-v1")
    driver, board = air.drivers["microbit"], await air.heard(living)
    assert await driver.left_with(board) == ""
    is_up, connect = asyncio.Event(), radio.open

    async def connect_to_the_program_alone(address: str, **options: Any) -> Connection:
        if living.board.mode == "bootloader":
            is_up.set()
            await asyncio.Event().wait()
        return await connect(address, **options)

    monkeypatch.setattr(radio, "open", connect_to_the_program_alone)
    flashing = asyncio.create_task(air.flash(living, program_file(tmp_path), board=board, config={FULL: "1"}))
    await is_up.wait()
    flashing.cancel()
    await asyncio.wait([flashing])
    assert "waits in its bootloader" in await driver.left_with(board)


@pytest.mark.parametrize(
    "habits",
    [
        {"keeps_services": True},
        {"hides_addresses": True},
        {"scans_privately": True},
        {"scans_privately": True, "keeps_services": True},
    ],
)
async def test_a_bootloader_that_waits_for_this_machine_alone_is_found(
    air: Room, tmp_path: Path, habits: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SHOWN_WITHIN", 0.3)
    await air.open_radio(**habits)
    living = await air.add("nrf51822dk")
    steps = await air.flash(living, package_file(tmp_path))
    assert (stages(steps), proof(steps)) == (ALL, Proof.RETURN_ALONE)
    assert "not heard" not in notes(steps)
    assert living.board.holds(dk_image())


async def test_a_bootloader_at_the_next_address_is_found_and_the_board_back_at_its_own(
    any_air: Room, tmp_path: Path
) -> None:
    living = await any_air.add("nrf51822dk", options=NEXT_ADDRESS)
    steps = await any_air.flash(living, package_file(tmp_path))
    assert stages(steps) == ALL
    assert "not heard" not in notes(steps)
    assert living.board.holds(dk_image())


@pytest.mark.parametrize(
    ("breed", "options"), [("microbit-v1", None), ("microbit-v2", None), ("nrf51822dk", NEXT_ADDRESS)]
)
async def test_a_board_that_waits_in_its_bootloader_is_finished(
    air: Room, tmp_path: Path, breed: str, options: LegacyOptions | None
) -> None:
    await air.open_radio(keeps_services=True)
    made: dict[str, Any] = {"image": b""} | ({"options": options} if options else {})
    living = await air.add(breed, **made)
    board = await air.heard(living)
    assert (board.mode, board.name) == (BoardMode.BOOTLOADER, "DfuTarg")
    assert (board.local_id == living.local_id) is (options is None), "the bootloader was to be at the next address"
    file = package_file(tmp_path) if options else program_file(tmp_path)
    steps = await air.flash(living, file, board=board)
    assert stages(steps) == ALL
    assert proof(steps) is (Proof.RETURN_ALONE if options else Proof.CHECK_AND_RETURN)
    assert living.board.mode == "application"


async def test_a_neighbour_at_the_address_before_is_not_taken_for_the_boards_return(tmp_path: Path) -> None:
    async with room(IMPATIENT) as air:
        await air.open_radio()
        await air.heard(await air.add("nrf51822dk", 10))
        living = await air.add("microbit-v1", 11, image=b"")
        living.board.come_back(Return(never=True))
        assert proof(await air.flash(living, program_file(tmp_path))) is Proof.CHECK_ALONE


async def test_of_two_bootloaders_without_addresses_none_is_taken(air: Room, tmp_path: Path) -> None:
    await air.open_radio(hides_addresses=True)
    living, other = [await air.add("nrf51822dk", serial, options=NEXT_ADDRESS) for serial in (20, 40)]
    stranger = await air.heard(living)
    assert "-" in stranger.local_id, "an address was told"
    living.host.on_write = lambda *_: other.reset(Boot.BOOTLOADER)
    with pytest.raises(RefusedError, match="two boards wait") as caught:
        await air.flash(living, package_file(tmp_path), board=stranger)
    assert (caught.value.reason, caught.value.permanent) == ("ambiguous", False)
    assert not living.board.holds(dk_image())
    assert not other.board.holds(dk_image())


async def test_a_bootloader_that_waited_before_is_not_taken_for_the_boards(air: Room, tmp_path: Path) -> None:
    await air.open_radio(hides_addresses=True)
    waiting = await air.add("nrf51822dk", 60, image=b"")
    await air.heard(waiting, BoardMode.BOOTLOADER)
    living = await air.add("nrf51822dk", 20, options=NEXT_ADDRESS)
    board = await air.heard(living, BoardMode.APPLICATION)
    steps = await air.flash(living, package_file(tmp_path), board=board)
    assert stages(steps) == ALL
    assert "not heard" not in notes(steps)
    assert living.board.holds(dk_image())
    assert waiting.board.mode == "bootloader"


async def test_a_board_for_which_there_is_nothing_in_the_file_is_told_so_and_left_alone(
    air: Room, tmp_path: Path
) -> None:
    await air.open_radio()
    living = await air.add("microbit-v2")
    file = tmp_path / "old.hex"
    file.write_bytes(microbit_hex(MICROBIT_V1, image("microbit-v1")))
    board = await air.heard(living)
    before = living.describe()
    with pytest.raises(
        FirmwareError, match=r"nothing for a micro:bit V2 in it: it is built for the micro:bit V1"
    ) as caught:
        await air.flash(living, file, board=board)
    assert caught.value.exit_code == ExitCode.FILE
    await until(lambda: not living.host.is_connected)
    assert (living.describe()["sha256"], living.describe()["boots"]) == (before["sha256"], before["boots"])


async def test_a_board_that_is_gone_is_offline(tmp_path: Path) -> None:
    async with room(IMPATIENT) as air:
        await air.open_radio()
        living = await air.add("microbit-v1")
        board = await air.heard(living)
        await living.power(on=False)
        with pytest.raises(OfflineError, match="is not heard"):
            await air.flash(living, program_file(tmp_path), board=board)


async def test_a_program_that_offers_no_update_is_told_so(air: Room, tmp_path: Path) -> None:
    radio = await air.open_radio()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(BoardHost(air.neighbourhood.air, EchoBoard()))
        driver = air.drivers["microbit"]
        advert = await radio.heard(lambda advert: driver.recognise(advert) is not None, 5.0)
        assert advert is not None
        board = driver.recognise(advert)
        assert board is not None
        with pytest.raises(RefusedError, match="does not show what it is") as caught:
            async for _ in driver.update(board, driver.read_firmware(program_file(tmp_path), {}), {}):
                pass
    assert (caught.value.reason, caught.value.permanent) == ("unsupported", False)
    assert caught.value.exit_code == ExitCode.BOARD


async def test_without_a_radio_it_is_the_radio_that_is_missing(air: Room, tmp_path: Path) -> None:
    await air.open_radio()
    living = await air.add("microbit-v1")
    board = await air.heard(living)
    air.drivers["microbit"].surroundings.bluetooth = None
    with pytest.raises(RadioError) as caught:
        await air.flash(living, program_file(tmp_path), board=board)
    assert caught.value.exit_code == ExitCode.RADIO
