"""Boards with a secure bootloader, brought to where a test begins."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest

from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V2, NRF52_S132
from enmctl.simulator.nordic.program import Boot, Machine
from enmctl.simulator.nordic.records import SecureSettings
from enmctl.simulator.nordic.secure_loader import SecureLoader
from enmctl.simulator.nordic.secure_rules import MICROBIT, SecureOptions
from enmctl.simulator.nordic.uuids import SECURE_CONTROL, SECURE_PACKET
from tests.logic.firmware.made import microbit_init, program, secure_init
from tests.logic.simulator.nordic.legacy import ADDRESS, AnyProgram
from tests.logic.simulator.nordic.talking import PEER, Talk

STOCK = SecureOptions()
BOARDS = {"micro:bit": MICROBIT, "stock": STOCK}
ERASE = 0.0875
SETTINGS = 2 * ERASE + 2 * 224 * 41e-6
OK = "60 {:02x} 01"

every_board = pytest.mark.parametrize("options", BOARDS.values(), ids=BOARDS.keys())


def board_of(options: SecureOptions, *, old: bytes = b"", caller: str = "") -> NordicBoard:
    """A board; ``old`` is an application that it would start, ``caller`` a peer whose keys were handed over."""
    layout = MICROBIT_V2 if options.plain_init else NRF52_S132
    machine = Machine(layout, ADDRESS, 1)
    loader = SecureLoader(options)
    if old:
        machine.flash.write(layout.application, old, 0.0)
        machine.flash.settle(10.0)
        loader.install(machine, len(old), 0)
        machine.flash.settle(20.0)
    if caller:
        settings = SecureSettings.load(machine.flash, layout.settings, layout.backup)
        settings.peer = caller
        settings.save(machine.flash, layout.settings, layout.backup, 20.0)
        machine.flash.settle(30.0)
    return NordicBoard("test", machine, loader, AnyProgram())


def talk_to(options: SecureOptions, *, old: bytes = b"", caller: str = "", subscribe: bool = True) -> Talk:
    """A connection to a bootloader that runs."""
    talk = Talk(board_of(options, old=old, caller=caller), control=SECURE_CONTROL, packet=SECURE_PACKET)
    talk.now = 30.0
    talk.take(talk.board.power(on=True, now=talk.now))
    if old:
        talk.board.reset(talk.now, Boot.BOOTLOADER)
    talk.wait(1.0)
    assert talk.board.mode == "bootloader"
    return talk.connect(subscribe=subscribe, peer=caller or PEER)


def image(size: int = 5000, *, base: int = 0x1C000, seed: int = 1) -> bytes:
    return program(base, size, old=False, stack=0x20010000, seed=seed)


def init_of(options: SecureOptions, data: bytes) -> bytes:
    return microbit_init(data) if options.plain_init else secure_init(data)


def place(data: bytes) -> str:
    """Offset and CRC of what was taken so far."""
    return struct.pack("<II", len(data), zlib.crc32(data)).hex(" ")


def create(kind: int, size: int) -> str:
    return f"01 {kind:02x} {struct.pack('<I', size).hex(' ')}"


def prepared(options: SecureOptions, data: bytes, *, old: bytes = b"", caller: str = "") -> Talk:
    """The init packet is executed, and all that the board wrote for it is in its flash."""
    talk = talk_to(options, old=old, caller=caller, subscribe=not caller)
    if caller:
        talk.take(talk.board.encrypted(talk.now))
        talk.subscribe()
    init = init_of(options, data)
    assert talk.control(create(1, len(init))) == [OK.format(1)]
    talk.packet(init)
    assert talk.control("03") == [f"60 03 01 {place(init)}"]
    assert talk.control("04") == [OK.format(4)]
    talk.wait(1.0)
    return talk


def send_object(talk: Talk, data: bytes, *, size: int = 244, after: float = 0.01) -> None:
    """One object, its packets with pauses after the erase."""
    assert talk.control(create(2, len(data))) == [OK.format(1)]
    talk.wait(ERASE)
    for at in range(0, len(data), size):
        assert talk.packet(data[at : at + size], after=after) == []


def sent(options: SecureOptions, data: bytes, *, old: bytes = b"", caller: str = "") -> Talk:
    """All objects are there, and all but the last are executed."""
    talk = prepared(options, data, old=old, caller=caller)
    for at in range(0, len(data), 4096):
        send_object(talk, data[at : at + 4096])
        assert talk.control("03") == [f"60 03 01 {place(data[: at + 4096])}"]
        if at + 4096 < len(data):
            talk.control("04")
            assert talk.wait(1.0) in ([OK.format(4)], [])
    return talk


QUICK = replace(STOCK, operations=None)
