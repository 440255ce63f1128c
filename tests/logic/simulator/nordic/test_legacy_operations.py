"""What the legacy bootloader answers to operations, and how a transfer begins and ends."""

from __future__ import annotations

import pytest

from enmctl.firmware.nordic_init import make_legacy
from enmctl.simulator.nordic.legacy_rules import MICROBIT, LegacyOptions
from enmctl.simulator.nordic.uuids import LEGACY_VERSION
from tests.logic.simulator.nordic.legacy import (
    BOARDS,
    ERASE,
    SINGLE,
    STOCK,
    every_board,
    image,
    receiving,
    sent,
    sizes,
    started,
    talk_to,
)


@every_board
def test_a_whole_transfer_ends_with_the_image_running(options: LegacyOptions) -> None:
    data = image()
    talk = sent(options, data)
    assert talk.control("07") == [f"10 07 01 {len(data).to_bytes(4, 'little').hex(' ')}"]
    talk.control("04")
    assert talk.wait(1.0) == ["10 04 01"] or options == MICROBIT
    assert talk.control("05") == []
    assert talk.ended == [0x13]
    talk.wait(2.0)
    assert (talk.board.mode, talk.board.image(), talk.board.holds(data)) == ("application", data, True)


def test_the_micro_bit_answers_a_validate_at_once_and_checks_nothing() -> None:
    data = image()
    talk = started(MICROBIT, len(data))
    talk.control("02 00")
    talk.packet(make_legacy(data, 0x1234)[:-2] + b"\xde\xad")
    assert talk.control("02 01") == ["10 02 01"]
    talk.control("03")
    for _ in range(len(data) // 20):
        talk.packet(bytes(20), after=0.01)
    talk.wait(1.0)
    assert talk.control("04") == ["10 04 01"]


@pytest.mark.parametrize("options", [STOCK, SINGLE], ids=["dual bank", "single bank"])
def test_a_wrong_crc_is_told_and_then_nothing_but_a_reset_helps(options: LegacyOptions) -> None:
    data = image()
    talk = receiving(options, data)
    for at in range(0, len(data), 20):
        talk.packet(data[at : at + 20] if at else bytes(20), after=0.01)
    talk.wait(1.0)
    assert talk.control("04") == []
    assert talk.wait(1.0) == ["10 04 05"]
    assert talk.control("04") == ["10 04 02"]
    assert talk.packet(bytes(20)) == ["10 03 02"]


@every_board
def test_the_version_is_read_minor_number_first(options: LegacyOptions) -> None:
    version = b"\x04\x00" if options == MICROBIT else b"\x08\x00"
    assert talk_to(options).board.read(LEGACY_VERSION, 0.0) == version


@every_board
@pytest.mark.parametrize("operation", ["01 04", "02 00", "03", "04", "05", "06", "07", "08 0c 00", "77"])
def test_every_operation_is_refused_while_notifications_are_off(options: LegacyOptions, operation: str) -> None:
    talk = talk_to(options)
    talk.leave()
    talk.connect(subscribe=False)
    assert talk.code(operation) == 0xFD


@every_board
@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("01", "10 01 06"),
        ("02", "10 02 06"),
        ("08", "10 08 03"),
        ("08 0c", "10 08 03"),
        ("04", "10 04 02"),
        ("02 01", "10 02 02"),
        ("07", "10 07 01 00 00 00 00"),
        ("09", "10 09 03"),
        ("77 01", "10 77 03"),
        ("00", "10 00 03"),
    ],
)
def test_an_operation_before_anything_else_is_answered_so(options: LegacyOptions, operation: str, answer: str) -> None:
    assert talk_to(options).control(operation) == [answer]


@every_board
def test_packets_that_no_operation_announced_are_ignored_silently(options: LegacyOptions) -> None:
    talk = talk_to(options)
    assert talk.packet(bytes(20)) == []
    assert talk.control("07") == ["10 07 01 00 00 00 00"]


