"""What of an earlier transfer by the legacy protocol is built on, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.dfu.gatt import LEGACY_CONTROL
from enmctl.dfu.legacy import KEPT_NOTHING, PROVEN_LEAST
from enmctl.dfu.link import (
    Memory,
    Request,
)
from tests.logic.dfu.scripted import IMAGE, payload
from tests.logic.dfu.scripted_legacy import (
    MICROBIT,
    RESET,
    LegacyBoard,
    begun_anew,
    passed,
    under_way,
    writes,
)


@pytest.mark.parametrize(
    ("accepted", "memory", "checked", "unchecked"),
    [
        (200, under_way(200), True, True),
        (180, under_way(200), True, False),
        (220, under_way(200), True, False),
        (200, under_way(200, sha256="other"), False, False),
        (200, under_way(200, sha256=""), False, False),
        (200, under_way(200, size=len(IMAGE) - 4), False, False),
        (200, under_way(200, tainted=True), False, False),
        (200, under_way(400, proven=PROVEN_LEAST), True, True),
        (200, under_way(400, proven=PROVEN_LEAST - 1), True, False),
        (200, under_way(400, proven=PROVEN_LEAST, pace=10_000.0), True, False),
        (200, under_way(200, pace=10_000.0), True, True),
        (420, under_way(400, proven=PROVEN_LEAST), True, False),
    ],
)
def test_what_a_board_has_is_built_on_only_where_it_is_the_same_image_without_a_hole(
    accepted: int, memory: Memory, checked: bool, unchecked: bool
) -> None:
    for version, may in ((8, checked), (MICROBIT, unchecked)):
        board = LegacyBoard(version=version, received=accepted, announced=len(IMAGE), memory=replace(memory))
        board.request_seconds = 0.01
        board.packets = [IMAGE[:accepted]]
        if may:
            passed(board)
            assert board.image == IMAGE
            assert board.requests == ["07", "08 0c 00", "03", "04", "05"]
            assert board.notes == [f"goes on at {accepted} of {len(IMAGE)} bytes"]
        else:
            begun_anew(board)
            assert board.requests == ["07", RESET]


@pytest.mark.parametrize(
    ("memory", "why"),
    [
        (Memory(), "it has bytes of an unknown image"),
        (under_way(200, sha256="other"), "it has 200 bytes of another image"),
        (under_way(200, tainted=True), "what it has may have a hole"),
        (under_way(400), "it has 200 bytes, and not surely without a hole"),
    ],
)
def test_why_a_board_is_begun_anew_is_told(memory: Memory, why: str) -> None:
    assert begun_anew(LegacyBoard(version=MICROBIT, received=200, memory=memory)).why == why


@pytest.mark.parametrize(
    ("memory", "notes"), [(under_way(200), [KEPT_NOTHING]), (under_way(0), []), (under_way(200, begun=""), [])]
)
def test_that_a_board_has_kept_nothing_is_told(memory: Memory, notes: list[str]) -> None:
    board = LegacyBoard(memory=memory)
    passed(board)
    assert board.notes == [*notes, "erases the old program"]
    assert board.image == IMAGE


def test_more_bytes_than_the_image_has_are_no_beginning_of_it() -> None:
    board = LegacyBoard(received=len(IMAGE) + 4, memory=under_way(len(IMAGE)))
    begun_anew(board)
    assert board.requests == ["07", RESET]


def test_a_board_that_has_all_is_asked_to_check_it_and_sent_nothing() -> None:
    board = LegacyBoard(received=len(IMAGE), announced=len(IMAGE), memory=under_way(len(IMAGE)))
    passed(board)
    assert (board.requests, writes(board)) == (["07", "04", "05"], [])


def test_a_board_that_has_checked_the_image_before_is_told_to_start_it() -> None:
    memory = under_way(len(IMAGE), validated=True)
    board = LegacyBoard(received=len(IMAGE), memory=memory, answers={"04": [b"\x10\x04\x02"]})
    passed(board)
    assert board.requests == ["07", "04", "05"]


def test_a_start_forgets_what_was_known_of_another_image() -> None:
    board = LegacyBoard(memory=under_way(400, sha256="other", tainted=True, validated=True, pace=9_000.0))
    passed(board)
    first = board.kept[0]
    assert (first.sha256, first.size, first.begun) == (payload().sha256, len(IMAGE), "dfu")
    assert (first.sent, first.proven, first.tainted, first.validated, first.pace) == (0, 0, False, False, 9_000.0)


def test_that_something_was_begun_is_written_down_before_the_board_is_told_to_erase() -> None:
    board = LegacyBoard()
    passed(board)
    kinds = [type(operation).__name__ for operation in board.asked]
    assert kinds.index("Keep") < board.asked.index(Request(LEGACY_CONTROL, b"\x01\x04"))
