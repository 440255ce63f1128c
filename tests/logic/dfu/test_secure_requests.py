"""The requests of the secure protocol and the answers to them, by boards that say just what a test wants."""

from __future__ import annotations

import struct

import pytest

from enmctl.dfu.gatt import SECURE_CONTROL
from enmctl.dfu.link import (
    GattError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Notification,
    Request,
    Tell,
    Write,
)
from enmctl.dfu.secure import Secure
from enmctl.models import Stage
from tests.logic.dfu.scripted_secure import (
    IMAGE,
    LIMITS,
    SecureBoard,
    begun_anew,
    board_of,
    last,
    passed,
    refused,
    sent,
    take_executions,
    with_part,
)


def test_a_board_that_tells_no_size_of_objects_is_begun_anew() -> None:
    board = board_of(answers={"06 02": [b"\x60\x06\x01" + struct.pack("<3I", 3, 0, 0)]})
    assert begun_anew(board).why == "it tells no size of its objects"


@pytest.mark.parametrize("kind", ["06 01", "06 02"])
def test_a_state_that_is_not_whole_is_none(kind: str) -> None:
    board = board_of(answers={kind: [b"\x60\x06\x01" + bytes(11)]})
    assert begun_anew(board).why == "it does not tell its state"


def test_objects_are_as_large_as_the_board_says_in_whole_words() -> None:
    board = board_of(answers={"06 02": [b"\x60\x06\x01" + struct.pack("<3I", 2051, 0, 0)]})
    write = board.write

    def selecting(operation: Write | Request) -> None:
        board.kind = 2 if operation.data == b"\6\2" else board.kind
        write(operation)

    board.write = selecting  # type: ignore[method-assign]
    passed(board)
    assert board.objects == [2048] * 4 + [1024]


def test_an_init_packet_that_is_larger_than_the_board_takes_is_refused() -> None:
    board = board_of(command_most=55)
    assert refused(board).reason == "init-refused"
    assert board.packets == []
    passed(board_of(command_most=56))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("60 04 0b 05", "lower than what it has"),
        ("60 04 0b 06", "another hardware version"),
        ("60 04 0b 07", "another SoftDevice"),
        ("60 04 0b 0c", "does not verify"),
        ("60 04 05", "the object is not right"),
        ("60 04 0a", "it failed"),
    ],
)
def test_a_board_that_does_not_take_the_init_packet_says_why_and_for_good(answer: str, words: str) -> None:
    error = refused(board_of(answers={"04": [bytes.fromhex(answer)]}))
    assert (error.reason, error.permanent, words in str(error)) == ("init-refused", True, True)


def test_a_board_without_room_says_so_at_either_place() -> None:
    for asked, answer in (("04", "60 04 04"), ("01 02", "60 01 04")):
        assert refused(board_of(answers={asked: [bytes.fromhex(answer)]})).reason == "too-big"


@pytest.mark.parametrize(
    ("asked", "answer", "why"),
    [
        ("02", "60 02 02", "it said of the request for receipts: it does not know this request"),
        ("06", "60 06 05", "it said of the question for its state: the object is not right"),
        ("06", "60 06 07", "it said of the question for its state: it does not know this type of object"),
        ("01 01", "60 01 03", "it said of a new object: a parameter is wrong"),
        ("01 02", "60 01 08", "it said of a new object: that is not its turn"),
        ("01 02", "60 01 05", "it said of a new object: the object is not right"),
        ("03", "60 03 08", "it said of the question for the CRC: that is not its turn"),
        ("04", "60 04 08", "it said of the end of an object: that is not its turn"),
        ("04", "60 04 00", "it said of the end of an object: the request is not valid"),
    ],
)
def test_after_every_other_error_all_is_begun_anew(asked: str, answer: str, why: str) -> None:
    board = board_of(answers={asked: [bytes.fromhex(answer)]})
    assert begun_anew(board).why == why
    assert board.memory.sha256 == ""


@pytest.mark.parametrize("asked", ["02", "06 01", "01 01", "03", "04", "01 02"])
def test_a_question_whose_answer_gets_lost_is_asked_twice_and_then_no_more(asked: str) -> None:
    board = board_of(answers={asked: [None]})
    _lossy(board, asked)
    passed(board)
    assert board.data == IMAGE

    board = board_of(answers={asked: [None, None]})
    with pytest.raises(LinkTimeoutError):
        passed(board)
    assert board.now >= 2 * LIMITS.answer


