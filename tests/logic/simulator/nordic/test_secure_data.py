"""What the secure bootloader does with an image's objects and packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.simulator.nordic.secure_rules import MICROBIT, SecureOptions
from tests.logic.firmware.made import microbit_init
from tests.logic.simulator.nordic.secure import (
    BOARDS,
    ERASE,
    OK,
    SETTINGS,
    create,
    every_board,
    image,
    init_of,
    place,
    prepared,
    send_object,
    sent,
    talk_to,
)

DATA = image(9000)
PACKETS = [DATA[at : min(at + 244, 4096)] for at in range(0, 4096, 244)]
NEXT_ADDRESS = "E0:11:22:33:44:00"


@every_board
@pytest.mark.parametrize(
    ("size", "result"), [(0, "03"), (100, "03"), (4100, "03"), (8192, "04"), (0x100000, "04"), (9000, "04")]
)
def test_an_object_has_the_size_of_a_page_or_of_the_rest(options: SecureOptions, size: int, result: str) -> None:
    assert prepared(options, DATA).control(create(2, size)) == [f"60 01 {result}"]


@every_board
def test_the_last_object_is_as_long_as_what_is_left_and_no_longer(options: SecureOptions) -> None:
    talk = sent(options, DATA[:4096] + DATA[:904])
    assert talk.control(create(2, 4096)) == ["60 01 08"]
    assert talk.control(create(2, 904)) == [OK.format(1)]


@every_board
def test_creating_an_object_again_goes_back_to_where_it_began(options: SecureOptions) -> None:
    talk = sent(options, DATA)
    assert talk.control("06 02")[0].endswith(place(DATA))
    assert talk.control(create(2, len(DATA) - 8192)) == [OK.format(1)]
    assert talk.control("03") == [f"60 03 01 {place(DATA[:8192])}"]


@every_board
def test_an_object_that_is_not_whole_is_not_executed(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    talk.control(create(2, 4096))
    talk.wait(ERASE)
    for packet in PACKETS[:-1]:
        talk.packet(packet, after=0.01)
    assert talk.control("04") == ["60 04 08"]
    talk.packet(PACKETS[-1])
    assert talk.control("04") == []
    assert talk.wait(1.0) == [OK.format(4)]


@every_board
def test_an_object_executed_again_is_as_good_as_executed(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    send_object(talk, DATA[:4096])
    for _ in range(2):
        talk.control("04")
        assert talk.wait(1.0) == [OK.format(4)]


@every_board
def test_a_packet_beyond_the_object_is_dropped_and_only_a_receipt_tells(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    send_object(talk, DATA[:4096])
    assert talk.packet(bytes(4)) == []
    talk.control("02 01 00")
    assert talk.packet(bytes(4)) == ["60 03 03"]
    assert talk.control("03") == [f"60 03 01 {place(DATA[:4096])}"]


@every_board
def test_packets_without_an_object_or_an_init_packet_are_dropped(options: SecureOptions) -> None:
    talk = talk_to(options)
    talk.control("02 01 00")
    assert talk.packet(bytes(20)) == ["60 03 03"]
    talk.control("06 02")
    assert talk.packet(bytes(20)) == ["60 03 08"]


@every_board
def test_executing_is_answered_once_the_flash_is_done(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    talk.control(create(2, 4096))
    talk.wait(ERASE)
    for packet in PACKETS[:10]:
        talk.packet(packet)
    talk.wait(0.02)
    for packet in PACKETS[10:]:
        talk.packet(packet)
    assert talk.control("04") == []
    assert talk.wait(1024 * 41e-6 - 0.02 - 1e-4) == []
    assert talk.wait(2e-4) == [OK.format(4)]


@every_board
def test_a_receipt_tells_offset_and_crc_and_its_counter_starts_with_each_object(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    talk.control("02 03 00")
    talk.control(create(2, 4096))
    talk.wait(ERASE)
    said = [talk.packet(packet, after=0.01) for packet in PACKETS[:7]]
    assert said == [[], [], [f"60 03 01 {place(DATA[:732])}"], [], [], [f"60 03 01 {place(DATA[:1464])}"], []]
    talk.control(create(2, 4096))
    talk.wait(ERASE)
    assert [bool(talk.packet(packet, after=0.01)) for packet in PACKETS[:4]] == [False, False, True, False]
    talk.control("02 00 00")
    assert [talk.packet(packet, after=0.01) for packet in PACKETS[4:9]] == [[]] * 5


@pytest.mark.parametrize("options", BOARDS.values(), ids=BOARDS.keys())
def test_while_a_page_is_erased_the_line_of_the_flash_takes_15_packets_and_drops_the_rest(
    options: SecureOptions,
) -> None:
    talk = prepared(options, DATA)
    talk.control(create(2, 4096))
    for packet in PACKETS:
        assert talk.packet(packet) == []
    assert talk.control("03") == [f"60 03 01 {place(DATA[: 15 * 244])}"]
    assert talk.board.program is not None
    assert talk.board.program.describe()["dropped"] == 2


def test_without_that_line_17_buffers_hold_an_object_and_of_short_packets_340_bytes() -> None:
    options = replace(MICROBIT, operations=None)
    talk = prepared(options, DATA)
    talk.control(create(2, 4096))
    for packet in PACKETS:
        talk.packet(packet)
    assert talk.control("03") == [f"60 03 01 {place(DATA[:4096])}"]
    talk.control(create(2, 4096))
    talk.wait(1.0)
    talk.control(create(2, 4096))
    for at in range(0, 400, 20):
        talk.packet(DATA[at : at + 20])
    assert talk.control("03") == [f"60 03 01 {place(DATA[:340])}"]


def test_a_receipt_of_a_packet_that_the_flash_could_not_take_tells_nothing_but_zeros() -> None:
    talk = prepared(MICROBIT, DATA)
    talk.control("02 10 00")
    talk.control(create(2, 4096))
    said = [talk.packet(packet) for packet in PACKETS]
    assert said[:15] + said[16:] == [[]] * 16
    assert said[15] == ["60 03 01 00 00 00 00 00 00 00 00"]


def test_right_after_the_init_packet_the_settings_are_in_line_before_the_first_object() -> None:
    init = init_of(MICROBIT, DATA)
    talk = talk_to(MICROBIT)
    talk.control(create(1, len(init)))
    talk.packet(init)
    talk.control("04")
    talk.control(create(2, 4096))
    for packet in PACKETS[:12]:
        talk.packet(packet)
    assert talk.control("03") == [f"60 03 01 {place(DATA[: 11 * 244])}"]
    assert talk.board.machine.flash.free_at - talk.now == pytest.approx(SETTINGS + ERASE + 11 * 61 * 41e-6)


@every_board
@pytest.mark.parametrize("damage", [0, 4000, 8999])
def test_a_wrong_hash_is_told_and_the_chip_resets_all_the_same(options: SecureOptions, damage: int) -> None:
    wrong = bytearray(DATA)
    wrong[damage] ^= 1
    talk, said = prepared(options, DATA), [""]
    for at in range(0, len(DATA), 4096):
        send_object(talk, bytes(wrong[at : at + 4096]))
        talk.control("04")
        said = talk.wait(1.0)
    assert said == ["60 04 0b 0c"]
    assert talk.ended == [0x13]
    talk.wait(2.0)
    assert talk.board.mode == "bootloader"
    talk.connect()
    assert talk.control("06 01")[0].endswith(place(b""))


def test_a_hash_that_is_left_out_is_not_checked() -> None:
    talk = talk_to(MICROBIT)
    init = microbit_init(DATA, hashed=False)
    talk.control(create(1, len(init)))
    talk.packet(init)
    talk.control("04")
    talk.wait(1.0)
    other = image(9000, seed=3)
    for at in range(0, len(other), 4096):
        send_object(talk, other[at : at + 4096])
        talk.control("04")
        talk.wait(1.0)
    talk.wait(2.0)
    assert talk.board.image() == other
