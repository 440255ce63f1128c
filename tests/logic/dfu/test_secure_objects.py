"""The objects of the secure protocol: how they go over, and what becomes of lost ones, by scripted boards."""

from __future__ import annotations

import struct
from typing import ClassVar
from zlib import crc32

import pytest

from enmctl.dfu.gatt import SECURE_CONTROL, SECURE_PACKET
from enmctl.dfu.link import (
    Opened,
    Request,
    Subscribe,
    Tell,
    Write,
)
from enmctl.dfu.secure import ERASING, HELD, SETTLING, SETTLING_HELD, WINDOWS
from enmctl.models import Stage
from tests.logic.dfu.scripted_secure import (
    IMAGE,
    INIT,
    OBJECTS,
    SecureBoard,
    begun_anew,
    board_of,
    passed,
)


def test_the_whole_goes_in_the_order_of_the_protocol() -> None:
    board = board_of()
    passed(board)
    objects = ["01 02 00 10 00 00", "04", "01 02 00 10 00 00", "04"]
    init = ["06 01", "01 01 38 00 00 00", "03", "04"]
    last = ["02 05 00", "01 02 00 04 00 00", "04"]
    assert board.requests == ["02 00 00", *init, "06 02", "02 11 00", *objects, *last]
    assert isinstance(board.asked[0], Subscribe)
    assert {write.characteristic for write in board.of(Write)} == {SECURE_PACKET}
    assert {request.characteristic for request in board.of(Request)} == {SECURE_CONTROL}
    assert (board.command, board.data, board.objects) == (INIT, IMAGE, OBJECTS)
    assert (board.memory.validated, board.memory.activated, board.memory.proven) == (True, True, len(IMAGE))


@pytest.mark.parametrize(
    ("most", "packet"), [(20, 20), (23, 20), (182, 180), (244, 244), (509, 244), (0, 20), (19, 20)]
)
def test_packets_are_as_long_as_link_and_board_take_in_whole_words(most: int, packet: int) -> None:
    board = board_of(most=most)
    passed(board)
    assert max(map(len, board.packets)) == packet
    assert not [data for data in board.packets if len(data) % 4]
    assert board.data == IMAGE


def test_of_small_packets_only_so_many_are_under_way_as_receipts_allow() -> None:
    board = board_of(most=20)
    passed(board)
    assert board.requests.count("02 07 00") == 1
    assert board.now < 1.0


def test_without_receipts_no_more_than_the_window_goes_before_the_board_is_asked() -> None:
    board = board_of(most=20)
    say = board.say

    def losing(data: bytes) -> None:
        if data[:2] != b"\x60\x03" or board.requests[-1] == "03":
            say(data)

    board.say = losing  # type: ignore[method-assign]
    assert "got lost 4 times" in begun_anew(board).why
    under_way = [0]
    for operation in board.asked:
        if isinstance(operation, Request):
            under_way.append(0)
        elif isinstance(operation, Write):
            under_way[-1] += 1
    assert [number for number in under_way if number][1:] == list(WINDOWS)


