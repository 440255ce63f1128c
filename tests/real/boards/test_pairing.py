"""Micro:bits that let nobody in without a bond, and what each side may do wrong about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError

from enmctl.boards.manner import FULL
from enmctl.errors import ExitCode, RefusedError
from enmctl.models import DiscoveredBoard, Proof, Step
from enmctl.radio.bluetooth import BondLostError, PairingError
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.bluetooth.virtual import VirtualRadio
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import RuntimeTraits
from tests.real.boards.air import QUICK, Room, image, notes, program_file, proof, room, sent
from tests.real.radio.waiting import until

BONDED = RuntimeTraits(open=False, whitelist=True, partial=True)
"""As MakeCode builds a program by default: heard and let in with a bond alone, which needs no digits."""

BREEDS = ("microbit-v1", "microbit-v2")

BY_HAND = {FULL: "1"}


@pytest.fixture
async def air() -> AsyncIterator[Room]:
    async with room() as made:
        await made.open_radio()
        yield made


async def in_pairing_mode(
    air: Room, breed: str, runtime: RuntimeTraits = BONDED, *, may_pair: bool = True, **habits: Any
) -> LivingBoard:
    """A board that a person has brought into its pairing mode, and whether that person lets it be paired with."""
    living = await air.add(breed, image=image(breed, seed=0, runtime=runtime), habits=Habits(**{**QUICK, **habits}))
    living.reset(Boot.PAIRING)
    await until(lambda: living.board.mode == "pairing")
    air.drivers["microbit"].surroundings.may_pair = may_pair
    return living


async def digits_of(air: Room, living: LivingBoard, *, wrong: bool = False) -> list[DiscoveredBoard]:
    """Have somebody read the digits off the board, or misread them; who was asked of which board."""
    asked: list[DiscoveredBoard] = []

    async def ask(board: DiscoveredBoard) -> int:
        asked.append(board)
        await until(lambda: bool(living.host.passkey))
        shown = int(living.host.passkey)
        return shown - 1 if wrong else shown

    air.drivers["microbit"].surroundings.ask_passkey = ask
    return asked


def was_paired(steps: list[Step]) -> bool:
    """Whether it went over pairing, and without a connection that broke in the middle of the program."""
    return "pairs with the board" in notes(steps) and "broke" not in notes(steps)


@pytest.mark.parametrize("breed", BREEDS)
async def test_a_board_that_wants_a_bond_is_paired_with_and_flashed(air: Room, tmp_path: Path, breed: str) -> None:
    living = await in_pairing_mode(air, breed)
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED), config=BY_HAND)
    assert was_paired(steps), notes(steps)
    assert proof(steps) is Proof.CHECK_AND_RETURN
    assert living.board.holds(image(breed, runtime=BONDED))
    assert await air.radio.is_bonded(living.local_id)


@pytest.mark.parametrize("breed", BREEDS)
async def test_the_reset_after_a_bond_does_not_fall_into_the_flash(air: Room, tmp_path: Path, breed: str) -> None:
    """It would come within the transfer of the user's part, to a board that was not brought back for pairing."""
    living = await in_pairing_mode(air, breed, resets_after=0.5)
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED))
    assert was_paired(steps), notes(steps)
    assert "the user's part alone" in notes(steps)
    assert proof(steps) is Proof.VERSION_READ_BACK
    assert living.board.holds(image(breed, runtime=BONDED))


async def test_a_board_without_partial_flashing_is_paired_with_too(air: Room, tmp_path: Path) -> None:
    runtime = replace(BONDED, partial=False)
    living = await in_pairing_mode(air, "microbit-v1", runtime)
    steps = await air.flash(living, program_file(tmp_path, runtime=runtime))
    assert was_paired(steps), notes(steps)
    assert living.board.holds(image("microbit-v1", runtime=runtime))


@pytest.mark.parametrize(
    ("runtime", "habits"),
    [(replace(BONDED, passkey=True), {}), (BONDED, {"asks_passkey": True})],
    ids=["by digits", "a PIN although it needs none"],
)
async def test_digits_that_a_board_shows_are_asked_for(
    air: Room, tmp_path: Path, runtime: RuntimeTraits, habits: dict[str, Any]
) -> None:
    living = await in_pairing_mode(air, "microbit-v1", runtime, **habits)
    asked = await digits_of(air, living)
    steps = await air.flash(living, program_file(tmp_path, runtime=runtime), config=BY_HAND)
    assert was_paired(steps), notes(steps)
    assert [board.local_id for board in asked] == [living.local_id]
    assert living.board.holds(image("microbit-v1", runtime=runtime))


async def test_wrong_digits_are_told_and_leave_the_board_as_it_was(air: Room, tmp_path: Path) -> None:
    living = await in_pairing_mode(air, "microbit-v1", replace(BONDED, passkey=True))
    await digits_of(air, living, wrong=True)
    with pytest.raises(PairingError) as caught:
        await air.flash(living, program_file(tmp_path, runtime=BONDED))
    assert caught.value.exit_code == ExitCode.BOARD
    assert caught.value.remedy
    assert living.board.holds(image("microbit-v1", seed=0, runtime=replace(BONDED, passkey=True)))


async def test_where_nobody_can_be_asked_for_digits_that_is_said_with_what_to_do(air: Room, tmp_path: Path) -> None:
    living = await in_pairing_mode(air, "microbit-v1", replace(BONDED, passkey=True))
    with pytest.raises(PairingError, match="digits") as caught:
        await air.flash(living, program_file(tmp_path, runtime=BONDED))
    assert caught.value.exit_code == ExitCode.BOARD
    assert "terminal" in caught.value.remedy
    assert not await air.radio.is_bonded(living.local_id)


