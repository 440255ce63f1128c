"""Intel HEX and Universal Hex: read in every layout, and refused where anything in them is not right."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import MOST_BYTES, Block, Family, read_hex
from tests.logic.firmware.made import (
    END,
    V1_BASE,
    V1_BOARD,
    V2_BASE,
    V2_BOARD,
    board_line,
    data_lines,
    record,
    refused_at_most,
    thin,
    universal,
    universal_blocks,
    v1_pieces,
    v2_pieces,
)

QUICK = settings(max_examples=300, deadline=None)
WHOLE = thin({0: b"abcdefgh" * 4, 0x1FFF8: b"0123456789abcdef", 0x10001014: b"\0\xc0\3\0"})
BOTH = universal([(V1_BOARD, v1_pieces(256)), (V2_BOARD, v2_pieces(256))])


def reason(text: bytes) -> str:
    with pytest.raises(FirmwareError) as caught:
        read_hex(text)
    assert caught.value.remedy
    return caught.value.reason


def blocks(text: bytes | str) -> list[tuple[int, bytes]]:
    file = read_hex(text.encode() if isinstance(text, str) else text)
    assert not file.universal
    return [(block.address, block.data) for block in file.parts[0].memory.blocks]


@given(
    st.dictionaries(st.integers(0, 200), st.binary(min_size=1, max_size=300), min_size=1, max_size=6),
    st.integers(1, 255),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.booleans(),
)
@QUICK
def test_what_was_written_is_read_back(pieces: dict[int, bytes], step: int, line_end: str, lower: bool) -> None:
    apart = {0x7FF0 + place * 0x1000: data for place, data in pieces.items()}
    text = (data_lines(apart, step=step) + END).replace("\n", line_end)
    assert blocks(text.lower() if lower else text) == sorted(apart.items())


def test_pieces_in_any_order_become_blocks() -> None:
    text = data_lines({4: b"efgh"}) + data_lines({0: b"abcd"}) + data_lines({8: b"ij"}) + END
    assert blocks(text) == [(0, b"abcdefghij")]


def test_segment_addresses_count_sixteen_bytes_each() -> None:
    text = record(2, 0, b"\x10\x00") + record(0, 0x20, b"ab") + record(4, 0, b"\0\2") + record(0, 0, b"c") + END
    assert blocks(text) == [(0x10020, b"ab"), (0x20000, b"c")]


def test_start_addresses_and_other_data_put_nothing_into_the_flash() -> None:
    silent = record(3, 0, bytes(4)) + record(5, 0, bytes(4)) + record(0x0E, 0, b"source") + record(0, 0, b"")
    assert blocks(silent + record(0, 0, b"ab") + END) == [(0, b"ab")]


@pytest.mark.parametrize("after", [record(0x0E, 0, b"source"), record(0, 0, b"zz"), "not hex at all", ":00"])
def test_what_follows_the_end_record_is_no_data(after: str) -> None:
    text = (record(0, 0, b"ab") + END + after).encode()
    assert blocks(text) == [(0, b"ab")]
    assert read_hex(text).ignored == len(after.strip())


def test_empty_lines_after_the_end_are_nothing() -> None:
    assert read_hex(WHOLE + b"\r\n\r\n").ignored == 0


def test_a_mark_of_byte_order_does_not_matter() -> None:
    assert blocks(b"\xef\xbb\xbf" + WHOLE) == blocks(WHOLE)


@pytest.mark.parametrize("made", [universal, universal_blocks])
@pytest.mark.parametrize("boards", [(0x9900, 0x9903), (0x9901, 0x9904), (0x9902, 0x9906), (0x9900, 0x9905)])
def test_both_layouts_of_a_universal_hex_give_a_memory_for_each_family(made: object, boards: tuple[int, int]) -> None:
    assert callable(made)
    file = read_hex(made([(boards[0], v1_pieces()), (boards[1], v2_pieces())]))
    assert file.universal
    assert [(part.family, part.board_ids) for part in file.parts] == [
        (Family.V1, (boards[0],)),
        (Family.V2, (boards[1],)),
    ]
    for part, pieces in zip(file.parts, (v1_pieces(), v2_pieces()), strict=True):
        assert [(block.address, block.data) for block in part.memory.blocks] == sorted(pieces.items())


def test_two_ids_of_one_family_are_one_program() -> None:
    text = universal([(0x9900, {0: b"abcd"}), (0x9901, {0: b"abcd", 8: b"efgh"})])
    (part,) = read_hex(text).parts
    assert (part.family, part.board_ids) == (Family.V1, (0x9900, 0x9901))
    assert part.memory.blocks == (Block(0, b"abcd"), Block(8, b"efgh"))


def test_two_different_programs_for_one_family_are_refused() -> None:
    assert reason(universal([(0x9900, {0: b"abcd"}), (0x9901, {0: b"abce"})])) == "overlap"


def test_a_board_of_another_kind_is_kept_apart() -> None:
    parts = read_hex(universal([(0x9900, {0: b"abcd"}), (0x1234, {0: b"wxyz"})])).parts
    assert [(part.family, part.board_ids) for part in parts] == [(Family.V1, (0x9900,)), (None, (0x1234,))]


def test_memory_is_read_by_word_and_cut_with_gaps_filled() -> None:
    memory = read_hex(thin({8: b"abcdefgh", 20: b"xyz"})).parts[0].memory
    assert memory.word(8) == int.from_bytes(b"abcd", "little")
    assert memory.word(14) is None
    assert memory.word(4) is None
    assert memory.read(20, 3) == b"xyz"
    assert memory.cut(4, 100) == b"\xff" * 4 + b"abcdefgh" + b"\xff" * 4 + b"xyz\xff"
    assert memory.cut(10, 21) == b"cdefgh" + b"\xff" * 4 + b"x" + b"\xff"
    assert memory.cut(30, 40) == b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "truncated"),
        ("\n\n", "truncated"),
        (record(0, 0, b"ab"), "truncated"),
        (END, "empty"),
        ("hello", "not-hex"),
        (":zz", "bad-record"),
        (":0", "bad-record"),
        (":00", "bad-record"),
        (":00 00 00 01 FF", "bad-record"),
        (":0100000061", "bad-record"),
        (":" + "00" * 300, "bad-record"),
        (record(0, 0, b"ab")[:-3] + "00\n" + END, "bad-checksum"),
        (record(6, 0, b"ab") + END, "unknown-record"),
        (record(0x0F, 0, b"ab") + END, "unknown-record"),
        (record(1, 0, b"a"), "bad-record"),
        (record(4, 0, b"a"), "bad-record"),
        (record(2, 0, b"abc"), "bad-record"),
        (record(4, 0, b"\xff\xff") + record(0, 0xFFFF, b"ab") + END, "bad-record"),
        (record(2, 0, b"\0\0") + record(0, 0xFFFF, b"ab") + END, "bad-record"),
        (record(0, 0, b"ab") + record(0, 1, b"c") + END, "overlap"),
        (record(0x0D, 0, b"ab") + END, "bad-record"),
        (record(0x0A, 0, b"\x99\x00\xc0") + END, "bad-record"),
        (record(0x0A, 0, b"\x99\x00\xc0\xdf") + END, "bad-record"),
        (record(0, 0, b"ab") + board_line(V1_BOARD) + END, "bad-record"),
    ],
)
def test_what_is_not_right_is_refused_with_its_reason(text: str, expected: str) -> None:
    assert reason(text.encode()) == expected


def test_a_refusal_names_the_line() -> None:
    text = record(0, 0, b"ab") + record(0, 2, b"cd")[:-3] + "00\n" + END
    with pytest.raises(FirmwareError, match="line 2 has a wrong checksum"):
        read_hex(text.encode())


@given(st.integers(0, len(BOTH) - 2))
@QUICK
def test_a_truncated_file_is_always_refused(size: int) -> None:
    if END.strip() not in BOTH[:size].decode():
        assert reason(BOTH[:size])


@given(st.integers(0, len(WHOLE) - len(END) - 1), st.integers(1, 255))
@QUICK
def test_no_changed_byte_changes_what_is_read(at: int, flip: int) -> None:
    damaged = WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :]
    with refused_at_most():
        assert blocks(damaged) == blocks(WHOLE)


@given(st.binary(max_size=400) | st.text(":0123456789ABCDEF\n", max_size=400).map(str.encode))
@QUICK
def test_nothing_but_refusals_comes_of_random_bytes(text: bytes) -> None:
    with refused_at_most():
        read_hex(text)


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    assert reason(b":" * (MOST_BYTES + 1)) == "too-big"


def test_a_universal_hex_of_a_megabyte_and_a_half_is_read_well_within_a_second() -> None:
    text = universal([(V1_BOARD, v1_pieces(0x20000)), (V2_BOARD, v2_pieces(0x58000))])
    assert len(text) > 1_300_000
    began = time.process_time()
    v1, v2 = read_hex(text).parts
    assert time.process_time() - began < 0.9
    assert (len(v1.memory.cut(V1_BASE, 0x3C000)), len(v2.memory.cut(V2_BASE, 0x77000))) == (0x20000, 0x58000)


@pytest.mark.parametrize("line", ["\n", record(0, 0, b"a"), record(4, 0, b"\0\1"), ":00000000000\n"[:-2] + "\n"])
def test_the_worst_file_of_the_largest_size_ends_in_seconds(line: str) -> None:
    began = time.process_time()
    with pytest.raises(FirmwareError):
        read_hex(line.encode() * (MOST_BYTES // len(line)))
    assert time.process_time() - began < 5


def test_scattered_bytes_take_no_more_memory_than_they_are() -> None:
    text = "".join(record(4, 0, bytes([place, 0])) + record(0, 0, b"ab") for place in range(256)) + END
    memory = read_hex(text.encode()).parts[0].memory
    assert len(memory.blocks) == 256
    assert sum(len(block.data) for block in memory.blocks) == 512
