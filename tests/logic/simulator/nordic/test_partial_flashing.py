"""The micro:bit's partial flashing service, packet by packet."""

from __future__ import annotations

import struct
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, Layout
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.partial_flashing import SOURCE_MAGIC
from enmctl.simulator.nordic.presets import MAKECODE, microbit_v1, microbit_v2
from enmctl.simulator.nordic.traits import MAGIC, ProgramTraits
from enmctl.simulator.nordic.uuids import PARTIAL_FLASHING
from tests.logic.simulator.nordic.talking import Talk

LAYOUTS = {"V1": MICROBIT_V1, "V2": MICROBIT_V2}
BOTH = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
NEW = ProgramTraits(name="new", led=True)


def image_of(layout: Layout, program: ProgramTraits | None = None, *, seed: int = 0) -> bytes:
    size = 8192 if layout.chip.old else 16384
    return make_image(layout, program, runtime=MAKECODE, size=size, seed=seed)


def board_of(layout: Layout) -> NordicBoard:
    return microbit_v1(image=image_of(layout)) if layout.chip.old else microbit_v2(image=image_of(layout))


def talk_to(board: NordicBoard) -> Talk:
    talk = Talk(board).on().connect(subscribe=False)
    talk.subscribe(PARTIAL_FLASHING)
    return talk


def write(talk: Talk, text: str) -> list[str]:
    return talk.command(PARTIAL_FLASHING, bytes.fromhex(text))


def block(talk: Talk, address: int, data: bytes, numbers: count[int], *, seconds: float = 0.5) -> list[str]:
    """Four packets of a block, and what is said until it is written."""
    said = []
    for place in range(4):
        half = (address & 0xFFFF, address >> 16, 0, 0)[place]
        packet = struct.pack(">BHB", 1, half, next(numbers) & 0xFF) + data[16 * place : 16 * place + 16]
        said += talk.command(PARTIAL_FLASHING, packet)
    return said + talk.wait(seconds)


def blocks(layout: Layout, image: bytes) -> list[tuple[int, bytes]]:
    code = image.index(MAGIC)
    padded = image + b"\xff" * (-len(image) % 64)
    return [(layout.application + at, padded[at : at + 64]) for at in range(code, len(padded), 64)]


@BOTH
def test_the_program_alone_is_written_and_runs_from_then_on(layout: Layout) -> None:
    talk, image, numbers = talk_to(board_of(layout)), image_of(layout, NEW, seed=5), count()
    write(talk, "00 01")
    talk.wait(0)
    for address, data in blocks(layout, image):
        assert block(talk, address, data, numbers) == ["01 ff"]
    assert write(talk, "02") == []
    talk.wait(2.0)
    assert talk.ended == [0x08]
    advertisement = talk.board.advertisement
    assert advertisement is not None
    assert (talk.board.mode, advertisement.name) == ("application", "BBC micro:bit [new]")
    assert talk.board.image() == image


@BOTH
def test_regions_are_told_with_the_hashes_that_are_in_the_flash(layout: Layout) -> None:
    talk, image = talk_to(board_of(layout)), image_of(layout)
    code = layout.application + image.index(MAGIC)
    end = 0x3BBFF if layout.chip.old else 0x73000
    hashes = image[image.index(MAGIC) + 16 :]
    rows = {0: (0, layout.application, bytes(8)), 1: (layout.application, code, hashes[:8])}
    rows[2] = (code, end, hashes[8:16])
    rows[3] = (0, 0, bytes(8))
    for number, row in rows.items():
        assert write(talk, f"00 0{number}") == [struct.pack(">BBII8s", 0, number, *row).hex(" ")]


@BOTH
def test_the_mode_is_told(layout: Layout) -> None:
    talk = talk_to(board_of(layout))
    assert write(talk, "ee") == ["ee 01 01"]
    assert write(talk, "ff 00") == []
    talk.wait(1.0)
    assert (talk.ended, talk.board.mode) == ([0x08], "pairing")
    talk.connect(subscribe=False)
    talk.subscribe(PARTIAL_FLASHING)
    assert write(talk, "ee") == ["ee 01 00"]
    write(talk, "ff 01")
    talk.wait(1.0)
    assert talk.board.mode == "application"


