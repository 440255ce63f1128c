"""The orders of the legacy protocol and the answers to them, by boards that say just what a test wants."""

from __future__ import annotations

import struct

import pytest

from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET
from enmctl.dfu.legacy import Legacy
from enmctl.dfu.link import (
    GattError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Memory,
    Notification,
    Read,
    Request,
    Subscribe,
    Wait,
    Write,
)
from enmctl.firmware.nordic import Sizes
from enmctl.firmware.nordic_init import crc16
from tests.logic.dfu.scripted import IMAGE, payload
from tests.logic.dfu.scripted_legacy import (
    LIMITS,
    MICROBIT,
    PACKETS,
    RESET,
    LegacyBoard,
    answer_start,
    begun_anew,
    passed,
    refused,
    writes,
)


def test_the_whole_goes_in_the_order_of_the_protocol() -> None:
    board = LegacyBoard()
    legacy = passed(board)
    assert board.requests == ["07", "01 04", "02 00", "02 01", "08 0c 00", "03", "04", "05"]
    assert [type(operation) for operation in board.asked[:2]] == [Read, Subscribe]
    assert writes(board) == [struct.pack("<3I", 0, 0, len(IMAGE)), b"\xff" * 14, *PACKETS]
    assert {write.characteristic for write in board.of(Write)} == {LEGACY_PACKET}
    assert {request.characteristic for request in board.of(Request)} == {LEGACY_CONTROL}
    assert (board.image, legacy.checks) == (IMAGE, True)
    assert (board.memory.validated, board.memory.activated, board.memory.proven) == (True, True, len(IMAGE))
    assert (board.kept[-1].validated, board.kept[-1].activated) == (True, False)


def test_packets_have_20_bytes_whatever_the_mtu_and_the_last_one_the_rest_in_whole_words() -> None:
    board = LegacyBoard()
    passed(board, payload(IMAGE[:1000] + b"1234"))
    assert board.opened.most > 20
    assert {len(packet) for packet in board.packets[:-1]} == {20}
    assert len(board.packets[-1]) == 4
    assert not [packet for packet in board.packets if len(packet) % 4]


def test_the_version_is_read_little_endian_and_counts_from_the_whole_of_it() -> None:
    for version, checks in ((0x0004, False), (0x0005, True), (0x0100, True)):
        assert passed(LegacyBoard(version=version)).checks is checks


def test_an_init_packet_goes_in_pieces_of_20_bytes() -> None:
    board = LegacyBoard()
    passed(board, payload(init=bytes(range(45))))
    assert [len(write) for write in writes(board)[1:4]] == [20, 20, 5]
    assert board.init == bytes(range(45))


def test_a_board_that_needs_no_init_packet_gets_none_where_there_is_none() -> None:
    board = LegacyBoard(version=MICROBIT, request_seconds=0.01)
    passed(board, payload(init=None))
    assert [request[:2] for request in board.requests] == ["07", "01", "08", "03", "04", "05"]


@pytest.mark.parametrize("version", [5, 6, 8])
def test_a_board_that_needs_an_init_packet_is_not_touched_without_one(version: int) -> None:
    board = LegacyBoard(version=version)
    assert refused(board, payload(init=None)).reason == "no-init"
    assert board.requests == []


@pytest.mark.parametrize(
    ("sizes", "kind"), [(Sizes(4, 0, 0), 1), (Sizes(0, 4, 0), 2), (Sizes(4, 8, 0), 3), (Sizes(0, 0, 4), 4)]
)
def test_the_start_names_the_parts_and_their_sizes(sizes: Sizes, kind: int) -> None:
    board = LegacyBoard()
    data = bytes(sizes.softdevice + sizes.bootloader + sizes.application)
    passed(board, payload(data, sizes=sizes))
    assert board.requests[1] == f"01 {kind:02x}"
    assert writes(board)[0] == struct.pack("<3I", sizes.softdevice, sizes.bootloader, sizes.application)


