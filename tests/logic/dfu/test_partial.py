"""Partial flashing, against boards that say just what a test wants."""

from __future__ import annotations

import struct
from dataclasses import replace
from random import Random

import pytest

from enmctl.dfu.gatt import PARTIAL
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Keep, LinkLostError, LinkTimeoutError, Lost, Memory, Opened, Tell, Write
from enmctl.dfu.partial import BLOCK_TRIES, Partial, Verdict, start_program
from enmctl.dfu.setbacks import StartOverError
from enmctl.firmware.hex import Family
from enmctl.firmware.microbit_regions import UserPart
from enmctl.models import Stage
from tests.logic.dfu.scripted_partial import PartialBoard

LIMITS = Limits()
RUNTIME, OWN, OTHER = b"runtime!", b"program!", b"another!"
ADDRESS = 0x2C400
DATA = Random(1).randbytes(1024 + 192)
PART = UserPart(Family.V1, ADDRESS, DATA, RUNTIME, OWN)
END = 0x3BBFF
REGIONS = {1: (0x18000, ADDRESS, RUNTIME), 2: (ADDRESS, END, OTHER)}
SHA256 = "5" * 64
PAIRING, APPLICATION = 0, 1


def board_of(**how: object) -> PartialBoard:
    return PartialBoard(**{"regions": dict(REGIONS), **how})  # type: ignore[arg-type]  # whatever a test wants


def run(board: PartialBoard, part: UserPart = PART) -> tuple[Verdict | None, Partial]:
    partial = Partial(part, SHA256, board.memory, LIMITS)
    return board.run(partial.run(board.opened)), partial


def sent(board: PartialBoard) -> list[str]:
    """What was written but blocks, in hex."""
    return [write.data.hex(" ") for write in board.of(Write) if write.data[0] != 1]


def flashed(board: PartialBoard) -> bytes:
    start = board.blocks[0][0]
    memory = bytearray(b"\xff" * (max(address for address, _ in board.blocks) + 64 - start))
    for address, block in board.blocks:
        memory[address - start : address - start + 64] = block
    return bytes(memory)


def test_the_users_part_goes_in_blocks_and_the_end_is_said() -> None:
    board = board_of()
    assert run(board)[0] is Verdict.DONE
    assert sent(board) == ["00 01", "00 02", "ee", "00 02", "02"]
    assert {write.characteristic for write in board.of(Write)} == {PARTIAL}
    assert [address for address, _ in board.blocks] == list(range(ADDRESS, ADDRESS + len(DATA), 64))
    assert flashed(board) == DATA
    assert board.asked[-1] == Lost(LIMITS.gone)


def test_each_packet_has_a_quarter_of_a_block_half_of_its_address_and_a_number_that_goes_on() -> None:
    board = board_of(regions={1: REGIONS[1], 2: (ADDRESS, ADDRESS + 8192, OTHER)})
    data = Random(2).randbytes(64 * 70)
    run(board, replace(PART, data=data))
    packets = [write.data for write in board.of(Write) if write.data[0] == 1]
    assert {len(packet) for packet in packets} == {20}
    assert [packet[3] for packet in packets] == [number % 256 for number in range(280)]
    assert [packet[1:3].hex() for packet in packets[:2]] == ["c400", "0002"]
    assert b"".join(packet[4:] for packet in packets) == data


def test_that_it_was_begun_is_written_down_before_the_first_block() -> None:
    board = board_of()
    run(board)
    kinds = [operation for operation in board.asked if isinstance(operation, Keep | Write)]
    first = next(at for at, each in enumerate(kinds) if isinstance(each, Write) and each.data[0] == 1)
    assert isinstance(kinds[first - 2], Keep)
    assert (board.kept[0].begun, board.kept[0].sha256) == ("partial", SHA256)
    assert (board.memory.begun, board.memory.sha256) == ("partial", SHA256)


def test_empty_blocks_are_left_out_but_for_those_that_erase_their_page() -> None:
    data = bytearray(b"\xff" * 3072)
    data[0:64] = data[1500:1564] = data[3000:3064] = bytes(64)
    board = board_of()
    run(board, replace(PART, data=bytes(data)))
    starts = [address - ADDRESS for address, _ in board.blocks]
    assert starts == [0, 1024, 1472, 1536, 2048, 2944, 3008]
    assert flashed(board).ljust(3072, b"\xff") == bytes(data)


