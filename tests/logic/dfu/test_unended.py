"""A partial flash that was begun holds a micro:bit in its pairing mode, whatever it is sent, until one is ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Memory, Opened
from enmctl.dfu.update import Choice, Job, update
from enmctl.models import BoardMode, Proof
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import HostKilledError, Model
from tests.logic.dfu.schedules import IMAGES, VARIANTS, Variant, image_of
from tests.logic.dfu.scripted import payload
from tests.logic.dfu.scripted_legacy import LegacyBoard
from tests.logic.dfu.test_partial import PART

LIMITS = Limits()
SIZE = 20 * 1024
V1, V2 = (next(each for each in VARIANTS if each.name == f"micro:bit {name}, a part") for name in ("V1", "V2"))


def begun(variant: Variant) -> Model:
    """A board that got some blocks of a program before whoever sent them was killed."""
    board = variant.make(image_of(variant, SIZE, 0))
    model = Model(board, Timing())
    model.air.power(on=True)
    model.clock.sleep(1.0)
    choice = variant.choice(image_of(variant, SIZE, 1))
    model.start(update(Job("the board", lambda _: choice), model.memory, LIMITS, model.now))
    model.clock.run(lambda: board.program is not None and board.program.describe().get("blocks") == 5, limit=60.0)
    model.kill()
    with pytest.raises(HostKilledError):
        model.result()
    model.memory = replace(model.kept)
    model.clock.sleep(5.0)
    assert model.memory.unended
    return model


def updated(model: Model, choice: Choice) -> Proof:
    job = Job("the board", lambda _: choice)
    proof = model.run(update(job, model.memory, LIMITS, model.now))
    model.clock.sleep(5.0)
    return proof


def shown(model: Model) -> tuple[str, bytes]:
    board = model.air.board
    return getattr(board, "mode"), board.image()  # type: ignore[attr-defined]  # noqa: B009


@pytest.mark.parametrize("variant", [V1, V2], ids=["V1", "V2"])
@pytest.mark.parametrize("number", [2, IMAGES], ids=["same runtime", "another runtime"])
@pytest.mark.parametrize("whole", [False, True])
def test_the_next_program_ends_it_and_runs(variant: Variant, number: int, whole: bool) -> None:
    model = begun(variant)
    image = image_of(variant, SIZE, number)
    assert updated(model, replace(variant.choice(image), whole=whole)) is Proof.VERSION_READ_BACK
    assert shown(model) == ("application", image)
    assert (model.memory, model.kept) == (Memory(), Memory())


@pytest.mark.parametrize("variant", [V1, V2], ids=["V1", "V2"])
def test_it_is_not_forgotten_when_the_full_flash_after_it_breaks_too(variant: Variant) -> None:
    model = begun(variant)
    image = image_of(variant, SIZE, IMAGES)
    choice = variant.choice(image)
    model.start(update(Job("the board", lambda _: choice), model.memory, LIMITS, model.now))
    board = model.air.board
    model.clock.run(lambda: getattr(board, "mode") == "bootloader" and model.memory.sent > 0, limit=60.0)  # noqa: B009
    model.kill()
    model.memory = replace(model.kept)
    model.clock.sleep(5.0)
    job = Job("the board", lambda _: choice, BoardMode.BOOTLOADER)
    assert model.run(update(job, model.memory, LIMITS, model.now)) is Proof.VERSION_READ_BACK
    model.clock.sleep(5.0)
    assert shown(model) == ("application", image)


@pytest.mark.parametrize("variant", [V1, V2], ids=["V1", "V2"])
def test_after_a_program_without_a_part_of_its_own_nobody_knows_whether_it_runs(variant: Variant) -> None:
    model = begun(variant)
    choice = replace(variant.choice(image_of(variant, SIZE, 2)), part=None)
    assert updated(model, choice) is Proof.RETURN_ALONE
    assert "pairing mode" in model.steps[-1].note
    assert (model.memory, model.kept) == (Memory(unended=True), Memory(unended=True))
    assert shown(model)[0] == "pairing"


def test_after_a_program_that_takes_no_part_either() -> None:
    board = LegacyBoard(memory=Memory(unended=True), modes=[BoardMode.APPLICATION])
    board.opens = [board.opened, Opened(frozenset(), 20, 4)]
    job = Job("the board", lambda _: Choice((payload(),), PART), BoardMode.BOOTLOADER)
    assert board.run(update(job, board.memory, LIMITS, board.clock)) is Proof.RETURN_ALONE
    assert (board.memory, board.kept[-1]) == (Memory(unended=True), Memory(unended=True))
    assert [note for note in board.notes if "sends all" in note] == []
    assert "pairing mode" in board.notes[-1]


def test_a_board_that_is_silent_is_not_in_its_pairing_mode() -> None:
    board = LegacyBoard(memory=Memory(unended=True))
    choice = Choice((payload(),))
    job = Job("the board", lambda _: choice, BoardMode.BOOTLOADER, may_be_silent=True)
    assert board.run(update(job, board.memory, LIMITS, board.clock)) is Proof.CHECK_ALONE
    assert (board.memory, board.kept[-1]) == (Memory(), Memory())