def test_the_start_waits_out_a_long_erase() -> None:
    class Slow(LegacyBoard):
        def wait(self, seconds: float) -> Notification | None:
            if self.requests[-1] == "01 04" and self.now < 89.0:
                assert seconds > 80
                self.now = 89.0
            return super().wait(seconds)

    board = Slow()
    passed(board)
    assert board.now == 89.0


def test_a_start_that_is_never_answered_is_given_up_after_90_seconds() -> None:
    board = LegacyBoard(answers={"01 04": [None]})
    board.take = lambda operation: None if writes(board) else LegacyBoard.take(board, operation)  # type: ignore[method-assign]
    assert begun_anew(board).why == "it did not answer the start"
    assert board.now == 90.0
    assert board.requests[-1] == RESET


@pytest.mark.parametrize(
    ("asked", "answer", "why"),
    [
        ("01", "10 01 02", "it said of the start: that is not its turn"),
        ("01", "10 01 05", "it said of the start: the CRC is wrong"),
        ("01", "10 01 06", "it said of the start: it failed"),
        ("01", "10 01 63", "it said of the start: status 99"),
        ("02 01", "10 02 02", "it said of the init packet: that is not its turn"),
        ("02 01", "10 02 03", "it said of the init packet: it does not support that"),
        ("02 01", "10 02 04", "it said of the init packet: that is too big for it"),
        ("02 01", "10 02 05", "it said of the init packet: the CRC is wrong"),
        ("04", "10 04 02", "it said of the check of the image: that is not its turn"),
        ("04", "10 04 03", "it said of the check of the image: it does not support that"),
        ("04", "10 04 04", "it said of the check of the image: that is too big for it"),
        ("04", "10 04 05", "it said of the check of the image: the CRC is wrong"),
        ("04", "10 04 06", "it said of the check of the image: it failed"),
        ("07", "10 07 02 00 00 00 00", "it does not tell how much it has"),
        ("07", "10 07 01 00 00 00", "it does not tell how much it has"),
    ],
)
def test_after_every_error_the_board_is_reset_and_all_begun_anew(asked: str, answer: str, why: str) -> None:
    board = LegacyBoard(answers={asked: [bytes.fromhex(answer)]})
    if asked == "01":
        board.answers = {}
        answer_start(board, bytes.fromhex(answer))
    setback = begun_anew(board)
    assert setback.why == why
    assert board.requests[-1] == RESET
    assert isinstance(board.asked[-1], Lost)
    assert setback.refused is (answer[6:8] in ("03", "04") and asked != "07")


def test_a_board_that_has_no_room_says_so_for_good() -> None:
    board = LegacyBoard()
    answer_start(board, b"\x10\x01\x04")
    assert refused(board).reason == "too-big"


def test_a_kind_of_image_that_is_not_supported_is_so_for_good() -> None:
    board = LegacyBoard()
    answer_start(board, b"\x10\x01\x03")
    assert refused(board).reason == "not-supported"
    assert not board.memory.old_protocol


def test_an_init_packet_for_another_softdevice_is_refused_with_the_softdevice() -> None:
    error = refused(LegacyBoard(answers={"02 01": [b"\x10\x02\x06"]}))
    assert (error.reason, "0x0064" in str(error)) == ("init-refused", True)


def test_a_wrong_crc_taints_what_the_board_has() -> None:
    board = LegacyBoard(answers={"04": [b"\x10\x04\x05"]})
    begun_anew(board)
    assert board.memory.tainted


def test_a_bootloader_without_a_version_that_does_not_support_the_start_speaks_the_old_protocol() -> None:
    board = LegacyBoard(version=None)
    answer_start(board, b"\x10\x01\x03")
    assert "SDK 6" in begun_anew(board).why
    assert (board.memory.old_protocol, board.requests[-1]) == (True, RESET)

    board = LegacyBoard(version=None, memory=board.memory, request_seconds=0.01)
    sent = payload()
    passed(board, sent)
    assert board.requests == ["07", "01", "02", "08 0a 00", "03", "04", "05"]
    assert writes(board)[:2] == [struct.pack("<I", len(IMAGE)), struct.pack("<H", crc16(IMAGE))]
    assert board.image == IMAGE


