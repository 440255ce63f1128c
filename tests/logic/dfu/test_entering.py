"""How a running program is brought to start its bootloader, and how a board is restarted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from enmctl.dfu.entering import enter_bootloader, is_bootloader
from enmctl.dfu.gatt import (
    BUTTONLESS_BONDED,
    BUTTONLESS_OPEN,
    BUTTONLESS_SDK12,
    LEGACY_CONTROL,
    LEGACY_PACKET,
    LEGACY_VERSION,
    MICROBIT_DFU,
    PARTIAL,
    SECURE_CONTROL,
    SECURE_PACKET,
)
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    AbsentError,
    Close,
    GattError,
    Heard,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Open,
    Opened,
    Request,
    Subscribe,
    Write,
)
from enmctl.dfu.restarting import restart
from enmctl.errors import OfflineError, RefusedError, TransferError, UnsettledError
from enmctl.models import BoardMode
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import Model
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits
from tests.logic.dfu.scripted import Answer, Scripted

LIMITS = Limits()
APPLICATION, BOOTLOADER = BoardMode.APPLICATION, BoardMode.BOOTLOADER
LEGACY = {LEGACY_CONTROL, LEGACY_PACKET}


@dataclass
class Program(Scripted):
    """A program that takes every order; ``confirms`` is what it says to one."""

    version: bytes = b"\1\0"
    confirms: bytes | None = b"\x20\x01\x01"
    written: list[tuple[str, str]] = field(default_factory=list)

    def read(self) -> bytes:
        return self.version

    def take(self, operation: Write | Request) -> None:
        self.written.append((operation.characteristic, operation.data.hex()))
        if self.confirms is not None:
            self.notify(operation.characteristic, self.confirms)


def opened(*characteristics: str, services: int = 5) -> Opened:
    return Opened(frozenset(characteristics), 20, services)


def enter(board: Program, *characteristics: str, services: int = 5) -> bool:
    return board.run(enter_bootloader(opened(*characteristics, services=services), LIMITS))


@pytest.mark.parametrize(
    ("characteristics", "version", "services", "is_it"),
    [
        ({SECURE_CONTROL}, None, 9, True),
        (LEGACY, 8, 9, True),
        (LEGACY, 4, 9, True),
        (LEGACY, 1, 3, False),
        (LEGACY, None, 3, True),
        (LEGACY, None, 4, False),
        (LEGACY, None, 0, False),
        ({MICROBIT_DFU, PARTIAL}, None, 3, False),
        ({BUTTONLESS_OPEN}, None, 3, False),
        (set(), None, 3, False),
    ],
)
def test_a_bootloader_is_told_from_a_program_by_what_it_offers(
    characteristics: set[str], version: int | None, services: int, is_it: bool
) -> None:
    assert is_bootloader(opened(*characteristics, services=services), version) is is_it


def test_a_bootloader_that_runs_already_is_told_nothing() -> None:
    for characteristics, version in (((SECURE_CONTROL,), b""), ((*LEGACY, LEGACY_VERSION), b"\4\0")):
        board = Program(version=version)
        assert not enter(board, *characteristics)
        assert (board.written, board.of(Close)) == ([], [])


def test_a_microbit_takes_an_order_of_its_own_before_any_other() -> None:
    board = Program()
    assert enter(board, MICROBIT_DFU, BUTTONLESS_OPEN, *LEGACY, LEGACY_VERSION)
    assert board.written == [(MICROBIT_DFU, "01")]
    assert board.of(Subscribe) == []
    assert board.asked[-2:] == [Lost(LIMITS.gone), Close()]


@pytest.mark.parametrize("uuid", [BUTTONLESS_BONDED, BUTTONLESS_OPEN, BUTTONLESS_SDK12])
def test_a_buttonless_service_confirms_the_order(uuid: str) -> None:
    board = Program()
    assert enter(board, uuid)
    assert (board.of(Subscribe), board.written) == ([Subscribe(uuid)], [(uuid, "01")])


def test_the_bonded_service_is_used_where_both_are_there() -> None:
    board = Program()
    enter(board, BUTTONLESS_OPEN, BUTTONLESS_BONDED)
    assert board.written == [(BUTTONLESS_BONDED, "01")]


def test_a_legacy_program_is_told_on_the_control_point_with_notifications_on() -> None:
    board = Program()
    assert enter(board, *LEGACY, LEGACY_VERSION)
    assert (board.of(Subscribe), board.written) == ([Subscribe(LEGACY_CONTROL)], [(LEGACY_CONTROL, "0104")])


def test_without_a_version_the_number_of_services_tells() -> None:
    assert enter(Program(), *LEGACY, services=4)
    assert not enter(Program(), *LEGACY, services=3)


def test_a_program_that_offers_no_way_says_what_to_do() -> None:
    with pytest.raises(RefusedError) as raised:
        enter(Program(), PARTIAL)
    assert (raised.value.reason, "buttons" in str(raised.value.remedy)) == ("unsupported", True)


@pytest.mark.parametrize("error", [LinkLostError(), LinkTimeoutError()])
@pytest.mark.parametrize("uuid", [MICROBIT_DFU, LEGACY_CONTROL, BUTTONLESS_OPEN])
def test_an_order_whose_answer_gets_lost_counts_as_taken(uuid: str, error: LinkError) -> None:
    answers: dict[str, list[Answer]] = {"01": [error]}
    assert enter(Program(answers=answers), uuid)


def test_an_order_that_is_answered_with_an_error_does_not() -> None:
    with pytest.raises(GattError):
        enter(Program(answers={"01": [GattError(0x05)]}), MICROBIT_DFU)


def test_a_connection_that_breaks_before_the_confirmation_counts_as_one() -> None:
    class Leaving(Program):
        def take(self, operation: Write | Request) -> None:
            del operation
            self.gone = True

    board = Leaving()
    assert enter(board, BUTTONLESS_OPEN)
    assert board.now == 0.0


@pytest.mark.parametrize("confirmation", [None, b"\x20\x01", b"\x60\x01\x04"])
def test_what_is_no_confirmation_says_nothing(confirmation: bytes | None) -> None:
    assert enter(Program(confirms=confirmation), BUTTONLESS_OPEN)


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        (2, "does not know the order", "refused"),
        (4, "it failed", "refused"),
        (5, "name is not allowed", "refused"),
        (6, "busy", "refused"),
        (7, "not bonded", "not-bonded"),
        (9, "code 9", "refused"),
    ],
)
def test_a_program_that_will_not_says_why_and_may_be_asked_again(code: int, words: str, reason: str) -> None:
    with pytest.raises(RefusedError) as raised:
        enter(Program(confirms=bytes((0x20, 1, code))), BUTTONLESS_BONDED)
    assert (raised.value.reason, raised.value.permanent, words in str(raised.value)) == (reason, False, True)
    assert ("pair" in str(raised.value.remedy)) is (code == 7)


def test_a_program_that_stays_did_not_do_as_it_said() -> None:
    with pytest.raises(TransferError) as raised:
        enter(Program(leaves=False), BUTTONLESS_OPEN)
    assert raised.value.reason == "no-bootloader"


def restarted(board: Program, mode: BoardMode = APPLICATION) -> None:
    board.run(restart("the board", mode, LIMITS))


def test_a_microbit_restarts_by_partial_flashing_and_is_waited_for() -> None:
    board = Program(opened=opened(PARTIAL, MICROBIT_DFU), modes=[APPLICATION])
    restarted(board)
    assert board.written == [(PARTIAL, "ff01")]
    assert board.asked[-2:] == [Close(), Heard(APPLICATION, LIMITS.back)]


def test_another_board_restarts_by_way_of_its_legacy_bootloader() -> None:
    first = opened(MICROBIT_DFU)
    board = Program(opens=[first, opened(*LEGACY, services=3)], modes=[APPLICATION])
    restarted(board)
    assert board.written == [(MICROBIT_DFU, "01"), (LEGACY_CONTROL, "06")]
    assert [each.mode for each in board.of(Open)] == [APPLICATION, BOOTLOADER]
    assert board.of(Subscribe) == [Subscribe(LEGACY_CONTROL)]


def test_a_board_in_its_legacy_bootloader_is_told_to_reset() -> None:
    for board in (
        Program(opened=opened(*LEGACY), modes=[APPLICATION]),
        Program(opened=opened(*LEGACY), modes=[APPLICATION], answers={"06": [LinkLostError()]}),
    ):
        restarted(board, BOOTLOADER)
        assert [request.data for request in board.of(Request)] == [b"\6"]
        assert [each.mode for each in board.of(Open)] == [BOOTLOADER]
        lost = [] if board.answers else [Lost(LIMITS.gone)]
        assert board.asked[-2 - len(lost) :] == [*lost, Close(), Heard(APPLICATION, LIMITS.back)]


def test_a_bootloader_that_was_taken_for_a_program_is_told_to_reset_too() -> None:
    board = Program(opened=opened(*LEGACY, services=3), modes=[APPLICATION])
    restarted(board)
    assert board.written == [(LEGACY_CONTROL, "06")]
    assert len(board.of(Open)) == 1


def test_a_program_without_a_way_to_restart_is_told_so() -> None:
    with pytest.raises(RefusedError) as raised:
        restarted(Program(opened=opened(BUTTONLESS_OPEN)))
    assert raised.value.reason == "unsupported"


@pytest.mark.parametrize("mode", [APPLICATION, BOOTLOADER])
def test_a_secure_bootloader_cannot_be_told_to_restart_and_starts_its_program_by_itself(mode: BoardMode) -> None:
    board = Program(opened=opened(SECURE_CONTROL, SECURE_PACKET, services=3))
    with pytest.raises(RefusedError, match="cannot be told to restart") as raised:
        restarted(board, mode)
    assert (raised.value.reason, raised.value.permanent) == ("unsupported", False)
    assert "by itself within two minutes" in raised.value.remedy
    assert board.asked[-1] == Close()
    assert not board.written


def test_a_board_that_wants_a_bond_for_it_is_told_so() -> None:
    for code in (0x05, 0x08, 0x0C, 0x0F):
        board = Program(opened=opened(MICROBIT_DFU), answers={"01": [GattError(code)]})
        with pytest.raises(RefusedError) as raised:
            restarted(board)
        assert raised.value.reason == "needs-bond"


@pytest.mark.parametrize("error", [GattError(0x0E), AbsentError(), LinkLostError()])
def test_a_board_that_is_not_reached_or_answers_with_an_error_is_offline(error: LinkError) -> None:
    with pytest.raises(OfflineError):
        restarted(Program(opens=[error]))


@pytest.mark.parametrize("make", [presets.microbit_v1, presets.microbit_v2])
def test_a_program_that_nobody_hears_has_been_restarted_all_the_same(make: Callable[..., NordicBoard]) -> None:
    board = make(runtime=RuntimeTraits(open=True, partial=True), program=ProgramTraits(bluetooth=False))
    model = Model(board, Timing())
    model.air.power(on=True)
    model.air.take(board.reset(model.now(), Boot.PAIRING))
    model.clock.sleep(2.0)
    began = model.now()
    assert model.run(restart("zavit", APPLICATION, LIMITS, may_be_silent=True)) is False
    assert model.now() - began < LIMITS.silent + LIMITS.gone
    assert board.mode == "application"


@pytest.mark.parametrize("mode", [APPLICATION, BOOTLOADER])
def test_silence_is_a_restart_only_of_a_board_that_left_for_it(mode: BoardMode) -> None:
    def board(**made: Any) -> Program:
        return Program(opened=opened(PARTIAL) if mode is APPLICATION else opened(*LEGACY), **made)

    order = partial(restart, "the board", mode, LIMITS)
    assert board(modes=[APPLICATION]).run(order(may_be_silent=True)) is True
    assert board().run(order(may_be_silent=True)) is False
    for unsure in (board(leaves=False), board(modes=[BOOTLOADER])):
        with pytest.raises(UnsettledError):
            unsure.run(order(may_be_silent=True))


def test_a_board_that_does_not_come_back_is_not_settled() -> None:
    with pytest.raises(UnsettledError) as raised:
        restarted(Program(opened=opened(PARTIAL)))
    assert raised.value.reason == "no-return"