@pytest.mark.parametrize(
    ("regions", "why"),
    [
        ({}, "does not tell what it runs on"),
        ({1: REGIONS[1]}, "does not tell what it runs on"),
        ({2: REGIONS[2]}, "does not tell what it runs on"),
        ({1: (0, ADDRESS, RUNTIME), 2: REGIONS[2]}, "does not tell what it runs on"),
        ({1: REGIONS[1], 2: (ADDRESS, ADDRESS, OTHER)}, "does not tell what it runs on"),
        ({1: (0x18000, ADDRESS, OTHER), 2: REGIONS[2]}, "another version of the runtime"),
        ({1: (0x18000, ADDRESS, bytes(8)), 2: REGIONS[2]}, "another version of the runtime"),
        ({1: REGIONS[1], 2: (ADDRESS + 0x400, END, OTHER)}, "begins at another place"),
        ({1: REGIONS[1], 2: (ADDRESS, END, bytes(8))}, "does not tell which program it has"),
        ({1: REGIONS[1], 2: (ADDRESS, ADDRESS + len(DATA) - 1, OTHER)}, "larger than the place"),
    ],
)
def test_where_the_regions_do_not_allow_it_nothing_is_written(
    regions: dict[int, tuple[int, int, bytes]], why: str
) -> None:
    board = board_of(regions=regions)
    verdict, partial = run(board)
    assert (verdict, why in partial.unfit) == (Verdict.UNFIT, True)
    assert partial.regions_lost is ("runs on" in why and "runtime" not in why)
    assert (board.blocks, board.memory, sent(board)) == ([], Memory(), ["00 01", "00 02"])


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_the_service_is_not_spoken(version: int) -> None:
    board = board_of(answers={"ee": [bytes((0xEE, version, PAIRING))]})
    verdict, partial = run(board)
    assert (verdict, board.blocks) == (Verdict.UNFIT, [])
    assert f"version {version}" in partial.unfit


def test_a_board_without_the_service_is_not_touched() -> None:
    board = board_of()
    board.opened = Opened(frozenset(), 20, 3)
    verdict, partial = run(board)
    assert (verdict, board.asked) == (Verdict.UNFIT, [])
    assert "does not offer" in partial.unfit
    assert not partial.regions_lost


def test_a_part_without_a_hash_of_its_own_needs_none_on_the_board() -> None:
    board = board_of(regions={1: REGIONS[1], 2: (ADDRESS, END, bytes(8))})
    assert run(board, replace(PART, own_hash=None))[0] is Verdict.DONE


@pytest.mark.parametrize("end", [ADDRESS + len(DATA), ADDRESS + len(DATA) - 64 + 1])
def test_what_just_fits_into_its_place_is_sent_whole(end: int) -> None:
    data = DATA[: len(DATA) - 63] + b"\xff" * 63
    board = board_of(regions={1: REGIONS[1], 2: (ADDRESS, end, OTHER)})
    assert run(board, replace(PART, data=data))[0] is Verdict.DONE
    assert flashed(board) == data


def test_of_what_lies_behind_the_place_nothing_is_sent() -> None:
    board = board_of(regions={1: REGIONS[1], 2: (ADDRESS, ADDRESS + 2048, OTHER)})
    run(board, replace(PART, data=DATA + b"\xff" * (4096 - len(DATA))))
    assert max(address for address, _ in board.blocks) < ADDRESS + 2048


def test_a_board_that_runs_its_program_is_brought_into_its_pairing_mode_first() -> None:
    board = board_of(mode=APPLICATION)
    assert run(board)[0] is None
    assert sent(board) == ["00 01", "00 02", "ee", "ff 00"]
    assert board.asked[-1] == Lost(LIMITS.gone)
    assert board.memory == Memory()


def test_a_board_that_runs_this_very_program_is_left_alone() -> None:
    board = board_of(mode=APPLICATION, regions={1: REGIONS[1], 2: (ADDRESS, END, OWN)})
    assert run(board)[0] is Verdict.CURRENT
    assert sent(board) == ["00 01", "00 02", "ee"]


def test_what_was_begun_is_ended_though_the_hash_is_right() -> None:
    regions = {1: REGIONS[1], 2: (ADDRESS, END, OWN)}
    board = board_of(mode=APPLICATION, regions=regions, memory=Memory(begun="partial"))
    assert run(board)[0] is None
    board = board_of(regions=regions)
    assert run(board)[0] is Verdict.DONE
    assert flashed(board) == DATA


