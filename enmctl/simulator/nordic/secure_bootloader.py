"""Nordic's secure bootloader, as the micro:bit V2 has it and as SDK 15 has it, down to its quirks.

After nrf_dfu_req_handler.c, nrf_dfu_validation.c, nrf_dfu_ble.c and nrf_bootloader.c of SDK 15 and 16, and of the
micro:bit V2's bootloader. Packets that find no buffer or no place in the flash's line are dropped without a word.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Final

from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    Characteristic,
    Disconnect,
    Effect,
    Property,
    Service,
)
from enmctl.simulator.nordic.program import CCCD_OFF, Machine, Program, Restart
from enmctl.simulator.nordic.records import Bank, SecureSettings
from enmctl.simulator.nordic.secure_rules import (
    ABORT,
    APPLICATION_TYPE,
    CLOSING_SECONDS,
    COMMAND,
    CRC,
    CREATE,
    DATA,
    EXECUTE,
    EXTENDED,
    FIRMWARE,
    HARDWARE,
    INACTIVITY_SECONDS,
    INVALID_OBJECT,
    INVALID_PARAMETER,
    MTU_GET,
    NAME,
    NO_RESOURCES,
    NO_SPACE,
    NO_VALIDATION,
    NOT_PERMITTED,
    NOT_SUPPORTED,
    OBJECT_MOST,
    PING,
    RECEIPTS,
    RESPONSE,
    SELECT,
    SUCCESS,
    VERIFICATION_FAILED,
    VERSION,
    Init,
    RefusedError,
    SecureOptions,
    check,
    decode,
)
from enmctl.simulator.nordic.uuids import SECURE_CONTROL, SECURE_PACKET, SECURE_SERVICE

PLACE: Final = struct.Struct("<II")
OBJECT: Final = struct.Struct("<III")


class SecureBootloader(Program):
    """One start of the bootloader."""

    mode = "bootloader"

    def __init__(self, machine: Machine, options: SecureOptions, now: float) -> None:
        super().__init__(machine)
        self._options = options
        layout = machine.layout
        self._settings = SecureSettings.load(machine.flash, layout.settings, layout.backup)
        has_application = self._settings.bank.code == Bank.APPLICATION
        self._only_for = self._settings.peer if options.bonds and has_application else ""
        self._command = bytearray(self._settings.command)
        self._command_size = len(self._command)
        self._init: Init | None = decode(bytes(self._command), options) if self._command else None
        self._start = self._next_bank()
        self._object = COMMAND
        self._object_size = 0
        self.offset = self._executed = 0
        self._crc = self._executed_crc = 0
        self._receipts = self._until_receipt = 0
        self._deadline = now + INACTIVITY_SECONDS
        self._executing_until: float | None = None
        self._idle_at = now
        self._closing = False
        self.dropped = 0

    @property
    def due(self) -> float | None:
        """When an object is in the flash, or nothing came for too long."""
        if self._closing:
            return None
        return self._deadline if self._executing_until is None else min(self._deadline, self._executing_until)

    @property
    def services(self) -> Sequence[Service]:
        """The one service; for a bonded caller alone it wants encryption."""
        encrypted = bool(self._only_for)
        control = Characteristic(SECURE_CONTROL, Property.WRITE | Property.NOTIFY, encrypted)
        packet = Characteristic(SECURE_PACKET, Property.WRITE_WITHOUT_RESPONSE, encrypted)
        return (Service(SECURE_SERVICE, (packet, control)),)

    @property
    def advertisement(self) -> Advertisement | None:
        """For its bonded caller alone, or for everybody."""
        if self._closing:
            return None
        name = NAME if self._options.bonds else self._settings.name.decode("utf-8", "replace") or NAME
        address = self.machine.address_after(self._options.address_step)
        return Advertisement(address, name, (SECURE_SERVICE,), bonded_only=bool(self._only_for))

    @property
    def most_mtu(self) -> int:
        """The largest ATT MTU that it takes."""
        return self._options.mtu

    def knows(self, peer: str) -> bool:
        """Only the caller's key was handed over, and it is used only while it is asked for."""
        return bool(self._only_for) and peer == self._only_for

    def describe(self) -> dict[str, object]:
        """Where it is."""
        return {
            "received": self.offset,
            "executed": self._executed,
            "announced": self._init.size if self._init is not None else 0,
            "dropped": self.dropped,
        }

    def disconnected(self, now: float) -> list[Effect]:
        """What came of the image is forgotten, or kept in older builds; an executed init packet is in the flash.

        An image that was complete is forgotten too, unless all of it is in the flash and its hash is being made.
        """
        hashing = self._executing_until is not None and now >= self._idle_at
        if not self._options.keeps_progress and not self._closing and not hashing:
            layout = self.machine.layout
            self._settings = SecureSettings.load(self.machine.flash, layout.settings, layout.backup)
            self._command = bytearray(self._settings.command)
            self._command_size = len(self._command)
            self._forget_image()
        return []

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """A packet, or a request."""
        if characteristic == SECURE_PACKET:
            return self._packet(data, now) if not self._closing else []
        if SECURE_CONTROL not in self.machine.subscribed:
            raise AttError(CCCD_OFF)
        if self._closing or not data:
            return []
        try:
            return self._request(data[0], data[1:], now)
        except RefusedError as refused:
            return self._say(data[0], refused.answer)

    def tick(self, now: float) -> list[Effect]:
        """What time brings."""
        if self._executing_until is not None and now >= self._executing_until:
            self._executing_until = None
            return self._executed_data(now)
        return self._close(now) if now >= self._deadline and not self._closing else []

    def _say(self, operation: int, answer: bytes) -> list[Effect]:
        return self.notify(SECURE_CONTROL, bytes((RESPONSE, operation)) + answer)

    def _close(self, now: float) -> list[Effect]:
        """Let the peer go, and reset once the flash is done."""
        self._closing = True
        self.restart = Restart(max(now + CLOSING_SECONDS, self.machine.flash.free_at))
        return [Disconnect()] if self.machine.peer is not None else []

    def _request(self, operation: int, rest: bytes, now: float) -> list[Effect]:
        if operation == CREATE:
            self._until_receipt = self._receipts
            self._create(rest.ljust(5, b"\0"), now)
        elif operation == RECEIPTS:
            self._receipts = self._until_receipt = int.from_bytes(rest[:2], "little")
        elif operation == EXECUTE:
            return self._execute(now)
        elif operation in (SELECT, CRC):
            return self._say(operation, bytes([SUCCESS]) + self._told(operation, rest))
        elif operation == ABORT:
            return [*self._say(operation, bytes([SUCCESS])), *self._close(now)]
        elif self._options.reduced or operation not in (VERSION, MTU_GET, PING, HARDWARE, FIRMWARE):
            raise RefusedError(NOT_SUPPORTED)
        return self._say(operation, bytes([SUCCESS]))

    def _told(self, operation: int, rest: bytes) -> bytes:
        """Offset and CRC of an object, and when it is selected how large it may be."""
        if operation == SELECT:
            self._choose(rest[:1])
        command = self._object == COMMAND
        if self._object not in (COMMAND, DATA):
            raise RefusedError(INVALID_OBJECT)
        offset, crc = (len(self._command), zlib.crc32(self._command)) if command else (self.offset, self._crc)
        if operation == CRC:
            return PLACE.pack(offset, crc)
        return OBJECT.pack(self._options.command_most if command else OBJECT_MOST, offset, crc)

    def _choose(self, kind: bytes) -> None:
        self._object = kind[0] if kind else 0
        if self._object not in (COMMAND, DATA):
            self._object = 0
            raise RefusedError(INVALID_OBJECT)

    def _create(self, rest: bytes, now: float) -> None:
        self._choose(rest[:1])
        size = int.from_bytes(rest[1:5], "little")
        if self._object == COMMAND:
            self._create_command(size, now)
        else:
            self._create_data(size, now)

    def _create_command(self, size: int, now: float) -> None:
        self._deadline = now + INACTIVITY_SECONDS
        if not size:
            raise RefusedError(INVALID_PARAMETER)
        if size > self._options.command_most:
            raise RefusedError(NO_RESOURCES)
        self._forget_all()
        self._command_size = size

    def _forget_all(self) -> None:
        self._init = None
        self._command.clear()
        self._command_size = 0
        self._settings.command = b""
        self._forget_image()

    def _forget_image(self) -> None:
        self._object_size = 0
        self.offset = self._executed = 0
        self._crc = self._executed_crc = 0

    def _create_data(self, size: int, now: float) -> None:
        if self._init is None:
            raise RefusedError(NOT_PERMITTED)
        last = self._executed + size == self._init.size
        if not size or (size % self.machine.layout.chip.page and not last):
            raise RefusedError(INVALID_PARAMETER)
        if size > OBJECT_MOST:
            raise RefusedError(NO_RESOURCES)
        if self._executed + size > self._init.size:
            raise RefusedError(NOT_PERMITTED)
        self._object_size = size
        self.offset, self._crc = self._executed, self._executed_crc
        self.machine.flash.settle(now)
        if self._line_is_full():
            raise RefusedError(INVALID_OBJECT)
        self.machine.flash.erase(self._start + self.offset, size, now)

    def _line_is_full(self) -> bool:
        operations = self._options.operations
        return operations is not None and self.machine.flash.waiting >= operations

    def _packet(self, data: bytes, now: float) -> list[Effect]:
        flash = self.machine.flash
        flash.settle(now)
        if flash.buffered >= self._options.buffers:
            self.dropped += 1
            return []
        try:
            answer = bytes([SUCCESS]) + PLACE.pack(*self._take(data, now))
        except RefusedError as refused:
            answer = refused.answer
        if not self._receipts:
            return []
        self._until_receipt -= 1
        if self._until_receipt:
            return []
        self._until_receipt = self._receipts
        return self._say(CRC, answer)

    def _take(self, data: bytes, now: float) -> tuple[int, int]:
        """Add a packet to the object that is written; how far the object is then, and its CRC."""
        if self._object == COMMAND:
            if len(self._command) + len(data) > self._command_size:
                raise RefusedError(INVALID_PARAMETER)
            self._command += data
            return len(self._command), zlib.crc32(self._command)
        if self._object != DATA:
            raise RefusedError(INVALID_OBJECT)
        if self._init is None:
            raise RefusedError(NOT_PERMITTED)
        if self.offset - self._executed + len(data) > self._object_size:
            raise RefusedError(INVALID_PARAMETER)
        if self._line_is_full():
            self.dropped += 1
            return 0, 0
        self.machine.flash.write(self._start + self.offset, data, now, buffered=True)
        self.offset += len(data)
        self._crc = zlib.crc32(data, self._crc)
        return self.offset, self._crc

    def _execute(self, now: float) -> list[Effect]:
        if self._object == COMMAND:
            self._execute_command(now)
            return self._say(EXECUTE, bytes([SUCCESS]))
        if self._object != DATA:
            raise RefusedError(INVALID_OBJECT)
        if self._init is None or self.offset - self._executed != self._object_size:
            raise RefusedError(NOT_PERMITTED)
        self._object_size = 0
        self._executed, self._executed_crc = self.offset, self._crc
        self._deadline = now + INACTIVITY_SECONDS
        whole = self.offset == self._init.size
        checking = self._init.size * self._options.hash_seconds if whole else 0.0
        self._idle_at = max(now, self.machine.flash.free_at)
        self._executing_until = self._idle_at + checking
        return []

    def _executed_data(self, now: float) -> list[Effect]:
        """An object is in the flash; after the last one the image is judged, and the chip resets in any case.

        The answer goes at once, and the peer is let go when the judgement is in the flash (nrf_dfu_req_handler.c).
        """
        self.machine.flash.settle(now)
        if self._init is None or self.offset != self._init.size:
            return self._say(EXECUTE, bytes([SUCCESS]))
        image = self.machine.flash.read(self._start, self._init.size)
        right = self._init.digest in (None, hashlib.sha256(image).digest())
        if right:
            self._install(self._init, image)
        self._forget_all()
        self._save(now)
        self._deadline = self.machine.flash.free_at
        return self._say(EXECUTE, bytes([SUCCESS]) if right else bytes((EXTENDED, VERIFICATION_FAILED)))

    def _install(self, init: Init, image: bytes) -> None:
        """Leave a word for the next start: from where the image is to be put into place."""
        settings = self._settings
        application = init.kind == APPLICATION_TYPE
        code = Bank.APPLICATION if application else Bank.SYSTEM
        settings.other_bank = Bank(code, self._start, len(image), zlib.crc32(image))
        if application:
            settings.bank.code = Bank.NONE
            settings.validated = init.validation != NO_VALIDATION
            settings.version = init.version or 0
        elif init.version is not None and init.sizes[1]:
            settings.bootloader_version = init.version

    def _execute_command(self, now: float) -> None:
        if len(self._command) != self._command_size:
            raise RefusedError(NOT_PERMITTED)
        if self._init is not None:
            return
        init = decode(bytes(self._command), self._options)
        if init is None:
            raise RefusedError(INVALID_OBJECT)
        try:
            check(init, self._options, self._settings)
            self._make_room(init)
        except RefusedError:
            self._forget_all()
            raise
        self._init = init
        self._settings.command = bytes(self._command)
        self._save(now)

    def _make_room(self, init: Init) -> None:
        """Find where to put the image: behind the application, or where that is if it must go (nrf_dfu_utils.c).

        An image that is longer than the application before it goes over it too; real chips move it in steps.
        """
        layout, settings = self.machine.layout, self._settings
        single = self._options.plain_init and not settings.validated
        behind = self._next_bank()
        if single or behind + init.size > layout.bootloader or init.size > behind - layout.application > 0:
            if init.size > layout.room:
                raise RefusedError(NO_RESOURCES) if self._options.plain_init else RefusedError(EXTENDED, NO_SPACE)
            settings.bank = Bank()
        self._start = self._next_bank()

    def _next_bank(self) -> int:
        page = self.machine.layout.chip.page
        end = self.machine.layout.application + self._settings.bank.size
        return end + -end % page

    def _save(self, now: float) -> None:
        layout = self.machine.layout
        self._settings.save(self.machine.flash, layout.settings, layout.backup, now)
