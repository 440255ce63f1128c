"""What of an earlier connection by the secure protocol is built on, and what is not."""

from __future__ import annotations

import pytest

from enmctl.dfu.link import (
    Memory,
)
from tests.logic.dfu.scripted_secure import (
    IMAGE,
    INIT,
    OBJECTS,
    begun_anew,
    board_of,
    passed,
    sent,
    under_way,
    with_part,
)


def test_an_init_packet_that_the_board_has_is_only_executed() -> None:
    board = with_part(0)
    passed(board)
    assert board.requests[1:6] == ["06 01", "03", "04", "06 02", "02 11 00"]
    assert board.notes == []


def test_an_init_packet_that_the_board_has_in_part_is_completed() -> None:
    board = with_part(0, most=20)
    board.command = INIT[:20]
    passed(board)
    assert board.packets[:2] == [INIT[20:40], INIT[40:]]
    assert "01 01 38 00 00 00" not in board.requests


@pytest.mark.parametrize(
    ("command", "memory"),
    [
        (INIT[:20] + b"\0", under_way()),
        (INIT + b"\0", under_way()),
        (INIT, under_way(sha256="other")),
        (INIT, under_way(size=4)),
        (INIT, Memory()),
        (b"", under_way()),
    ],
)
def test_any_other_init_packet_is_replaced_and_with_it_all_that_the_board_has(command: bytes, memory: Memory) -> None:
    board = board_of(command=command, data=IMAGE[:4096], memory=memory)
    passed(board)
    assert "01 01 38 00 00 00" in board.requests
    assert (board.command, board.data, board.objects) == (INIT, IMAGE, OBJECTS)
    assert (board.kept[0].sha256, board.kept[0].size, board.kept[0].begun) == (sent().sha256, len(IMAGE), "dfu")


def test_what_was_known_of_another_image_is_forgotten() -> None:
    memory = under_way(sha256="other", validated=True, activated=True, tainted=True, sent=5, proven=5, pace=1.0)
    board = board_of(memory=memory)
    passed(board)
    assert board.kept[0] == Memory(sha256=sent().sha256, size=len(IMAGE), begun="dfu", pace=1.0)


@pytest.mark.parametrize("offset", [4096, 8192])
def test_at_the_end_of_an_object_it_is_executed_and_the_next_one_begun(offset: int) -> None:
    board = with_part(offset)
    passed(board)
    assert (board.data, board.objects) == (IMAGE, OBJECTS[offset // 4096 :])
    assert board.requests[5:7] == ["04", "02 11 00" if offset == 4096 else "02 05 00"]
    assert board.notes == [f"goes on at {offset} of {len(IMAGE)} bytes"]


def test_an_object_that_was_executed_before_may_not_be_again_and_that_is_well() -> None:
    board = with_part(4096, answers={"04": [b"\x60\x04\x01", b"\x60\x04\x08"]})
    passed(board)
    assert (board.data, board.objects) == (IMAGE, OBJECTS[1:])


@pytest.mark.parametrize("offset", [244, 4096 + 2000, 8192 + 1000])
def test_amid_an_object_it_is_completed_without_a_new_one(offset: int) -> None:
    board = with_part(offset)
    passed(board)
    assert (board.data, board.objects) == (IMAGE, OBJECTS[offset // 4096 + 1 :])
    assert b"".join(board.packets) == IMAGE[offset:]


def test_where_the_board_has_all_it_is_executed_and_nothing_sent() -> None:
    board = with_part(len(IMAGE))
    passed(board)
    assert (board.packets, board.objects, board.requests[-1]) == ([], [], "04")
    assert board.memory.activated


def test_a_rest_that_gets_lost_has_its_whole_object_sent_again() -> None:
    board = with_part(4096 + 2000, drops=lambda number, _: number == 2)
    passed(board)
    assert (board.data, board.objects) == (IMAGE, OBJECTS[1:])


@pytest.mark.parametrize(
    ("offset", "first"), [(100, 0), (4096, 0), (4097, 4096), (6000, 4096), (8192, 4096), (9216, 8192)]
)
def test_an_object_of_which_something_got_lost_is_begun_anew_and_those_before_it_are_kept(
    offset: int, first: int
) -> None:
    board = with_part(offset)
    board.data = IMAGE[:first] + IMAGE[first + 20 : offset + 20].ljust(offset - first, b"?")
    board.executed = first
    passed(board)
    assert (board.data, b"".join(board.packets)) == (IMAGE, IMAGE[first:])
    assert board.notes == [f"goes on at {first} of {len(IMAGE)} bytes"]
    assert board.requests[5:7] == [f"01 02 00 {'04' if first == 8192 else '10'} 00 00", "03"]


@pytest.mark.parametrize(
    ("data", "executed"),
    [(b"\1" * 4096, 4096), (b"\1" * 5000, 4096), (IMAGE[:4096] + b"\1" * 4096, 8192), (IMAGE + b"1234", 9220)],
)
def test_what_is_not_the_beginning_of_this_image_is_begun_anew(data: bytes, executed: int) -> None:
    board = with_part(0)
    board.data, board.executed = data, executed
    assert begun_anew(board).why == "what it has is not the beginning of this image"
    assert board.memory.sha256 == ""
    assert board.packets == []


def test_a_board_that_forgot_what_it_had_is_sent_all_and_that_is_told() -> None:
    board = board_of(command=INIT, memory=under_way(sent=5000))
    passed(board)
    assert board.notes == ["starts over: the board has kept nothing of it"]
    assert board.data == IMAGE