def _lossy(board: SecureBoard, asked: str) -> None:
    """Have a question do what it asks for, and its answer be lost once."""
    board.answers = {}
    lost: list[bytes] = []
    say = board.say

    def losing(data: bytes) -> None:
        if data[:1] == b"\x60" and data[1:2] == bytes.fromhex(asked)[:1] and not lost and asked in board.requests[-1]:
            lost.append(data)
        else:
            say(data)

    board.say = losing  # type: ignore[method-assign]


def test_what_is_said_of_something_else_does_not_put_off_the_end_of_the_waiting() -> None:
    class Babbling(SecureBoard):
        def wait(self, seconds: float) -> Notification | None:
            if self.said or self.requests[-1] != "03":
                return super().wait(seconds)
            self.now += min(seconds, 1.0)
            return Notification(SECURE_CONTROL, b"\x60\x09\x01") if seconds else None

    board = Babbling(announced=len(IMAGE), answers={"03": [None, None]})
    with pytest.raises(LinkTimeoutError):
        passed(board)
    assert board.now == pytest.approx(2 * LIMITS.answer)


def test_what_is_no_answer_is_passed_over() -> None:
    board = board_of()
    say = board.say

    def noisy(data: bytes) -> None:
        for noise in (b"", b"\x60", data[:2], b"\x60\x09\x01", b"\x10\x04\x01", data):
            say(noise)

    board.say = noisy  # type: ignore[method-assign]
    passed(board)
    assert board.data == IMAGE


@pytest.mark.parametrize(
    ("error", "let_go"), [(LinkLostError(), True), (LinkTimeoutError(), False), (GattError(0x0E), False)]
)
def test_the_answer_to_the_end_of_the_last_object_may_get_lost(error: LinkError, let_go: bool) -> None:
    board = board_of(answers={"04": [b"\x60\x04\x01", b"\x60\x04\x01", b"\x60\x04\x01", error]})
    take_executions(board)
    passed(board)
    assert (board.memory.validated, board.memory.activated, board.memory.let_go) == (False, False, let_go)
    assert [tell.step.stage for tell in board.of(Tell)][-1] is Stage.ACTIVATING


def test_the_end_of_the_last_object_is_said_once_for_its_answer_may_be_the_reset() -> None:
    board = board_of(answers={"04": [b"\x60\x04\x01", b"\x60\x04\x01", b"\x60\x04\x01", None]})
    take_executions(board)
    passed(board)
    assert board.requests.count("04") == 4
    assert not board.memory.activated


def test_the_end_of_another_object_must_be_answered() -> None:
    board = board_of(answers={"04": [b"\x60\x04\x01", LinkLostError()]})
    with pytest.raises(LinkLostError):
        passed(board)


@pytest.mark.parametrize("answer", ["60 04 0b 0c", "60 04 05", "60 04 0a"])
def test_an_image_that_does_not_verify_is_refused_and_may_be_tried_again(answer: str) -> None:
    board = board_of()
    last(answer)(board)
    error = refused(board)
    assert (error.reason, error.permanent, board.memory.sha256, board.memory.begun) == ("image-refused", False, "", "")


def test_an_image_that_does_not_verify_and_was_there_in_part_is_begun_anew() -> None:
    board = with_part(4096)
    last("60 04 0b 0c")(board)
    assert "from before" in begun_anew(board).why
    assert board.memory.sha256 == ""


def test_at_the_end_of_the_last_object_that_is_not_its_turn_is_an_error() -> None:
    board = board_of()
    last("60 04 08")(board)
    assert "not its turn" in begun_anew(board).why


def test_only_a_board_that_lets_go_soon_has_taken_the_order_to_start() -> None:
    board = board_of(leaves=False)
    last("60 04 01")(board)
    passed(board)
    assert (board.memory.validated, board.memory.activated) == (True, False)
    assert [lost.seconds for lost in board.of(Lost)] == [LIMITS.orderly, LIMITS.gone]


def test_a_board_that_is_given_up_is_left_alone() -> None:
    board = board_of()
    board.run(Secure(sent(), board.memory, LIMITS, board.clock).abandon())
    assert board.requests == []
