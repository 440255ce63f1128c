"""The micro:bit's partial flashing service, which writes the user's program alone while the runtime runs.

After MicroBitPartialFlashingService.cpp of microbit-dal 788a321 and codal-microbit-v2 5d99002. There is one buffer of a
block, and a block is written from it when its turn comes: who does not wait for the answer overwrites it.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from enmctl.simulator.nordic.contract import Effect
from enmctl.simulator.nordic.program import Boot, Machine, Program, Restart
from enmctl.simulator.nordic.records import Bank, SecureSettings, Storage
from enmctl.simulator.nordic.traits import NO_HASH, code_page, hashes
from enmctl.simulator.nordic.uuids import PARTIAL_FLASHING

REGION, BLOCK, END, STATUS, RESET = 0x00, 0x01, 0x02, 0xEE, 0xFF
WRITTEN, OUT_OF_ORDER = 0xFF, 0xAA
TO_PAIRING, TO_APPLICATION = 0x00, 0x01
PROTOCOL: Final = 1

PACKET_DATA, BLOCK_PACKETS = 16, 4
BLOCK_SIZE: Final = PACKET_DATA * BLOCK_PACKETS
PACKET_SIZE: Final = 4 + PACKET_DATA
BEHIND_MOST: Final = 8
"""Packets up to so many numbers behind are of a block that is sent again, and are passed over."""

INCOMPLETE: Final = "flashIncomplete"
"""The key that is set from the first block to the end; while it is there, the board starts for pairing."""

SOURCE_MAGIC: Final = struct.pack("<II", 0x41140E2F, 0xB82FA2BB)
"""Begins the source code of an old program, which would not fit a new one; its first byte is wiped."""

SOURCE_STEP: Final = 8
REGION_FORM: Final = struct.Struct(">BBII8s")


class PartialFlashing:
    """The service of one start of a program."""

    def __init__(self, program: Program, machine: Machine, storage: Storage) -> None:
        self._program = program
        self._machine = machine
        self._storage = storage
        self._count = 0
        self._block_count = 0
        self._packet = 0
        self._address = 0
        self._block = bytearray(BLOCK_SIZE)
        self._events: deque[int] = deque()
        self._done_at: float | None = None
        self._running: int | None = None
        self._begun = False
        self.hung = False
        self.blocks = 0

    @property
    def due(self) -> float | None:
        """When what is being written is written."""
        return self._done_at

    def write(self, data: bytes, now: float) -> list[Effect]:
        """Somebody writes."""
        if self.hung or not data:
            return []
        operation, parameter = data[0], data[1] if len(data) > 1 else 0
        if operation == REGION:
            return self._tell_region(parameter)
        if operation == BLOCK:
            return self._take(data.ljust(PACKET_SIZE, b"\0"), now)
        if operation == END:
            return self._queue(END, now)
        if operation == STATUS:
            mode = TO_PAIRING if self._program.mode == "pairing" else TO_APPLICATION
            return self._say(STATUS, PROTOCOL, mode)
        if operation == RESET and parameter in (TO_PAIRING, TO_APPLICATION):
            self._program.restart = Restart(now, Boot.PAIRING if parameter == TO_PAIRING else Boot.NORMAL)
        return []

    def tick(self, now: float) -> list[Effect]:
        """Go on when something is written."""
        if self._done_at is None or now < self._done_at:
            return []
        self._done_at = None
        running, self._running = self._running, None
        if running == END:
            self._program.restart = Restart(now)
            return []
        self.blocks += 1
        return [*self._say(BLOCK, WRITTEN), *self._next(now)]

    def _say(self, *values: int) -> list[Effect]:
        return self._program.notify(PARTIAL_FLASHING, bytes(values))

    def _tell_region(self, number: int) -> list[Effect]:
        """Where a region is, and its hash; the counters start anew."""
        self._count = self._block_count = self._packet = self._address = 0
        layout, flash = self._machine.layout, self._machine.flash
        code = code_page(flash, layout)
        runtime, program = (NO_HASH, NO_HASH) if code is None else hashes(flash, code)
        regions = {
            0: (0, layout.application, NO_HASH),
            1: (layout.application, code or layout.application, runtime),
            2: (code or 0, layout.code_end or 0, program),
        }
        said = REGION_FORM.pack(REGION, number, *regions.get(number, (0, 0, NO_HASH)))
        return self._program.notify(PARTIAL_FLASHING, said)

    def _take(self, data: bytes, now: float) -> list[Effect]:
        """A quarter of a block."""
        number = data[3]
        if number != self._count:
            behind = (self._count - number) & 0xFF
            if behind < BEHIND_MOST:
                return []
            self._block_count = (self._block_count + BLOCK_PACKETS) & 0xFF
            self._count = self._block_count
            self._packet = 0
            return self._say(BLOCK, OUT_OF_ORDER)
        self._count = (self._count + 1) & 0xFF
        place = self._packet * PACKET_DATA
        self._block[place : place + PACKET_DATA] = data[4:PACKET_SIZE]
        half = int.from_bytes(data[1:3], "big")
        if self._packet == 0:
            self._address = half
        elif self._packet == 1:
            self._address |= half << 16
        self._packet = (self._packet + 1) % BLOCK_PACKETS
        if self._packet:
            return []
        self._block_count = (self._block_count + BLOCK_PACKETS) & 0xFF
        return self._queue(BLOCK, now)

    def _queue(self, event: int, now: float) -> list[Effect]:
        self._events.append(event)
        return self._next(now) if self._running is None else []

    def _next(self, now: float) -> list[Effect]:
        """Do what is next in line, with what is in the buffer by now."""
        if not self._events:
            return []
        self._running = self._events.popleft()
        layout = self._machine.layout
        if not layout.application <= self._address <= layout.bootloader - BLOCK_SIZE or self._address % 4:
            # The SoftDevice refuses to write there, and the program tries for ever.
            self.hung = True
            return []
        self._done_at = self._write_block(now) if self._running == BLOCK else self._end(now)
        return []

    def _write_block(self, now: float) -> float:
        flash, page = self._machine.flash, self._machine.layout.chip.page
        if not self._begun and not self._storage.has(INCOMPLETE):
            self._storage.put(INCOMPLETE, now)
        self._begun = True
        full = flash.memory[self._address : self._address + page].strip(b"\xff")
        if self._address % page == 0 and (self._machine.layout.chip.old or full):
            flash.erase(self._address, 1, now)
        return flash.write(self._address, bytes(self._block), now)

    def _end(self, now: float) -> float:
        """Write the last block once more, see that the new program starts, and forget that anything was begun."""
        layout, flash = self._machine.layout, self._machine.flash
        flash.write(self._address, bytes(self._block), now)
        if layout.chip.old:
            self._wipe_source(now)
        elif layout.backup is not None:
            settings = SecureSettings(Bank(Bank.APPLICATION, layout.application), Bank())
            settings.save(flash, layout.settings, layout.backup, now)
        return self._storage.clear(now)

    def _wipe_source(self, now: float) -> None:
        flash, end = self._machine.flash, self._machine.layout.sources_end or 0
        place = self._address + flash.chip.page * 4
        while (place := flash.memory.find(SOURCE_MAGIC, place, end)) >= 0:
            if (place - self._address) % SOURCE_STEP == 0:
                flash.write(place, b"\0" + SOURCE_MAGIC[1:4], now)
            place += SOURCE_STEP