@every_board
@pytest.mark.parametrize(
    ("kind", "packet", "answer"),
    [
        ("04", bytes(4), "10 01 03"),
        ("04", bytes(13), "10 01 03"),
        ("04", sizes(401), "10 01 03"),
        ("01", sizes(0, softdevice=402), "10 01 03"),
        ("02", sizes(0, bootloader=403), "10 01 03"),
        ("05", sizes(400, softdevice=400), "10 01 03"),
        ("06", sizes(400, bootloader=400), "10 01 03"),
        ("04", sizes(0x24004), "10 01 04"),
        ("02", sizes(0, bootloader=15 * 1024 + 4), "10 01 04"),
    ],
)
def test_a_start_that_cannot_be_is_answered_so(options: LegacyOptions, kind: str, packet: bytes, answer: str) -> None:
    talk = talk_to(options)
    talk.control(f"01 {kind}")
    assert talk.packet(packet) == [answer]


@pytest.mark.parametrize(
    ("options", "most"), [(MICROBIT, 0x24000), (SINGLE, 0x21000), (STOCK, 0x10800)], ids=BOARDS.keys()
)
def test_the_largest_image_is_the_region_or_half_of_it(options: LegacyOptions, most: int) -> None:
    talk = talk_to(options)
    talk.control("01 04")
    assert talk.packet(sizes(most + 4)) == ["10 01 04"]
    assert talk.packet(sizes(most)) == []
    assert talk.wait(5.0) == ["10 01 01"]


@every_board
def test_a_second_start_is_refused_and_has_taken_over_the_size_all_the_same(options: LegacyOptions) -> None:
    data = image()
    talk = receiving(options, data)
    talk.packet(data[:20], after=0.01)
    talk.control("01 04")
    assert talk.packet(sizes(40)) == ["10 01 02"]
    talk.control("03")
    assert talk.packet(data[20:40], after=0.01) == []
    assert talk.wait(0.1) == ["10 03 01"]


@every_board
def test_the_erase_is_waited_for_and_takes_a_page_after_the_other(options: LegacyOptions) -> None:
    talk = talk_to(options)
    talk.control("01 04")
    talk.packet(sizes(10 * 1024))
    pages = 66 if options == STOCK else 10
    assert talk.wait(pages * ERASE - 0.001) == []
    assert talk.wait(0.002) == ["10 01 01"]


@pytest.mark.parametrize("options", [MICROBIT, SINGLE], ids=["micro:bit", "single bank"])
def test_a_single_bank_loses_the_old_image_with_the_erase(options: LegacyOptions) -> None:
    talk = talk_to(options, old=image(4096))
    talk.control("01 04")
    talk.packet(sizes(4096))
    talk.wait(1.0)
    talk.control("06")
    talk.wait(1.0)
    assert talk.board.mode == "bootloader"
    assert talk.board.image() == b""


def test_two_banks_keep_the_old_image_until_the_new_one_is_activated() -> None:
    old = image(4096)
    talk = started(STOCK, old=old)
    talk.control("06")
    talk.wait(1.0)
    assert (talk.board.mode, talk.board.image()) == ("application", old)


@every_board
def test_a_validate_before_all_is_there_is_refused_and_harms_nothing(options: LegacyOptions) -> None:
    data = image(40)
    talk = receiving(options, data)
    talk.packet(data[:20], after=0.01)
    assert talk.control("04") == ["10 04 02"]
    talk.packet(data[20:], after=0.01)
    assert talk.wait(0.1) == ["10 03 01"]


@every_board
def test_an_activate_before_its_time_just_resets(options: LegacyOptions) -> None:
    old = image(4096)
    talk = talk_to(options, old=old)
    assert talk.control("05") == []
    assert talk.ended == [0x13]
    talk.wait(1.0)
    assert (talk.board.mode, talk.board.image()) == ("application", old)