@pytest.mark.parametrize("most", [20, 244])
def test_while_a_page_is_erased_no_more_goes_than_the_boards_queue_holds(most: int) -> None:
    class Counting(SecureBoard):
        held: ClassVar[list[int]] = []
        until = 0.0

        def write(self, operation: Write | Request) -> None:
            if isinstance(operation, Request) and operation.data[:2] == b"\1\2":
                self.until = self.now + ERASING + (0 if self.held else SETTLING)
                self.held.append(0)
            elif isinstance(operation, Write) and self.now < self.until:
                self.held[-1] += 1
            super().write(operation)

    board = Counting(announced=len(IMAGE), most=most)
    board.held.clear()
    passed(board)
    assert board.held == [HELD - SETTLING_HELD, HELD, min(HELD, -(-1024 // most))]


def test_what_a_board_dropped_is_sent_again_with_less_under_way() -> None:
    board = board_of(drops=lambda number, _: number == 8)
    passed(board)
    assert (board.data, board.objects) == (IMAGE, [4096, *OBJECTS])
    assert board.requests.count("02 04 00") == 1


def test_a_byte_that_came_over_wrong_has_the_object_sent_again() -> None:
    board = board_of()
    take = board.take

    def spoiling(operation: Write | Request) -> None:
        if isinstance(operation, Write) and len(board.packets) == 4:
            operation = Write(operation.characteristic, bytes([operation.data[0] ^ 1]) + operation.data[1:])
        take(operation)

    board.take = spoiling  # type: ignore[method-assign]
    passed(board)
    assert (board.data, board.objects) == (IMAGE, [4096, *OBJECTS])


def test_an_object_that_gets_lost_four_times_is_given_up() -> None:
    board = board_of(drops=lambda _, data: data == IMAGE[4096 + 244 : 4096 + 488])
    assert begun_anew(board).why == "the bytes up to 8192 got lost 4 times"
    assert board.objects == [4096] * 5


def test_each_try_waits_longer_for_the_erasing() -> None:
    board = board_of(drops=lambda _, data: data == IMAGE[:244])
    begun_anew(board)
    assert board.now > ERASING * (1 + 2 + 3 + 4)


def test_packets_of_which_nothing_arrives_are_made_small() -> None:
    board = board_of(drops=lambda _, data: len(data) > 20)
    passed(board)
    assert (board.command, board.data) == (INIT, IMAGE)
    assert board.objects == OBJECTS


def test_packets_of_an_object_of_which_nothing_arrives_are_made_small_and_stay_so() -> None:
    board = board_of(drops=lambda _, data: len(data) > 60)
    passed(board)
    assert (board.data, board.objects) == (IMAGE, [4096, *OBJECTS])
    assert {len(data) for data in board.packets[-30:]} == {20, 4}


def test_packets_of_which_some_arrive_stay_as_long_as_they_are() -> None:
    board = board_of(drops=lambda number, _: number == 8)
    passed(board)
    assert {len(data) for data in board.packets if len(data) > 100} == {244, 192}


def test_an_init_packet_that_does_not_arrive_whole_is_begun_anew() -> None:
    for board in (
        board_of(most=20, drops=lambda number, _: number == 1),
        board_of(most=20, drops=lambda number, _: number < 3),
    ):
        assert begun_anew(board).why == "the init packet did not reach it whole"
        assert board.memory.sha256 == ""


@pytest.mark.parametrize("receipt", [struct.pack("<2I", 0, 0), struct.pack("<2I", 244, crc32(IMAGE[:244])), b"\1\2"])
def test_a_receipt_that_counts_less_or_nothing_is_passed_over(receipt: bytes) -> None:
    board = board_of(most=20)
    say = board.say

    def adding(data: bytes) -> None:
        say(data)
        if data[:3] == b"\x60\x03\x01" and board.kind == 2:
            say(b"\x60\x03\x01" + receipt)
            say(b"\x60\x03\x08" + struct.pack("<2I", 9999, 0))

    board.say = adding  # type: ignore[method-assign]
    passed(board)
    assert (board.data, board.objects) == (IMAGE, OBJECTS)


def test_when_receipts_get_lost_the_board_is_asked() -> None:
    board = board_of()
    say = board.say

    def losing(data: bytes) -> None:
        if data[:2] != b"\x60\x03" or board.requests[-1] == "03":
            say(data)

    board.say = losing  # type: ignore[method-assign]
    passed(board)
    assert (board.data, board.objects, board.requests.count("03")) == (IMAGE, OBJECTS, 1 + len(OBJECTS))


def test_progress_is_told_by_what_the_board_counts() -> None:
    board = board_of()
    passed(board)
    steps = [tell.step for tell in board.of(Tell) if tell.step.stage is Stage.TRANSFERRING]
    assert [step.done for step in steps] == [0, 4096, 8192, 9216, 9216]
    assert {step.total for step in steps} == {9216}
    assert board.of(Tell)[-1].step.stage is Stage.ACTIVATING
    assert board.memory.sent == len(IMAGE)


def test_a_link_that_tells_less_than_a_packet_is_used_with_the_least() -> None:
    board = board_of()
    board.opened = Opened(board.opened.characteristics, 3, 3)
    passed(board)
    assert max(map(len, board.packets)) == 20