@BOTH
def test_the_erase_is_waited_for_and_comes_at_the_start_of_a_page_alone(layout: Layout) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    code = layout.application + image_of(layout).index(MAGIC)
    page, erase = layout.chip.page, layout.chip.erase_seconds
    storage = erase + 4 * layout.chip.word_seconds
    burn = 16 * layout.chip.word_seconds
    assert block(talk, code, bytes(64), numbers, seconds=storage + erase + burn - 1e-4) == []
    assert talk.wait(2e-4) == ["01 ff"]
    assert block(talk, code + 64, bytes(64), numbers, seconds=burn + 1e-5) == ["01 ff"]
    flash = talk.board.machine.flash
    assert flash.read(code, page) == bytes(128) + b"\xff" * (page - 128)


def test_a_page_that_is_empty_already_is_erased_by_the_v1_alone() -> None:
    for layout in LAYOUTS.values():
        talk, numbers = talk_to(board_of(layout)), count()
        empty = layout.application + 0x10000
        block(talk, empty, b"\xff" * 64, numbers)
        block(talk, empty, b"\xff" * 64, numbers, seconds=0)
        erased = talk.board.machine.flash.free_at - talk.now > layout.chip.erase_seconds
        assert erased is layout.chip.old


@BOTH
def test_a_block_that_is_not_at_the_start_of_a_page_only_clears_bits(layout: Layout) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    code = layout.application + image_of(layout).index(MAGIC)
    before = talk.board.machine.flash.read(code + 64, 64)
    block(talk, code + 64, b"\xf0" * 64, numbers)
    assert talk.board.machine.flash.read(code + 64, 64) == bytes(byte & 0xF0 for byte in before)


@BOTH
def test_a_lost_packet_is_told_once_and_the_block_is_sent_again_with_the_next_numbers(layout: Layout) -> None:
    talk = talk_to(board_of(layout))
    code = layout.application + image_of(layout).index(MAGIC)
    said = []
    for number in (0, 2, 3):
        said += talk.command(PARTIAL_FLASHING, struct.pack(">BHB", 1, code & 0xFFFF, number) + b"x" * 16)
    assert said == ["01 aa"]
    assert block(talk, code, b"r" * 64, count(4)) == ["01 ff"]
    assert talk.board.machine.flash.read(code, 64) == b"r" * 64
    assert block(talk, code, b"r" * 64, count(1)) == []
    assert block(talk, code + 64, b"s" * 64, count(8)) == ["01 ff"]


@BOTH
def test_packets_seven_behind_are_passed_over_and_those_further_are_out_of_order(layout: Layout) -> None:
    for behind, said in ((1, []), (7, []), (8, ["01 aa"]), (200, ["01 aa"]), (-1, ["01 aa"])):
        talk, numbers = talk_to(board_of(layout)), count()
        for _ in range(4):
            block(talk, layout.application + 0x1040, b"\xff" * 64, numbers)
        packet = struct.pack(">BHB", 1, 0, (16 - behind) & 0xFF) + bytes(16)
        assert talk.command(PARTIAL_FLASHING, packet) == said


@BOTH
def test_numbers_go_round_and_start_anew_with_a_question_about_a_region(layout: Layout) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    code = layout.application + image_of(layout).index(MAGIC)
    for _ in range(70):
        assert block(talk, code + 128, b"\xff" * 64, numbers) == ["01 ff"]
    write(talk, "00 02")
    assert block(talk, code + 128, b"\xff" * 64, count()) == ["01 ff"]


@BOTH
def test_who_does_not_wait_for_the_answer_overwrites_the_block(layout: Layout) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    code = layout.application + image_of(layout).index(MAGIC)
    block(talk, code, b"\x11" * 64, numbers, seconds=0)
    block(talk, code + 64, b"\x22" * 64, numbers, seconds=0)
    said = block(talk, code + 128, b"\x33" * 64, numbers, seconds=1.0)
    assert said == ["01 ff"] * 3
    flash = talk.board.machine.flash
    assert flash.read(code + 64, 64) == b"\xff" * 64
    assert flash.read(code + 128, 64) == b"\x33" * 64


