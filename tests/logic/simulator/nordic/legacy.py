"""Boards with a legacy bootloader, brought to where a test begins."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from enmctl.firmware.nordic_init import crc16, make_legacy
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, NRF51822DK
from enmctl.simulator.nordic.legacy_loader import LegacyLoader
from enmctl.simulator.nordic.legacy_rules import MICROBIT, LegacyOptions
from enmctl.simulator.nordic.program import Boot, Machine, Program
from tests.logic.firmware.made import program
from tests.logic.simulator.nordic.talking import PEER, Talk

ADDRESS = "E0:11:22:33:44:FF"
NEXT_ADDRESS = "E0:11:22:33:44:00"
STOCK = LegacyOptions()
SINGLE = replace(STOCK, dual_bank=False)
BOARDS = {"micro:bit": MICROBIT, "dual bank": STOCK, "single bank": SINGLE}
ERASE = 0.022


class Running(Program):
    mode = "application"


class AnyProgram:
    """Whatever is in the flash runs."""

    def start(self, machine: Machine, boot: Boot, now: float, *, known_size: int) -> Program:
        del boot, now, known_size
        return Running(machine)

    def size(self, machine: Machine, *, known_size: int) -> int:
        del machine
        return known_size


def board_of(options: LegacyOptions, *, old: bytes = b"") -> NordicBoard:
    """A board whose bootloader runs; ``old`` is an application that it would start after a reset."""
    layout = MICROBIT_V1 if options == MICROBIT else NRF51822DK
    machine = Machine(layout, ADDRESS, 1)
    loader = LegacyLoader(options)
    if old:
        machine.flash.write(layout.application, old, 0.0)
        loader.install(machine, len(old), crc16(old))
        machine.flash.settle(1.0)
    return NordicBoard("test", machine, loader, AnyProgram())


def talk_to(options: LegacyOptions, *, old: bytes = b"") -> Talk:
    talk = Talk(board_of(options, old=old))
    talk.on()
    if old:
        talk.board.machine.caller = PEER
        talk.board.reset(talk.now, Boot.BOOTLOADER)
        talk.wait(1.0)
    assert talk.board.mode == "bootloader"
    return talk.connect()


def image(size: int = 400) -> bytes:
    return program(0x18000, size)


def sizes(application: int = 400, bootloader: int = 0, softdevice: int = 0) -> bytes:
    return struct.pack("<III", softdevice, bootloader, application)


def started(options: LegacyOptions, size: int = 400, *, old: bytes = b"") -> Talk:
    talk = talk_to(options, old=old)
    assert talk.control("01 04") == []
    assert talk.packet(sizes(size)) == []
    assert talk.wait(5.0) == ["10 01 01"]
    return talk


def receiving(options: LegacyOptions, data: bytes, *, old: bytes = b"") -> Talk:
    talk = started(options, len(data), old=old)
    if options.needs_init:
        assert talk.control("02 00") == []
        assert talk.packet(make_legacy(data, 0xFFFE)) == []
        assert talk.control("02 01") == ["10 02 01"]
    assert talk.control("03") == []
    return talk


def sent(options: LegacyOptions, data: bytes, *, old: bytes = b"") -> Talk:
    talk = receiving(options, data, old=old)
    said = [word for at in range(0, len(data), 20) for word in talk.packet(data[at : at + 20], after=0.01)]
    assert said + talk.wait(1.0) == ["10 03 01"]
    return talk


every_board = pytest.mark.parametrize("options", BOARDS.values(), ids=BOARDS.keys())
