"""The data of the legacy protocol: how much is under way, what receipts and errors do, and how fast it goes on."""

from __future__ import annotations

import pytest

from enmctl.dfu.gatt import LEGACY_CONTROL
from enmctl.dfu.link import (
    LinkLostError,
    Memory,
    Notification,
    Request,
    Tell,
    Write,
)
from enmctl.models import Stage
from tests.logic.dfu.scripted import IMAGE, payload
from tests.logic.dfu.scripted_legacy import (
    LIMITS,
    MICROBIT,
    PACKETS,
    RESET,
    LegacyBoard,
    begun_anew,
    passed,
)


@pytest.mark.parametrize(("version", "window"), [(8, 24), (MICROBIT, 24), (None, 20)])
def test_never_more_than_two_receipts_worth_is_under_way_and_an_overdue_receipt_is_asked_after(
    version: int | None, window: int
) -> None:
    board = LegacyBoard(version=version, silent=True, request_seconds=0.1)
    passed(board)
    counted: list[int] = []
    under_way = 0
    for operation in board.asked[board.asked.index(Request(LEGACY_CONTROL, b"\x03")) :]:
        if isinstance(operation, Write):
            under_way += 1
        elif isinstance(operation, Request) and operation.data == b"\x07":
            counted.append(under_way)
            under_way = 0
    assert counted == [*([window] * (len(PACKETS) // window)), len(PACKETS) % window]
    assert board.now == pytest.approx(
        LIMITS.stall * (len(counted) - 1) + LIMITS.answer, abs=0.1 * len(board.requests) + 0.01
    )


def test_with_receipts_nothing_is_waited_for_and_no_barrier_is_needed() -> None:
    board = LegacyBoard()
    passed(board)
    assert (board.now, board.requests.count("07")) == (0.0, 1)


@pytest.mark.parametrize("packets", [11, 12, 13, 24, 48])
def test_no_receipt_is_awaited_for_the_last_packet(packets: int) -> None:
    board = LegacyBoard()
    passed(board, payload(bytes(20 * packets)))
    assert (board.now, len(board.packets), board.requests.count("07")) == (0.0, packets, 1)


@pytest.mark.parametrize("excess", [4, 20, 240])
def test_a_receipt_that_counts_more_than_was_sent_is_a_reason_to_begin_anew(excess: int) -> None:
    board = LegacyBoard()
    said = board.say

    def miscounting(data: bytes) -> None:
        said(data if data[:1] != b"\x11" else b"\x11" + (board.received + excess).to_bytes(4, "little"))

    board.say = miscounting  # type: ignore[method-assign]
    assert begun_anew(board).why == "it counts more bytes than it was sent"
    assert (board.memory.tainted, board.requests[-1]) == (True, RESET)


def test_the_answer_to_the_last_packet_before_the_last_packet_is_a_reason_to_begin_anew() -> None:
    board = LegacyBoard(answers={"03": [b"\x10\x03\x01"]})
    assert begun_anew(board).why == "it counts more bytes than it was sent"
    assert board.memory.tainted


def test_a_receipt_that_counts_less_than_the_one_before_changes_nothing() -> None:
    board = LegacyBoard()
    said = board.say

    def repeating(data: bytes) -> None:
        said(data)
        if data[:1] == b"\x11":
            said(b"\x11" + (20).to_bytes(4, "little"))

    board.say = repeating  # type: ignore[method-assign]
    passed(board)
    assert (board.image, board.now) == (IMAGE, 0.0)


def test_when_the_answer_to_the_last_packet_gets_lost_the_board_is_asked() -> None:
    board = LegacyBoard()
    said = board.say
    board.say = lambda data: None if data[:2] == b"\x10\x03" else said(data)  # type: ignore[method-assign]
    passed(board)
    assert board.requests[-3:] == ["07", "04", "05"]
    assert board.memory.proven == len(IMAGE)


def test_what_was_handed_to_the_link_is_known_to_the_packet_when_it_breaks() -> None:
    board = LegacyBoard(version=MICROBIT)
    take = board.take

    def breaking(operation: Write | Request) -> None:
        take(operation)
        board.gone = len(board.packets) == 5 and isinstance(operation, Write)

    board.take = breaking  # type: ignore[method-assign]
    with pytest.raises(LinkLostError):
        passed(board)
    assert board.memory.sent == board.received == 100


def test_the_answer_to_the_last_packet_is_waited_for() -> None:
    class Slow(LegacyBoard):
        last: Notification | None = None

        def say(self, data: bytes) -> None:
            super().say(data)
            if data == b"\x10\x03\x01":
                self.last = self.said.pop()

        def wait(self, seconds: float) -> Notification | None:
            if self.last is None or not seconds:
                return super().wait(seconds)
            last, self.last = self.last, None
            self.now += 3.0
            return last

    board = Slow()
    passed(board)
    assert (board.now, board.requests.count("07")) == (3.0, 1)


def test_what_came_while_the_board_was_asked_counts() -> None:
    for said, why in ((b"\x10\x03\x02", "it said of the data: that is not its turn"), (b"\x11\x14\0\0\0", "")):
        board = LegacyBoard(silent=True)

        def adding(operation: Write | Request, board: LegacyBoard = board, said: bytes = said) -> None:
            if operation.data == b"\7" and board.packets:
                board.say(said)
            LegacyBoard.take(board, operation)

        board.take = adding  # type: ignore[method-assign]
        if why:
            assert begun_anew(board).why == why
            assert board.memory.pace is None
        else:
            passed(board)


def test_a_board_that_when_asked_counts_more_than_was_sent_is_begun_anew() -> None:
    board = LegacyBoard(silent=True)
    take = board.take

    def adding(operation: Write | Request) -> None:
        board.received += 4 if operation.data == b"\7" and board.packets else 0
        take(operation)

    board.take = adding  # type: ignore[method-assign]
    assert begun_anew(board).why == "it counts more bytes than it was sent"
    assert (board.memory.tainted, board.requests[-1]) == (True, RESET)


def test_progress_is_told_by_what_the_board_counts() -> None:
    board = LegacyBoard()
    passed(board)
    steps = [tell.step for tell in board.of(Tell)]
    assert [step.done for step in steps if step.total] == [0, 240, 480, 720, 960, 960, 1024]
    assert {step.total for step in steps if step.stage is Stage.TRANSFERRING} == {1024}
    assert steps[-1].stage is Stage.ACTIVATING
    assert board.notes == ["erases the old program"]


@pytest.mark.parametrize("error", [2, 3, 4, 5, 7])
def test_an_error_in_the_data_resets_the_board_without_slowing_down(error: int) -> None:
    board = LegacyBoard(answers={"03": [bytes((0x10, 3, error))]})
    setback = begun_anew(board)
    assert setback.why.startswith("it said of the data: ")
    assert (board.memory.tainted, board.memory.pace, board.requests[-1]) == (True, None, RESET)


def test_of_a_burst_of_errors_the_first_counts() -> None:
    board = LegacyBoard(answers={"03": [b"\x10\x03\x06"]})
    said = board.say

    def bursting(data: bytes) -> None:
        said(data)
        if data == b"\x10\x03\x06":
            for _ in range(8):
                said(b"\x10\x03\x04")

    board.say = bursting  # type: ignore[method-assign]
    begun_anew(board)
    assert board.memory.pace == pytest.approx(12_800.0)


@pytest.mark.parametrize("version", [8, MICROBIT])
def test_after_an_overflow_all_is_sent_anew_slower_and_the_pace_is_remembered(version: int) -> None:
    board = LegacyBoard(version=version, answers={"03": [b"\x10\x03\x06"]})
    assert begun_anew(board).why == "that was too fast for it, now at most 12.8 kB/s"
    assert board.memory.pace == pytest.approx(12_800.0)
    assert board.memory.tainted
    assert (board.requests[-1], board.kept[-1].pace) == (RESET, board.memory.pace)

    board.gone, board.received = False, 500
    assert begun_anew(board).why == "what it has may have a hole"

    board.gone, board.asked = False, []
    passed(board)
    assert board.memory.pace == pytest.approx(12_800.0)
    assert board.image == IMAGE
    assert board.now == pytest.approx((len(IMAGE) - 100) / 12_800, rel=0.05)


def test_a_second_overflow_slows_down_from_the_pace_that_is_known() -> None:
    board = LegacyBoard(memory=Memory(pace=10_000.0), answers={"03": [b"\x10\x03\x06"]})
    begun_anew(board)
    assert board.memory.pace == pytest.approx(8_000.0)


def test_packets_that_were_dropped_without_a_word_are_found_by_asking() -> None:
    board = LegacyBoard(version=MICROBIT, silent=True, drops=lambda _: bool(len(board.packets) == 10))
    setback = begun_anew(board)
    assert "too fast" in setback.why
    assert (board.memory.tainted, board.requests[-1]) == (True, RESET)


def test_a_board_that_checks_nothing_is_asked_now_and_then_whether_it_has_all() -> None:
    class Clocked(LegacyBoard):
        def write(self, operation: Write | Request) -> None:
            self.now += 0.0025 if isinstance(operation, Write) else 0.0
            super().write(operation)

    asked = {}
    for version in (MICROBIT, 8):
        board = Clocked(version=version, request_seconds=0.01)
        passed(board, payload(bytes(20 * 1024)))
        asked[version] = board.requests.count("07")
    assert asked == {MICROBIT: 3, 8: 1}