def test_a_block_out_of_order_is_sent_again_with_the_next_numbers() -> None:
    board = board_of(words=[b"\x01\xff", b"\x01\xaa", b"\x01\xff"])
    assert run(board)[0] is Verdict.DONE
    assert (flashed(board), len(board.numbers)) == (DATA, len(DATA) // 16 + 4)
    assert board.numbers == [number % 256 for number in range(len(board.numbers))]
    assert sent(board) == ["00 01", "00 02", "ee", "00 02", "02"]


def test_after_a_silence_the_count_is_reset_and_the_block_sent_again() -> None:
    board = board_of(words=[b"\x01\xff", None, b"\x01\xff"])
    assert run(board)[0] is Verdict.DONE
    assert flashed(board) == DATA
    assert board.numbers[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]
    assert board.now == LIMITS.stall
    assert sent(board) == ["00 01", "00 02", "ee", "00 02", "00 02", "02"]


def test_a_block_that_is_never_taken_is_given_up_and_stays_begun() -> None:
    board = board_of(words=[b"\x01\xaa"] * 99)
    with pytest.raises(StartOverError, match="0x2C400"):
        run(board)
    assert (len(board.numbers), board.memory.begun) == (4 * BLOCK_TRIES, "partial")
    assert "02" not in sent(board)


def test_a_late_answer_to_a_block_is_not_taken_for_the_next_ones() -> None:
    board = board_of()
    write = board.write

    def late(operation: Write) -> None:
        if operation.data[0] == 1 and operation.data[3] == 4:
            assert not board.said
        write(operation)
        if operation.data[0] == 1 and operation.data[3] == 3:
            board.say(b"\x01\xff")

    board.write = late  # type: ignore[method-assign, assignment]
    assert run(board)[0] is Verdict.DONE
    assert flashed(board) == DATA


def test_a_board_that_does_not_restart_at_the_end_is_begun_anew() -> None:
    with pytest.raises(StartOverError, match="did not restart"):
        run(board_of(leaves=False))


def test_a_question_whose_answer_gets_lost_is_asked_three_times() -> None:
    for asked in ("00 01", "00 02", "ee"):
        board = board_of(answers={asked: [None, None]})
        assert run(board)[0] is Verdict.DONE
        assert board.now == 2 * LIMITS.stall
        board = board_of(answers={asked: [None, None, None]})
        with pytest.raises(LinkTimeoutError):
            run(board)


def test_the_answer_for_one_region_is_not_taken_for_that_of_the_other() -> None:
    board = board_of()
    say = board.say

    def mixed(data: bytes) -> None:
        if data[0] == 0:
            say(struct.pack(">BBII8s", 0, 3 - data[1], 1, 2, RUNTIME))
        say(b"\x01")
        say(b"\xee\x01")
        say(data[:2])
        say(data)

    board.say = mixed  # type: ignore[method-assign]
    assert run(board)[0] is Verdict.DONE


def test_progress_is_told_in_bytes_of_what_is_sent() -> None:
    board = board_of()
    run(board)
    steps = [(tell.step.done, tell.step.total) for tell in board.of(Tell) if tell.step.total]
    assert steps == [(64 * number, len(DATA)) for number in range(len(DATA) // 64 + 1)]
    assert board.notes == ["sends the user's part alone"]
    assert board.of(Tell)[-1].step.stage is Stage.ACTIVATING


@pytest.mark.parametrize(
    ("mode", "digest", "own", "is_it"),
    [
        (APPLICATION, OWN, OWN, True),
        (APPLICATION, OTHER, OWN, False),
        (APPLICATION, OTHER, None, True),
        (PAIRING, OWN, OWN, False),
    ],
)
def test_a_board_is_believed_to_have_the_program_when_it_runs_one_with_its_hash(
    mode: int, digest: bytes, own: bytes | None, is_it: bool
) -> None:
    board = board_of(mode=mode, regions={1: REGIONS[1], 2: (ADDRESS, END, digest)})
    partial = Partial(replace(PART, own_hash=own), SHA256, board.memory, LIMITS)
    assert board.run(partial.verify(board.opened)) is is_it


def test_a_board_that_tells_nothing_is_not_believed() -> None:
    own = {1: REGIONS[1], 2: (ADDRESS, END, OWN)}
    silent, without = board_of(mode=APPLICATION, regions={}), board_of(mode=APPLICATION, regions=own)
    for board, opened in ((silent, silent.opened), (without, Opened(frozenset()))):
        assert not board.run(Partial(PART, SHA256, board.memory, LIMITS).verify(opened))


def test_leaving_the_pairing_mode_may_break_the_connection_at_once() -> None:
    for board in (board_of(), board_of(answers={"ff 01": [LinkLostError()]})):
        board.run(start_program(LIMITS))
        assert sent(board) == ["ff 01"]
        assert board.of(Lost) == ([] if board.answers else [Lost(LIMITS.gone)])
