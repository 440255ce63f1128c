"""What the legacy bootloader answers to packets: init bytes and data."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from enmctl.firmware.nordic_init import make_legacy
from enmctl.simulator.nordic.legacy_rules import MICROBIT, LegacyOptions
from tests.logic.simulator.nordic.legacy import (
    SINGLE,
    STOCK,
    every_board,
    image,
    receiving,
    started,
    talk_to,
)


@every_board
def test_init_bytes_are_refused_when_it_is_not_their_turn(options: LegacyOptions) -> None:
    talk = talk_to(options)
    talk.control("02 00")
    assert talk.packet(bytes(14)) == ["10 02 02"]
    data = image()
    talk = receiving(options, data)
    talk.packet(data[:20], after=0.01)
    talk.control("02 00")
    assert talk.packet(bytes(14)) == ["10 02 02"]
    assert talk.control("02 01") == ["10 02 02"]


@every_board
def test_init_bytes_have_room_for_128_and_are_filled_up_to_words(options: LegacyOptions) -> None:
    talk = started(options)
    talk.control("02 00")
    for _ in range(32):
        assert talk.packet(b"\x01") == []
    assert talk.packet(b"\x01") == ["10 02 06"]


@every_board
def test_an_init_complete_without_bytes_is_refused(options: LegacyOptions) -> None:
    assert started(options).control("02 01") == ["10 02 02"]


@pytest.mark.parametrize("options", [STOCK, SINGLE], ids=["dual bank", "single bank"])
@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(8),
        struct.pack("<HHIH", 0xFFFF, 0xFFFF, 0, 1),
        struct.pack("<HHIHHH", 0xFFFF, 0xFFFF, 0, 1, 0x64, 0),
        struct.pack("<HHIHHH", 0xFFFF, 0xFFFF, 0, 40, 0x87, 0),
    ],
    ids=["nothing", "too short", "no CRC", "other SoftDevice", "fewer SoftDevices than told"],
)
def test_a_wrong_init_packet_fails_and_another_may_follow(options: LegacyOptions, packet: bytes) -> None:
    talk = started(options)
    talk.control("02 00")
    talk.packet(packet)
    assert talk.control("02 01") == ["10 02 06"]
    talk.packet(make_legacy(image(), 0x87))
    assert talk.control("02 01") == ["10 02 01"]


def test_device_type_and_revision_count_where_the_chip_has_them() -> None:
    options = replace(STOCK, device_type=5, device_revision=5)
    for device_type, revision, answer in [(5, 5, "10 02 01"), (5, 6, "10 02 06"), (0xFFFF, 5, "10 02 06")]:
        talk = started(options)
        talk.control("02 00")
        talk.packet(struct.pack("<HHIHHH", device_type, revision, 0, 1, 0x87, 0))
        assert talk.control("02 01") == [answer]


@every_board
def test_data_before_init_is_taken_by_the_micro_bit_alone(options: LegacyOptions) -> None:
    talk = started(options)
    talk.control("03")
    assert talk.packet(image()[:20]) == ([] if options == MICROBIT else ["10 03 02"])


@every_board
def test_data_before_the_erase_and_within_the_init_is_refused(options: LegacyOptions) -> None:
    talk = talk_to(options)
    talk.control("03")
    assert talk.packet(bytes(20)) == ["10 03 02"]
    talk = started(options)
    talk.control("02 00")
    talk.packet(bytes(14))
    talk.control("03")
    assert talk.packet(bytes(20)) == ["10 03 02"]


@every_board
def test_data_that_is_no_words_is_dropped_and_counts_nowhere(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    talk.control("08 02 00")
    assert talk.packet(bytes(20)) == []
    assert talk.packet(bytes(19)) == ["10 03 03"]
    assert talk.packet(bytes(20)) == ["11 28 00 00 00"]


@every_board
def test_a_packet_that_is_too_long_is_dropped_silently(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    assert talk.packet(bytes(24)) == []
    assert talk.control("07") == ["10 07 01 00 00 00 00"]
    assert talk.board.describe()["overlong"] == 1


@every_board
def test_a_full_pool_drops_packets_each_with_an_error(options: LegacyOptions) -> None:
    talk = receiving(options, image())
    talk.wait(1.0)
    assert [talk.packet(bytes(20)) for _ in range(10)] == [[]] * 8 + [["10 03 06"]] * 2
    assert talk.control("07") == ["10 07 01 a0 00 00 00"]
    assert talk.packet(bytes(20), after=46e-6 * 5.01) == []


@every_board
def test_more_than_announced_poisons_the_counter(options: LegacyOptions) -> None:
    data = image(40)
    talk = receiving(options, data)
    talk.packet(data[:20], after=0.01)
    assert talk.packet(bytes(20), after=0.01) == []
    talk.wait(0.1)
    assert talk.packet(bytes(20)) == ["10 03 04"]
    assert talk.packet(bytes(4)) == ["10 03 04"]
    assert talk.control("04") == ["10 04 02"]


@every_board
def test_a_receipt_comes_after_so_many_packets_and_never_after_the_last(options: LegacyOptions) -> None:
    data = image(120)
    talk = receiving(options, data)
    talk.control("08 02 00")
    said = [talk.packet(data[at : at + 20], after=0.01) for at in range(0, 120, 20)]
    assert said == [[], ["11 28 00 00 00"], [], ["11 50 00 00 00"], [], []]
    assert talk.wait(0.1) == ["10 03 01"]


@every_board
def test_the_receipt_counter_outlasts_a_connection_and_starts_anew_only_when_set(options: LegacyOptions) -> None:
    data = image()
    talk = receiving(options, data)
    talk.control("08 03 00")
    talk.packet(data[:20], after=0.01)
    talk.leave()
    talk.connect()
    assert talk.control("03") == []
    assert talk.packet(data[20:40], after=0.01) == []
    assert talk.packet(data[40:60], after=0.01) == ["11 3c 00 00 00"]
    talk.packet(data[60:80], after=0.01)
    talk.control("08 02 00")
    assert [talk.packet(data[at : at + 20], after=0.01) for at in (80, 100)] == [[], ["11 78 00 00 00"]]
    talk.control("08 00 00")
    assert [talk.packet(data[at : at + 20], after=0.01) for at in (120, 140, 160)] == [[]] * 3


@every_board
def test_the_last_packet_is_answered_once_it_is_in_the_flash(options: LegacyOptions) -> None:
    data = image(160)
    talk = receiving(options, data)
    talk.wait(1.0)
    for at in range(0, 160, 20):
        assert talk.packet(data[at : at + 20]) == []
    assert talk.wait(40 * 46e-6 - 1e-6) == []
    assert talk.wait(2e-6) == ["10 03 01"]
