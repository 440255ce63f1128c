"""What the legacy bootloader keeps and loses: over connections, resets, power cuts and silence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.firmware.nordic_init import make_legacy
from enmctl.simulator.nordic.legacy_rules import MICROBIT, LegacyOptions
from tests.logic.firmware.made import program
from tests.logic.simulator.nordic.legacy import (
    ADDRESS,
    BOARDS,
    NEXT_ADDRESS,
    SINGLE,
    STOCK,
    board_of,
    every_board,
    image,
    receiving,
    sent,
    sizes,
    talk_to,
)
from tests.logic.simulator.nordic.talking import PEER, Talk


@every_board
def test_a_reset_starts_the_application_or_else_the_bootloader_anew(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    talk.packet(bytes(20), after=0.01)
    assert talk.control("06") == []
    assert talk.ended == [0x13]
    talk.wait(1.0)
    talk.connect()
    assert talk.control("07") == ["10 07 01 00 00 00 00"]


@every_board
def test_a_lost_connection_costs_nothing_but_the_subscription(options: LegacyOptions) -> None:
    data = image()
    talk = receiving(options, data)
    for at in range(0, 200, 20):
        talk.packet(data[at : at + 20], after=0.01)
    talk.leave()
    talk.wait(60.0)
    talk.connect(subscribe=False)
    assert talk.code("07") == 0xFD
    talk.subscribe()
    assert talk.control("07") == ["10 07 01 c8 00 00 00"]
    talk.control("03")
    for at in range(200, 400, 20):
        talk.packet(data[at : at + 20], after=0.01)
    assert talk.wait(0.1) == ["10 03 01"]


@every_board
def test_an_answer_that_nobody_is_there_for_is_lost(options: LegacyOptions) -> None:
    talk = talk_to(options)
    talk.control("01 04")
    talk.packet(sizes(4096))
    talk.leave()
    assert talk.wait(5.0) == []
    talk.connect()
    talk.control("01 04")
    assert talk.packet(sizes(4096)) == ["10 01 02"]


@every_board
def test_silence_for_two_minutes_drops_the_connection_and_resets(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    talk.wait(60.0)
    talk.packet(bytes(20))
    talk.wait(119.0)
    assert talk.ended == []
    talk.wait(1.1)
    assert talk.ended == [0x13]
    talk.wait(1.0)
    talk.connect()
    assert talk.control("07") == ["10 07 01 00 00 00 00"]


@every_board
def test_operations_without_data_do_not_put_the_silence_off(options: LegacyOptions) -> None:
    talk = talk_to(options)
    for _ in range(11):
        talk.wait(10.0)
        talk.control("07")
    talk.wait(9.5)
    assert talk.ended == [0x13]


@every_board
def test_a_flash_failure_ends_the_connection(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    talk.board.machine.flash.fail()
    talk.packet(bytes(20))
    assert talk.wait(0.1) == []
    assert talk.ended == [0x13]


@every_board
def test_a_power_cut_keeps_what_was_written_and_nothing_of_what_was_known(options: LegacyOptions) -> None:
    data = image(4096)
    talk = receiving(options, data)
    for at in range(0, 2000, 20):
        talk.packet(data[at : at + 20], after=0.01)
    base = talk.board.machine.layout.application + (0x10800 if options == STOCK else 0)
    talk.board.power(on=False, now=talk.now + 46e-6 * 2.5)
    assert talk.board.mode == "off"
    flash = talk.board.machine.flash
    assert flash.read(base, 1980 + 8) == data[: 1980 + 8]
    assert set(flash.read(base + 1980 + 8, 3000)) == {0xFF}
    talk.now += 1.0
    talk.on().connect()
    assert talk.control("07") == ["10 07 01 00 00 00 00"]


def test_a_power_cut_while_two_banks_are_copied_leaves_the_bootloader() -> None:
    old, data = image(4096), program(0x18000, 8192, seed=2)
    talk = sent(STOCK, data, old=old)
    talk.control("04")
    talk.wait(1.0)
    talk.control("05")
    talk.wait(0.1)
    talk.board.power(on=False, now=talk.now)
    talk.on()
    assert talk.board.mode == "bootloader"


@pytest.mark.parametrize(
    ("options", "address"), [(MICROBIT, ADDRESS), (STOCK, NEXT_ADDRESS), (SINGLE, NEXT_ADDRESS)], ids=BOARDS.keys()
)
def test_without_a_caller_it_advertises_to_all_under_its_address_or_the_next(
    options: LegacyOptions, address: str
) -> None:
    said = Talk(board_of(options)).on().board.advertisement
    assert said is not None
    assert (said.address, said.name, said.directed_to) == (address, "DfuTarg", "")
    assert said.services == ("00001530-1212-efde-1523-785feabcd123",)


def test_with_a_caller_the_stock_one_advertises_to_it_alone_for_a_while() -> None:
    talk = talk_to(STOCK, old=image(4096))
    talk.leave()
    said = talk.board.advertisement
    assert said is not None
    assert (said.address, said.name, said.services, said.directed_to) == (ADDRESS, "", (), PEER)
    talk.wait(64.5)
    assert talk.board.mode == "application"


def test_with_a_caller_the_micro_bit_advertises_to_all() -> None:
    talk = talk_to(MICROBIT, old=image(4096))
    talk.leave()
    said = talk.board.advertisement
    assert said is not None
    assert (said.address, said.name, said.directed_to) == (ADDRESS, "DfuTarg", "")


def test_an_image_without_a_first_word_or_with_a_wrong_crc_is_not_started() -> None:
    old = image(4096)
    for damage in (0, 2000):
        board = board_of(SINGLE, old=old)
        board.machine.flash.memory[0x1B000 + damage : 0x1B000 + damage + 4] = b"\xff" * 4
        assert Talk(board).on().board.mode == "bootloader"


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("control"), st.binary(max_size=4)),
        st.tuples(st.just("control"), st.sampled_from([b"\x01\x04", b"\x02\x00", b"\x02\x01", b"\x03", b"\x04"])),
        st.tuples(st.just("packet"), st.binary(max_size=24)),
        st.tuples(st.just("packet"), st.sampled_from([sizes(), sizes(40), bytes(20), make_legacy(image(), 0xFFFE)])),
        st.tuples(st.just("wait"), st.sampled_from([b"\x01", b"\x10", b"\xf0"])),
        st.tuples(st.just("leave"), st.just(b"")),
    ),
    max_size=40,
)


@pytest.mark.parametrize("options", BOARDS.values(), ids=BOARDS.keys())
@settings(max_examples=80, deadline=None)
@given(writes=WRITES)
def test_no_writes_break_it_and_the_flash_is_what_was_taken(
    options: LegacyOptions, writes: list[tuple[str, bytes]]
) -> None:
    talk = talk_to(options, old=image(4096))
    flash = talk.board.machine.flash
    boot_and_system = flash.read(0, 0x18000), flash.read(0x3C000, 0x3C00)
    for what, data in writes:
        if what == "wait":
            talk.wait(data[0] / 16)
        elif what == "leave":
            talk.leave()
        if talk.board.mode != "bootloader":
            break
        if talk.board.machine.peer is None:
            talk.connect()
        if what == "control":
            assert talk.code(data.hex()) is None
        elif what == "packet":
            talk.packet(data)
        assert all(len(text) >= 8 for text in talk.heard())
    talk.wait(1.0)
    assert (flash.read(0, 0x18000), flash.read(0x3C000, 0x3C00)) == boot_and_system


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=4, max_size=20), st.sampled_from([0.0, 0.0, 1e-4, 0.01])), max_size=60))
def test_what_is_in_the_flash_is_exactly_the_packets_that_were_taken(packets: list[tuple[bytes, float]]) -> None:
    talk = receiving(MICROBIT, bytes(4096))
    talk.wait(1.0)
    taken = b""
    for packet, pause in packets:
        said = talk.packet(packet, after=pause)
        if said == []:
            taken += packet
        else:
            assert said in (["10 03 06"], ["10 03 03"])
    talk.wait(1.0)
    assert talk.control("07") == [f"10 07 01 {len(taken).to_bytes(4, 'little').hex(' ')}"]
    assert talk.board.machine.flash.read(0x18000, len(taken) + 8) == taken + b"\xff" * 8