@BOTH
@pytest.mark.parametrize("how", ["power", "reset"])
def test_what_was_begun_and_not_ended_starts_for_pairing_until_it_is(layout: Layout, how: str) -> None:
    talk, image, numbers = talk_to(board_of(layout)), image_of(layout, NEW, seed=5), count()
    parts = blocks(layout, image)
    for address, data in parts[:20]:
        block(talk, address, data, numbers)
    if how == "power":
        talk.take(talk.board.power(on=False, now=talk.now))
        talk.on()
    else:
        write(talk, "ff 01")
        talk.wait(1.0)
    assert talk.board.mode == "pairing"
    program = talk.board.describe()["program"]
    assert isinstance(program, dict)
    assert program["flashIncomplete"] is True
    talk.wait(280.0)
    assert talk.board.mode == "pairing"
    talk.connect(subscribe=False)
    talk.subscribe(PARTIAL_FLASHING)
    [region] = write(talk, "00 02")
    assert int.from_bytes(bytes.fromhex(region)[2:6], "big") == parts[0][0]
    numbers = count()
    for address, data in parts:
        assert block(talk, address, data, numbers) == ["01 ff"]
    write(talk, "02")
    talk.wait(2.0)
    assert (talk.board.mode, talk.board.image()) == ("application", image)


@BOTH
def test_a_cut_before_the_magic_is_there_leaves_no_region_to_tell(layout: Layout) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    address, data = blocks(layout, image_of(layout, NEW))[0]
    block(talk, address, data, numbers, seconds=2.5 * layout.chip.erase_seconds - layout.chip.erase_seconds / 2)
    talk.take(talk.board.power(on=False, now=talk.now))
    talk.on().connect(subscribe=False)
    talk.subscribe(PARTIAL_FLASHING)
    assert talk.board.mode == "pairing"
    [region] = write(talk, "00 02")
    assert set(bytes.fromhex(region)[2:6] + bytes.fromhex(region)[10:]) == {0}


def test_the_v2_forgets_at_the_end_how_long_the_image_was_and_checks_it_no_more() -> None:
    talk, numbers = talk_to(board_of(MICROBIT_V2)), count()
    for address, data in blocks(MICROBIT_V2, image_of(MICROBIT_V2, NEW)):
        block(talk, address, data, numbers)
    write(talk, "02")
    talk.wait(2.0)
    assert talk.board.loader.application_size(talk.board.machine) == 0
    assert talk.board.mode == "application"


def test_the_v1_wipes_the_start_of_old_source_code_behind_the_program() -> None:
    image = image_of(MICROBIT_V1)
    board = board_of(MICROBIT_V1)
    places = [0x18000 + len(image) + 0x2000, 0x18000 + len(image) + 0x3008]
    for place in places:
        board.machine.flash.memory[place : place + 8] = SOURCE_MAGIC
    talk, numbers = talk_to(board), count()
    for address, data in blocks(MICROBIT_V1, image_of(MICROBIT_V1, NEW)):
        block(talk, address, data, numbers)
    write(talk, "02")
    talk.wait(2.0)
    assert [board.machine.flash.read(place, 8) for place in places] == [b"\0" + SOURCE_MAGIC[1:]] * 2


@BOTH
@pytest.mark.parametrize("place", ["system", "bootloader", "odd"])
def test_a_block_where_nothing_may_be_written_hangs_the_board(layout: Layout, place: str) -> None:
    talk, numbers = talk_to(board_of(layout)), count()
    address = {"system": 0x1000, "bootloader": layout.bootloader - 32, "odd": layout.application + 2}[place]
    assert block(talk, address, bytes(64), numbers) == []
    assert write(talk, "ee") == []
    talk.take(talk.board.power(on=False, now=talk.now))
    assert talk.on().board.mode == "application"


WRITES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\x00\x01", b"\x02", b"\xee", b"\xff\x00", b"\xff\x01"]),
        st.tuples(st.integers(0, 7), st.integers(0, 0xFFFF), st.binary(min_size=16, max_size=16)).map(
            lambda part: struct.pack(">BHB", 1, part[1], part[0]) + part[2]
        ),
    ),
    max_size=30,
)


@BOTH
@settings(max_examples=80)
@given(writes=WRITES)
def test_no_writes_break_it_or_reach_beyond_its_place(layout: Layout, writes: list[bytes]) -> None:
    talk = talk_to(board_of(layout))
    flash = talk.board.machine.flash
    around = flash.read(0, layout.application), flash.read(layout.bootloader, 0x3000)
    for data in writes:
        if talk.board.program is None or talk.board.machine.peer is None:
            break
        talk.command(PARTIAL_FLASHING, data)
        talk.wait(0.05)
    talk.wait(2.0)
    assert (flash.read(0, layout.application), flash.read(layout.bootloader, 0x3000)) == around