def test_a_bootloader_with_a_version_is_never_spoken_to_in_the_old_protocol() -> None:
    board = LegacyBoard(memory=Memory(old_protocol=True))
    passed(board)
    assert board.requests[1:4] == ["01 04", "02 00", "02 01"]


def test_a_bootloader_that_misses_the_type_of_the_start_is_not_an_old_one_after_all() -> None:
    board = LegacyBoard(version=None, memory=Memory(old_protocol=True))
    answer_start(board, b"\x10\x01\x06")
    begun_anew(board)
    assert not board.memory.old_protocol


def test_the_old_protocol_that_is_not_supported_either_is_the_end() -> None:
    board = LegacyBoard(version=None, memory=Memory(old_protocol=True))
    answer_start(board, b"\x10\x01\x03")
    assert refused(board).reason == "not-supported"


@pytest.mark.parametrize(
    ("error", "let_go"), [(GattError(0x0E), False), (LinkTimeoutError(), False), (LinkLostError(), True)]
)
def test_the_answer_to_the_order_to_start_may_get_lost(error: LinkError, let_go: bool) -> None:
    board = LegacyBoard(answers={"05": [error]})
    passed(board)
    assert (board.memory.validated, board.memory.activated, board.memory.let_go) == (True, False, let_go)


def test_a_board_whose_silence_ends_the_connection_has_not_let_go() -> None:
    """As after a power cut, which shows by the supervision timeout."""
    board = LegacyBoard(answers={"05": [LinkLostError()]}, request_seconds=LIMITS.orderly + 0.1)
    passed(board)
    assert not board.memory.let_go


def test_only_a_board_that_lets_go_soon_has_taken_the_order_to_start() -> None:
    board = LegacyBoard(leaves=False)
    board.take = lambda operation: None if operation.data == b"\5" else LegacyBoard.take(board, operation)  # type: ignore[method-assign]
    passed(board)
    assert not board.memory.activated
    assert [lost.seconds for lost in board.of(Lost)] == [LIMITS.orderly, LIMITS.gone]


def test_a_board_that_is_given_up_is_reset() -> None:
    for board in (LegacyBoard(), LegacyBoard(answers={RESET: [LinkLostError()]}), LegacyBoard(gone=True)):
        board.run(Legacy(payload(), board.memory, LIMITS, board.clock).abandon())
        assert board.requests == [RESET]


def test_what_is_no_answer_is_passed_over() -> None:
    board = LegacyBoard()
    said = board.say

    def noisy(data: bytes) -> None:
        for noise in (b"", b"\x10", b"\x11\x01", data[:2], b"\x10\x08\x03\xff\xff\xff\xff", b"\x11\xff\xff\xff", data):
            said(noise)

    board.say = noisy  # type: ignore[method-assign]
    passed(board)
    assert board.image == IMAGE


def test_what_is_said_of_something_else_does_not_put_off_the_end_of_the_waiting() -> None:
    class Babbling(LegacyBoard):
        def wait(self, seconds: float) -> Notification | None:
            if self.said or self.requests[-1] != "04":
                return super().wait(seconds)
            self.now += min(seconds, 1.0)
            return Notification(LEGACY_CONTROL, b"\x10\x08\x03") if seconds else None

    board = Babbling(answers={"04": [None]})
    assert begun_anew(board).why == "it did not answer the check of the image"
    assert board.now == pytest.approx(LIMITS.answer)


def test_the_data_waits_for_nothing_that_is_not_due() -> None:
    board = LegacyBoard()
    passed(board)
    assert {wait.seconds for wait in board.of(Wait)} <= {0, LIMITS.answer, LIMITS.erase, LIMITS.stall}
