"""A whole update: over how many connections, when it is given up, and when it is called done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET, MICROBIT_DFU, PARTIAL
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    AbsentError,
    Close,
    GattError,
    Heard,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Memory,
    Open,
    Opened,
    Request,
    Tell,
    Write,
)
from enmctl.dfu.update import Choice, Job, update
from enmctl.errors import FirmwareError, OfflineError, RefusedError, TransferError, UnsettledError
from enmctl.firmware.nordic import Protocol, Sizes
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode, Proof, Stage
from tests.logic.dfu.scripted import IMAGE, payload
from tests.logic.dfu.scripted_legacy import RESET, LegacyBoard
from tests.logic.dfu.scripted_partial import PartialBoard
from tests.logic.dfu.test_partial import PART, REGIONS

LIMITS = Limits()
APPLICATION, BOOTLOADER = BoardMode.APPLICATION, BoardMode.BOOTLOADER
PROGRAM = Opened(frozenset({MICROBIT_DFU}), 20, 5)
LEGACY = Opened(frozenset({LEGACY_CONTROL, LEGACY_PACKET}), 20, 3)
TWO_BANKS = replace(payload(), targets=(Target.NRF51822DK,))


def job(*payloads: Payload, mode: BoardMode = BOOTLOADER, silent: bool = False, part: bool = False) -> Job:
    choice = Choice(payloads or (payload(),), PART if part else None)
    return Job("the board", lambda _: choice, mode, may_be_silent=silent)


def updated(board: LegacyBoard | PartialBoard, what: Job | None = None) -> Proof:
    return board.run(update(what or job(), board.memory, LIMITS, board.clock))


def heard(*modes: BoardMode | None) -> list[BoardMode | None]:
    return list(modes)


def test_a_board_with_one_bank_that_is_back_runs_what_it_was_sent() -> None:
    board = LegacyBoard(modes=heard(APPLICATION))
    assert updated(board) is Proof.CHECK_AND_RETURN
    assert (board.image, board.memory) == (IMAGE, Memory())
    assert board.kept[-1] == Memory()


def test_a_board_in_its_bootloader_is_sent_all_though_a_part_might_do() -> None:
    board = LegacyBoard(modes=heard(APPLICATION))
    assert updated(board, job(part=True)) is Proof.CHECK_AND_RETURN
    assert board.notes == ["erases the old program"]
    stages = [tell.step.stage for tell in board.of(Tell)]
    assert stages[-2:] == [Stage.ACTIVATING, Stage.RETURNING]


def test_a_board_that_runs_its_program_is_brought_to_its_bootloader() -> None:
    board = LegacyBoard(opens=[PROGRAM, LegacyBoard().opened], modes=heard(APPLICATION))
    take = board.take

    def leaving(operation: Write | Request) -> None:
        if operation.characteristic == MICROBIT_DFU:
            board.gone = True
        else:
            take(operation)

    board.take = leaving  # type: ignore[method-assign]
    assert updated(board, job(mode=APPLICATION)) is Proof.CHECK_AND_RETURN
    assert [each.mode for each in board.of(Open)] == [APPLICATION, BOOTLOADER]


def test_a_legacy_board_with_two_banks_proves_nothing_but_its_return() -> None:
    assert updated(LegacyBoard(modes=heard(APPLICATION)), job(TWO_BANKS)) is Proof.RETURN_ALONE


def test_a_board_with_two_banks_that_did_not_let_go_may_run_its_old_program() -> None:
    board = LegacyBoard(modes=heard(APPLICATION, BOOTLOADER, APPLICATION), answers={"05": [LinkTimeoutError()]})
    assert updated(board, job(TWO_BANKS)) is Proof.RETURN_ALONE
    assert board.notes.count("starts over: it runs a program, and whether that is the new one cannot be told") == 1


def test_a_board_that_let_go_instead_of_answering_proves_its_return() -> None:
    board = LegacyBoard(modes=heard(APPLICATION), answers={"05": [LinkLostError()]})
    assert updated(board, job(TWO_BANKS)) is Proof.RETURN_ALONE
    assert board.notes == ["erases the old program"]


def test_a_board_that_let_go_and_is_in_its_bootloader_did_not_take_the_order() -> None:
    board = LegacyBoard(modes=heard(BOOTLOADER, BOOTLOADER, APPLICATION), answers={"05": [LinkLostError()]})
    assert updated(board, job(TWO_BANKS)) is Proof.RETURN_ALONE
    assert board.notes.count("starts over: it did not start the new program") == 1


def test_a_board_that_is_back_in_its_bootloader_is_begun_anew() -> None:
    board = LegacyBoard(modes=heard(BOOTLOADER, BOOTLOADER, APPLICATION))
    assert updated(board) is Proof.CHECK_AND_RETURN
    assert board.notes.count("starts over: it did not start the new program") == 1
    assert board.requests.count("01 04") == 2


def test_a_board_that_is_not_heard_again_is_not_settled_and_looked_for_long() -> None:
    board = LegacyBoard()
    with pytest.raises(UnsettledError) as raised:
        updated(board)
    assert raised.value.reason == "no-return"
    assert board.of(Heard)[-1] == Heard(None, LIMITS.back)


def test_a_program_that_may_be_silent_is_believed_where_the_board_let_go() -> None:
    board = LegacyBoard()
    assert updated(board, job(silent=True)) is Proof.CHECK_ALONE
    assert board.of(Heard)[-1] == Heard(None, LIMITS.silent)


def test_and_not_where_it_did_not() -> None:
    with pytest.raises(UnsettledError):
        updated(LegacyBoard(answers={"05": [LinkLostError()]}), job(silent=True))


def test_what_the_board_says_no_to_twice_is_refused_for_good() -> None:
    board = LegacyBoard(answers={"02 01": [b"\x10\x02\x03"] * 5})
    with pytest.raises(RefusedError) as raised:
        updated(board)
    assert (raised.value.reason, board.requests.count("02 01")) == ("refused", 2)


def test_a_refusal_has_the_board_reset_and_let_go() -> None:
    board = LegacyBoard(answers={"02 01": [b"\x10\x02\x06"]})
    with pytest.raises(RefusedError) as raised:
        updated(board)
    assert (raised.value.reason, board.requests[-1], isinstance(board.asked[-1], Close)) == (
        "init-refused",
        RESET,
        True,
    )


def test_after_eight_begun_anew_it_is_given_up_and_goes_on_when_tried_again() -> None:
    board = LegacyBoard(answers={"02 01": [b"\x10\x02\x02"] * 99})
    with pytest.raises(TransferError) as raised:
        updated(board)
    assert (raised.value.reason, board.requests.count("02 01")) == ("restarts", LIMITS.restarts + 1)
    assert "goes on when it is flashed again" in str(raised.value.remedy)
    assert board.memory.begun == "dfu"


def test_connections_that_bring_nothing_forward_are_given_up_after_four() -> None:
    board = LegacyBoard(answers={"07": [LinkLostError()] * 99})
    with pytest.raises(TransferError) as raised:
        updated(board)
    assert (raised.value.reason, len(board.of(Open))) == ("link-lost", LIMITS.tries)
    assert "is as it was" in str(raised.value.remedy)


@pytest.mark.parametrize(("mode", "words"), [(APPLICATION, "Bluetooth settings"), (BOOTLOADER, "other programs")])
def test_a_program_that_hangs_up_each_time_may_have_lost_its_bond_and_a_bootloader_has_none(
    mode: BoardMode, words: str
) -> None:
    board = LegacyBoard(opens=[LinkLostError()] * 99, modes=[mode] * 99)
    with pytest.raises(OfflineError) as raised:
        updated(board, job(mode=mode))
    assert words in raised.value.remedy


def test_connections_that_bring_something_forward_are_not() -> None:
    """Each takes the board 100 bytes further and breaks then."""
    board = LegacyBoard(modes=heard(*[BOOTLOADER] * 10, APPLICATION))
    take = board.take

    def breaking(operation: Write | Request) -> None:
        take(operation)
        if len(board.packets) % 5 == 0 and isinstance(operation, Write) and 0 < len(board.packets) < 51:
            board.gone = True
            board.said.clear()

    board.take = breaking  # type: ignore[method-assign]
    assert updated(board) is Proof.CHECK_AND_RETURN
    assert (board.image, len(board.of(Open))) == (IMAGE, 11)


def test_what_brings_something_forward_forgives_all_that_did_not() -> None:
    board = LegacyBoard(modes=heard(*[BOOTLOADER] * 5, APPLICATION))
    lost, opened = AbsentError(), board.opened
    board.opens = [lost, lost, opened, lost, lost, opened]
    take = board.take

    def breaking(operation: Write | Request) -> None:
        take(operation)
        if len(board.packets) == 5 and isinstance(operation, Write):
            board.gone = True

    board.take = breaking  # type: ignore[method-assign]
    assert updated(board) is Proof.CHECK_AND_RETURN
    assert len(board.of(Open)) == 6


def test_a_board_that_was_never_reached_is_offline() -> None:
    board = LegacyBoard(opens=[AbsentError()] * 99)
    with pytest.raises(OfflineError):
        updated(board)
    assert len(board.of(Open)) == LIMITS.tries


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LinkLostError(), "the connection broke"),
        (LinkTimeoutError(), "the connection broke"),
        (GattError(0x0E), "it answered with an error (ATT error 0x0E)"),
    ],
)
def test_why_it_tries_again_is_told(error: LinkError, why: str) -> None:
    board = LegacyBoard(modes=heard(BOOTLOADER, APPLICATION), answers={"07": [error]})
    updated(board)
    assert board.notes[0] == why


def test_that_a_board_was_not_heard_is_told() -> None:
    board = LegacyBoard(modes=heard(BOOTLOADER, APPLICATION))
    board.opens = [board.opened, AbsentError()]
    board.answers = {"07": [LinkLostError()]}
    board.modes = heard(BOOTLOADER, BOOTLOADER, APPLICATION)
    updated(board)
    assert board.notes[:2] == ["the connection broke", "it was not heard, or took no connection"]


def test_after_a_setback_the_board_is_looked_for_in_any_mode() -> None:
    board = LegacyBoard(opens=[LegacyBoard().opened, AbsentError()], answers={"07": [LinkLostError()]})
    board.modes = heard(APPLICATION, BOOTLOADER, APPLICATION)
    updated(board)
    assert [each.mode for each in board.of(Open)] == [BOOTLOADER, APPLICATION, BOOTLOADER]
    assert board.of(Heard)[0] == Heard(None, LIMITS.answer)


@pytest.mark.parametrize("code", [0x05, 0x08, 0x0C, 0x0F])
def test_a_board_that_lets_nobody_in_without_a_bond_is_not_tried_again(code: int) -> None:
    for board, mode in (
        (LegacyBoard(answers={"07": [GattError(code)]}), BOOTLOADER),
        (LegacyBoard(opens=[PROGRAM], answers={"01": [GattError(code)]}), APPLICATION),
    ):
        with pytest.raises(RefusedError) as raised:
            updated(board, job(mode=mode))
        assert (raised.value.reason, raised.value.permanent, len(board.of(Open))) == ("needs-bond", False, 1)
        assert isinstance(board.asked[-1], Close)


def test_an_error_that_has_nothing_to_do_with_a_bond_is_tried_again() -> None:
    board = LegacyBoard(opens=[PROGRAM], answers={"01": [GattError(0x0E)]}, modes=heard(BOOTLOADER, APPLICATION))
    assert updated(board, job(mode=APPLICATION)) is Proof.CHECK_AND_RETURN


def test_firmware_for_the_other_protocol_is_refused() -> None:
    board = LegacyBoard()
    with pytest.raises(RefusedError) as raised:
        updated(board, job(payload(protocol=Protocol.SECURE)))
    assert (raised.value.reason, board.requests, isinstance(board.asked[-1], Close)) == ("wrong-protocol", [], True)


def test_what_is_connected_and_offers_nothing_is_tried_again() -> None:
    stale = Opened(frozenset(), 20, 3)
    board = LegacyBoard(opens=[stale], modes=heard(BOOTLOADER, APPLICATION))
    assert updated(board) is Proof.CHECK_AND_RETURN


def test_where_there_is_nothing_for_the_board_nothing_is_done() -> None:
    def choose(_: Opened) -> Choice:
        raise FirmwareError("nothing")

    board = LegacyBoard()
    with pytest.raises(FirmwareError):
        updated(board, Job("the board", choose, BOOTLOADER))
    assert board.requests == []


def test_two_payloads_go_one_after_the_other_each_forgotten_when_it_is_there() -> None:
    system = payload(bytes(400), sizes=Sizes(softdevice=400))
    board = LegacyBoard(modes=heard(APPLICATION))
    assert updated(board, job(system, payload())) is Proof.CHECK_AND_RETURN
    assert [request for request in board.requests if request.startswith("01")] == ["01 01", "01 04"]
    assert (len(board.of(Heard)), board.image) == (1, IMAGE)


def partly(board: PartialBoard, **how: bool) -> Proof:
    return updated(board, job(mode=APPLICATION, part=True, **how))


def test_the_part_alone_is_sent_where_that_will_do_and_the_program_asked_what_it_is() -> None:
    board = PartialBoard(regions=dict(REGIONS), modes=heard(APPLICATION))
    take = board.take

    def ending(operation: Write | Request) -> None:
        if operation.data == b"\2":
            board.mode, board.gone = 1, True
            board.regions[2] = (*board.regions[2][:2], PART.own_hash or b"")
        take(operation)

    board.take = ending  # type: ignore[method-assign]
    assert partly(board) is Proof.VERSION_READ_BACK
    assert (board.memory, len(board.of(Open))) == (Memory(), 2)


def test_a_program_that_the_board_has_needs_nothing() -> None:
    regions = {**REGIONS, 2: (*REGIONS[2][:2], PART.own_hash or b"")}
    board = PartialBoard(regions=regions, mode=1, memory=Memory(begun="dfu", sha256="other", unended=True))
    assert partly(board) is Proof.VERSION_READ_BACK
    assert (board.memory, board.kept[-1]) == (Memory(), Memory())
    assert "nothing to send" in board.notes[0]
    assert board.blocks == []


def test_a_board_that_waits_for_the_rest_is_begun_anew() -> None:
    board = PartialBoard(regions=dict(REGIONS), modes=heard(*[APPLICATION] * 99))
    with pytest.raises(TransferError) as raised:
        partly(board)
    assert raised.value.reason == "restarts"
    assert board.memory.begun == "partial"
    assert any("waits for the rest" in note for note in board.notes)


def test_a_board_that_is_silent_after_its_part_has_taken_the_order() -> None:
    assert partly(PartialBoard(regions=dict(REGIONS)), silent=True) is Proof.CHECK_ALONE
    with pytest.raises(UnsettledError):
        partly(PartialBoard(regions=dict(REGIONS)))


def test_a_partial_flash_that_breaks_is_never_given_up_for_a_full_one() -> None:
    board = PartialBoard(regions=dict(REGIONS), modes=heard(*[APPLICATION] * 99), words=[LinkLostError()] * 99)
    with pytest.raises(TransferError) as raised:
        partly(board)
    assert (raised.value.reason, board.memory.begun) == ("link-lost", "partial")
    assert "flash the same file again" in str(raised.value.remedy)
    assert not board.of(Request)


def test_a_board_that_is_heard_in_its_bootloader_amid_a_partial_flash_is_not_sent_all_either() -> None:
    board = PartialBoard(regions=dict(REGIONS), modes=heard(*[BOOTLOADER] * 9), words=[LinkLostError()] * 99)
    with pytest.raises(TransferError):
        partly(board)
    assert {each.mode for each in board.of(Open)} == {APPLICATION}
    assert not board.of(Request)


def test_one_that_is_heard_there_before_anything_was_written_is() -> None:
    board = PartialBoard(regions=dict(REGIONS), modes=heard(*[BOOTLOADER] * 9), answers={"00 01": [LinkLostError()]})
    with pytest.raises(TransferError):
        partly(board)
    assert [each.mode for each in board.of(Open)][:2] == [APPLICATION, BOOTLOADER]


def test_a_piece_of_this_program_that_does_not_go_on_is_told_and_not_replaced() -> None:
    other = {**REGIONS, 1: (0x18000, REGIONS[2][0], b"changed!")}
    board = PartialBoard(regions=other, memory=Memory(begun="partial", sha256=payload().sha256))
    with pytest.raises(TransferError) as raised:
        partly(board)
    assert (raised.value.reason, "--full" in str(raised.value.remedy)) == ("partial-stuck", True)
    assert not board.of(Request)


@pytest.mark.parametrize(
    ("regions", "sha256", "why"),
    [
        ({**REGIONS, 1: (0x18000, REGIONS[2][0], b"changed!")}, "other", "another version of the runtime"),
        ({}, payload().sha256, "does not tell what it runs on"),
    ],
)
def test_a_piece_of_another_program_or_of_a_runtime_that_is_gone_is_replaced_and_that_is_told(
    regions: dict[int, tuple[int, int, bytes]], sha256: str, why: str
) -> None:
    board = PartialBoard(regions=regions, memory=Memory(begun="partial", sha256=sha256))
    with pytest.raises(RefusedError):
        partly(board)
    assert why in board.notes[0]
    assert "after a partial flash that broke" in board.notes[0]


def test_why_all_of_it_is_sent_is_told() -> None:
    board = PartialBoard(opened=PROGRAM, regions={})
    board.opened = Opened(frozenset({PARTIAL}), 20, 3)
    with pytest.raises(RefusedError):
        partly(board)
    assert board.notes == ["sends all: the board does not tell what it runs on"]
