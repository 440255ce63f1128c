"""What the secure bootloader answers to requests, and which init packets it takes."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest

from enmctl.simulator.nordic.records import SecureSettings
from enmctl.simulator.nordic.secure_rules import MICROBIT, SecureOptions
from tests.logic.firmware.made import content, microbit_init, number, secure_init
from tests.logic.simulator.nordic.secure import (
    OK,
    STOCK,
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

NOTHING = place(b"")


@every_board
def test_a_whole_transfer_ends_with_the_image_running(options: SecureOptions) -> None:
    data = image(9000)
    talk = sent(options, data)
    talk.control("04")
    assert talk.wait(1.0) == [OK.format(4)]
    assert talk.ended == [0x13]
    talk.wait(3.0)
    assert (talk.board.mode, talk.board.image(), talk.board.holds(data)) == ("application", data, True)


@every_board
@pytest.mark.parametrize("request_", ["01 01 10 00 00 00", "02 0a 00", "03", "04", "06 01", "0c", "77"])
def test_every_request_is_refused_while_notifications_are_off(options: SecureOptions, request_: str) -> None:
    assert talk_to(options, subscribe=False).code(request_) == 0xFD


@every_board
@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("02 0a 00", "60 02 01"),
        ("03", f"60 03 01 {NOTHING}"),
        ("04", "60 04 05"),
        ("06 02", f"60 06 01 00 10 00 00 {NOTHING}"),
        ("06 00", "60 06 05"),
        ("06 03", "60 06 05"),
        ("01 03 10 00 00 00", "60 01 05"),
        ("01 01 00 00 00 00", "60 01 03"),
        ("01 02 00 10 00 00", "60 01 08"),
        ("05", "60 05 02"),
        ("08", "60 08 02"),
        ("77", "60 77 02"),
    ],
)
def test_a_request_before_anything_else_is_answered_so(options: SecureOptions, request_: str, answer: str) -> None:
    assert talk_to(options).control(request_) == [answer]


@pytest.mark.parametrize("request_", ["00", "07", "09 01", "0a", "0b 00"])
def test_requests_that_bluetooth_does_not_need_are_left_out_of_the_reduced_protocol(request_: str) -> None:
    assert talk_to(MICROBIT).control(request_) == [f"60 {request_[:2]} 02"]
    assert talk_to(STOCK).control(request_) == [f"60 {request_[:2]} 01"]


@every_board
def test_after_an_invalid_type_no_object_is_chosen(options: SecureOptions) -> None:
    talk = talk_to(options)
    talk.control("06 07")
    assert [talk.control("03"), talk.control("04")] == [["60 03 05"], ["60 04 05"]]


@pytest.mark.parametrize(("options", "most"), [(MICROBIT, 512), (STOCK, 256)], ids=["micro:bit", "stock"])
def test_an_init_packet_has_room_for_so_much(options: SecureOptions, most: int) -> None:
    talk = talk_to(options)
    assert talk.control("06 01") == [f"60 06 01 {struct.pack('<I', most).hex(' ')} {NOTHING}"]
    assert talk.control(create(1, most + 1)) == ["60 01 04"]
    assert talk.control(create(1, most)) == [OK.format(1)]


@every_board
def test_an_init_packet_may_come_in_parts_and_is_told_of_by_crc(options: SecureOptions) -> None:
    data = image()
    init, talk = init_of(options, data), talk_to(options)
    talk.control(create(1, len(init)))
    talk.packet(init[:20])
    assert talk.control("03") == [f"60 03 01 {place(init[:20])}"]
    assert talk.control("04") == ["60 04 08"]
    talk.packet(init[20:])
    assert talk.control("06 01")[0].endswith(place(init))
    assert talk.control("04") == [OK.format(4)]
    assert talk.control("04") == [OK.format(4)]


@every_board
def test_more_init_bytes_than_announced_are_dropped_and_only_a_receipt_tells(options: SecureOptions) -> None:
    talk = talk_to(options)
    talk.control(create(1, 10))
    assert talk.packet(bytes(12)) == []
    talk.control("02 01 00")
    assert talk.packet(bytes(12)) == ["60 03 03"]
    assert talk.packet(bytes(10)) == [f"60 03 01 {place(bytes(10))}"]


@every_board
def test_an_init_packet_that_is_none_is_refused_and_forgotten_when_another_is_created(options: SecureOptions) -> None:
    talk = talk_to(options)
    talk.control(create(1, 4))
    talk.packet(b"junk")
    assert talk.control("04") == ["60 04 05"]
    talk.control(create(1, 4))
    assert talk.control("06 01")[0].endswith(NOTHING)


def executed(options: SecureOptions, init: bytes, *, version: int = 0, bootloader: int = 1) -> list[str]:
    talk = talk_to(options)
    program = talk.board.program
    assert program is not None
    settings = program._settings  # type: ignore[attr-defined]
    assert isinstance(settings, SecureSettings)
    settings.version, settings.bootloader_version = version, bootloader
    talk.control(create(1, len(init)))
    talk.packet(init)
    return talk.control("04")


def unsigned(*fields: bytes, validation: int | None = None) -> bytes:
    extra = b"" if validation is None else content(10, number(1, validation))
    return content(1, number(1, 1) + content(2, b"".join(fields) + extra))


DATA = image(400)
DIGEST = content(8, number(1, 3) + content(2, hashlib.sha256(DATA).digest()[::-1]))
VERSION, HARDWARE, SOFTDEVICE, KIND, SIZE = number(1, 7), number(2, 52), number(3, 0xA8), number(4, 0), number(7, 400)


@pytest.mark.parametrize(
    ("init", "answer"),
    [
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, SIZE, DIGEST), "60 04 01"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, SIZE, DIGEST), "60 04 0b 04"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, number(4, 4), SIZE, DIGEST), "60 04 0b 04"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, SIZE), "60 04 0b 09"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, SIZE, content(8, number(1, 2))), "60 04 0b 09"),
        (unsigned(VERSION, SOFTDEVICE, KIND, SIZE, DIGEST), "60 04 0b 04"),
        (unsigned(VERSION, number(2, 51), SOFTDEVICE, KIND, SIZE, DIGEST), "60 04 0b 06"),
        (unsigned(VERSION, HARDWARE, number(3, 0x64), KIND, SIZE, DIGEST), "60 04 0b 07"),
        (unsigned(HARDWARE, SOFTDEVICE, KIND, SIZE, DIGEST), "60 04 0b 04"),
        (unsigned(number(1, 6), HARDWARE, SOFTDEVICE, KIND, SIZE, DIGEST), "60 04 0b 05"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, DIGEST), "60 04 0b 04"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, number(7, 0x52004), DIGEST), "60 04 0b 0d"),
        (unsigned(VERSION, HARDWARE, SOFTDEVICE, number(4, 2), number(6, 400), DIGEST), "60 04 0b 05"),
        (unsigned(number(1, 8), HARDWARE, SOFTDEVICE, number(4, 2), number(6, 400), DIGEST), "60 04 01"),
        (unsigned(number(1, 8), HARDWARE, SOFTDEVICE, number(4, 2), number(6, 0x7004), DIGEST), "60 04 04"),
        (unsigned(HARDWARE, number(4, 1), number(5, 400), DIGEST), "60 04 0b 07"),
        (unsigned(HARDWARE, SOFTDEVICE, number(4, 1), number(5, 400), DIGEST), "60 04 01"),
    ],
)
def test_an_init_packet_is_judged_field_by_field(init: bytes, answer: str) -> None:
    assert executed(replace(STOCK, signed=False), init, version=7, bootloader=7) == [answer]


def test_a_signature_must_be_there_and_of_the_right_kind_where_one_is_wanted() -> None:
    command = unsigned(VERSION, HARDWARE, SOFTDEVICE, KIND, SIZE, DIGEST)
    inner = command[2 if len(command) < 130 else 3 :]
    assert executed(STOCK, command) == ["60 04 0b 08"]
    for kind, size, answer in [(0, 64, "60 04 01"), (1, 64, "60 04 0b 0b"), (0, 63, "60 04 0a")]:
        signed = content(2, content(1, inner) + number(2, kind) + content(3, bytes(size)))
        assert executed(STOCK, signed) == [answer]


def test_the_micro_bit_takes_its_own_init_packet_and_unsigned_ones_and_others_do_not_take_its() -> None:
    data = image()
    for init in (microbit_init(data), microbit_init(data, hashed=False)):
        assert executed(MICROBIT, init) == [OK.format(4)]
    assert executed(MICROBIT, secure_init(data, softdevices=(0xCC,), signed=False)) == [OK.format(4)]
    assert executed(STOCK, microbit_init(data)) == ["60 04 05"]
    assert executed(MICROBIT, microbit_init(data)[:-1]) == ["60 04 05"]
    assert executed(MICROBIT, microbit_init(data)[:12] + bytes([2]) + microbit_init(data)[13:]) == ["60 04 05"]
    assert executed(MICROBIT, microbit_init(bytes(0x5B004))) == ["60 04 04"]


@every_board
def test_a_failed_init_packet_wipes_all_progress(options: SecureOptions) -> None:
    data = image()
    talk = prepared(options, data)
    send_object(talk, data[:4096])
    bad = secure_init(data, hardware=51)
    talk.control(create(1, len(bad)))
    assert talk.control("06 02") == [f"60 06 01 00 10 00 00 {NOTHING}"]
    talk.control(create(1, len(bad)))
    talk.packet(bad)
    assert talk.control("04") == ["60 04 0b 06"]
    assert talk.control("06 01")[0].endswith(NOTHING)
    assert talk.control(create(2, 4096)) == ["60 01 08"]


@every_board
def test_an_abort_is_answered_and_resets(options: SecureOptions) -> None:
    talk = talk_to(options, old=image())
    assert talk.control("0c") == [OK.format(0x0C)]
    assert talk.ended == [0x13]
    talk.wait(2.0)
    assert talk.board.mode == "application"


def test_the_micro_bit_loses_its_old_image_with_the_init_packet_and_the_stock_one_keeps_it() -> None:
    old, data = image(8000), image(7000, seed=2)
    for options, mode in ((MICROBIT, "bootloader"), (STOCK, "application")):
        talk = prepared(options, data, old=old)
        talk.control("0c")
        talk.wait(2.0)
        assert talk.board.mode == mode
        assert talk.board.image() == (old if mode == "application" else b"")


def test_the_stock_one_puts_an_image_beside_the_old_one_and_moves_it_at_the_start() -> None:
    old, data = image(8000), image(7000, seed=2)
    talk = sent(STOCK, data, old=old)
    assert talk.board.holds(old)
    talk.control("04")
    talk.wait(4.0)
    assert (talk.board.mode, talk.board.image()) == ("application", data)


def test_a_power_cut_while_the_image_is_moved_is_made_up_for_at_the_next_start() -> None:
    old, data = image(8000), image(7000, seed=2)
    talk = sent(STOCK, data, old=old)
    talk.control("04")
    talk.wait(0.6)
    talk.board.power(on=False, now=talk.now)
    assert not talk.board.holds(data)
    talk.take(talk.board.power(on=True, now=talk.now))
    talk.wait(4.0)
    assert (talk.board.mode, talk.board.image()) == ("application", data)