async def test_a_bond_that_the_board_has_lost_is_made_anew(air: Room, tmp_path: Path) -> None:
    living = await in_pairing_mode(air, "microbit-v2")
    await air.flash(living, program_file(tmp_path, runtime=BONDED))
    living.lose_bonds()
    living.reset(Boot.PAIRING)
    await until(lambda: living.board.mode == "pairing")
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED, seed=2), config=BY_HAND)
    assert "forgets the bond" in notes(steps)
    assert "pairs with the board" in notes(steps)
    assert living.board.holds(image("microbit-v2", runtime=BONDED, seed=2))


def hangs_up(air: Room, times: int, forgotten: list[str]) -> None:
    """Have the next connections end at once, with a board that this machine has a bond with."""
    backend = air.radio._backend
    assert isinstance(backend, VirtualRadio)
    left = [BleakError("failed to discover services, device disconnected")] * times

    class Client(backend.client):  # type: ignore[name-defined,misc]
        async def connect(self, pair: bool, **named: Any) -> None:
            if left:
                raise left.pop()
            await super().connect(pair, **named)

    async def is_bonded(address: str) -> bool:
        return address not in forgotten

    async def forget(address: str) -> bool:
        forgotten.append(address)
        return True

    backend.client = Client
    backend.is_bonded = is_bonded  # type: ignore[method-assign]
    backend.forget = forget  # type: ignore[method-assign]


async def test_a_bootloader_that_hangs_up_is_tried_again_and_keeps_its_bond(air: Room, tmp_path: Path) -> None:
    living = await air.add("microbit-v1", image=b"")
    air.drivers["microbit"].surroundings.may_pair = True
    forgotten: list[str] = []
    hangs_up(air, 4, forgotten)
    steps = await air.flash(living, program_file(tmp_path))
    assert "the connection broke" in notes(steps)
    assert living.board.holds(image("microbit-v1"))
    assert not forgotten


async def test_a_program_that_hangs_up_in_the_middle_of_a_transfer_keeps_its_bond(air: Room, tmp_path: Path) -> None:
    living = await air.add("microbit-v1")
    surroundings = air.drivers["microbit"].surroundings
    surroundings.may_pair = True
    (await surroundings.memories.load(living.local_id)).begun = "partial"
    forgotten: list[str] = []
    hangs_up(air, 4, forgotten)
    with pytest.raises(BondLostError) as caught:
        await air.flash(living, program_file(tmp_path))
    assert not forgotten
    assert not caught.value.permanent
    assert caught.value.remedy


async def test_a_bond_from_before_keeps_no_program_away_that_needs_none(air: Room, tmp_path: Path) -> None:
    """As after a program was copied over USB."""
    living = await in_pairing_mode(air, "microbit-v1")
    await air.flash(living, program_file(tmp_path, runtime=BONDED))
    await living.power(on=False)
    same = await air.add("microbit-v1")
    steps = await air.flash(same, program_file(tmp_path, seed=2))
    assert "forgets the bond" in notes(steps)
    assert "pairs" not in notes(steps)
    assert same.board.holds(image("microbit-v1", seed=2))


async def test_a_board_that_shows_itself_to_the_bonded_alone_says_that_it_wants_a_bond(air: Room) -> None:
    living = await air.add("microbit-v1", image=image("microbit-v1", runtime=replace(BONDED, whitelist=False)))
    with pytest.raises(RefusedError, match="wants to be paired with first") as caught:
        await air.drivers["microbit"].identify(await air.heard(living), {})
    assert caught.value.reason == "needs-bond"
    assert caught.value.remedy


async def test_a_gateway_pairs_with_no_board_and_uses_those_that_are_bonded(air: Room, tmp_path: Path) -> None:
    living = await in_pairing_mode(air, "microbit-v2", may_pair=False)
    with pytest.raises(RefusedError, match="wants to be paired with first") as caught:
        await air.flash(living, program_file(tmp_path, runtime=BONDED))
    assert (caught.value.reason, caught.value.permanent) == ("needs-bond", False)
    assert "from a terminal" in caught.value.remedy
    driver = air.drivers["microbit"]
    driver.surroundings.may_pair = True
    await air.flash(living, program_file(tmp_path, runtime=BONDED))
    driver.surroundings.may_pair = False
    await until(lambda: living.board.mode == "application")
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED, seed=2))
    assert "pairs" not in notes(steps)
    assert (sent(steps) > 0, living.board.holds(image("microbit-v2", runtime=BONDED, seed=2))) == (True, True)


@pytest.mark.parametrize(
    ("breed", "habits"),
    [("microbit-v1", {"pairs_by_itself": True}), ("microbit-v2", {"hides_addresses": True})],
    ids=["BlueZ", "macOS"],
)
async def test_a_system_that_pairs_by_itself_does_no_harm(
    air: Room, tmp_path: Path, breed: str, habits: dict[str, bool]
) -> None:
    """The board then hangs up and resets when it likes, and the flash is brought to its end all the same."""
    await air.open_radio(**habits)
    living = await in_pairing_mode(air, breed, may_pair=False)
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED), config=BY_HAND)
    assert steps[-1].proof is not None
    assert living.board.holds(image(breed, runtime=BONDED))


@pytest.mark.parametrize("may_pair", [False, True])
async def test_of_a_system_that_asks_by_itself_whether_to_pair_a_person_is_told(
    air: Room, tmp_path: Path, may_pair: bool
) -> None:
    await air.open_radio(hides_addresses=True)
    living = await in_pairing_mode(air, "microbit-v2", may_pair=may_pair)
    steps = await air.flash(living, program_file(tmp_path, runtime=BONDED))
    assert ("asks whether to pair" in notes(steps)) is may_pair
