"""Nordic's legacy bootloader, as the micro:bit V1 has it and as SDK 11 has it, down to its quirks.

After dfu_transport_ble.c, dfu_single_bank.c, dfu_dual_bank.c, dfu_init_template.c and bootloader.c of SDK 11; the
micro:bit's after its re-creation from SDK 8.1 (matthewelse/microbit-bootloader). State and counters live in RAM and
outlast a connection, not a reset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from enmctl.firmware.nordic_init import LEGACY_MOST, crc16
from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    Characteristic,
    Disconnect,
    Effect,
    Property,
    Service,
)
from enmctl.simulator.nordic.legacy_rules import (
    ACTIVATE,
    APPLICATION_BIT,
    BOOTLOADER_BIT,
    BOOTLOADER_MOST,
    CLOSING_SECONDS,
    CRC_ERROR,
    DATA_SIZE,
    DIRECTED_SECONDS,
    FAILED,
    INACTIVITY_SECONDS,
    INIT,
    INVALID_STATE,
    NAME,
    NOT_SUPPORTED,
    RECEIPTS,
    RECEIVE,
    REPORT,
    RESET,
    SIZES,
    SOFTDEVICE_BIT,
    START,
    SUCCESS,
    VALIDATE,
    WORD,
    LegacyOptions,
    RefusedError,
    crc_asked_for,
)
from enmctl.simulator.nordic.program import CCCD_OFF, Machine, Program, Restart
from enmctl.simulator.nordic.records import LegacySettings
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, LEGACY_PACKET, LEGACY_SERVICE, LEGACY_VERSION


class State(Enum):
    """What is expected next."""

    IDLE = auto()
    PREPARING = auto()
    READY = auto()
    INIT = auto()
    DATA = auto()
    VALIDATING = auto()
    ACTIVATABLE = auto()
    CLOSING = auto()


class LegacyBootloader(Program):
    """One start of the bootloader."""

    mode = "bootloader"
    TELLING: Final = frozenset({START, INIT, RECEIVE, RECEIPTS})
    SERVICES: Final = (
        Service(
            LEGACY_SERVICE,
            (
                Characteristic(LEGACY_PACKET, Property.WRITE_WITHOUT_RESPONSE),
                Characteristic(LEGACY_CONTROL, Property.WRITE | Property.NOTIFY),
                Characteristic(LEGACY_VERSION, Property.READ),
            ),
        ),
    )

    def __init__(self, machine: Machine, options: LegacyOptions, now: float) -> None:
        super().__init__(machine)
        self._options = options
        self._settings = LegacySettings.load(machine.flash, machine.layout.settings)
        self.state = State.IDLE
        self.received = 0
        self.overflows = 0
        self._image_size = 0
        self._mode = 0
        self._sizes = (0, 0, 0)
        self._taken = 0
        self._base = machine.layout.application
        self._init = bytearray()
        self._crc = 0
        self._right = True
        self._receipts = 0
        self._until_receipt = 0
        self._deadline = now + INACTIVITY_SECONDS
        self._directed_until: float | None = now + DIRECTED_SECONDS if self._directed else None
        self._done_at: float | None = None
        self._packet: Callable[[bytes, float], list[Effect]] = self._unexpected

    @property
    def due(self) -> float | None:
        """The nearest of: an erase, the last packet or a check is done; a write fails; nobody came or nothing came."""
        if self.state is State.CLOSING:
            return None
        due = self._deadline
        for time in (self._done_at, self._directed_until, self.machine.flash.failing_at):
            if time is not None and time < due:
                due = time
        return due

    @property
    def services(self) -> Sequence[Service]:
        """The one service."""
        return self.SERVICES

    @property
    def _directed(self) -> bool:
        return self._options.directed and self.machine.caller is not None and not self.machine.caller_bonded

    @property
    def advertisement(self) -> Advertisement | None:
        """For its caller alone, for its bonded caller alone, or for everybody."""
        machine = self.machine
        if self.state is State.CLOSING:
            return None
        if self._directed:
            return Advertisement(machine.address, directed_to=machine.caller or "")
        step = self._options.called_step if machine.caller else self._options.address_step
        return Advertisement(machine.address_after(step), NAME, (LEGACY_SERVICE,), bonded_only=machine.caller_bonded)

    def knows(self, peer: str) -> bool:
        """Only the key of a caller was handed over."""
        return self.machine.caller_bonded and peer == self.machine.caller

    def describe(self) -> dict[str, object]:
        """Where it is."""
        return {
            "state": self.state.name.lower(),
            "received": self.received,
            "announced": self._image_size,
            "overflows": self.overflows,
        }

    def connected(self, now: float) -> list[Effect]:
        """Directed advertising is over."""
        del now
        self._directed_until = None
        return []

    def disconnected(self, now: float) -> list[Effect]:
        """Everything is kept, and it advertises again."""
        if self._directed:
            self._directed_until = now + DIRECTED_SECONDS
        return []

    def read(self, characteristic: str, now: float) -> bytes:
        """The version, its minor number first."""
        del characteristic, now
        return self._options.version.to_bytes(2, "little")

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """A packet, or an operation."""
        try:
            if characteristic == LEGACY_PACKET:
                return self._packet(data, now)
            if LEGACY_CONTROL not in self.machine.subscribed:
                raise AttError(CCCD_OFF)
            return self._operate(data, now) if data and self.state is not State.CLOSING else []
        except RefusedError as refusal:
            return self._answer(refusal.operation, refusal.status)

    def tick(self, now: float) -> list[Effect]:
        """What time brings."""
        flash = self.machine.flash
        flash.settle(now)
        if self.state is State.CLOSING:
            return []
        if flash.failing_at is not None and flash.failing_at <= now:
            return self._close(now, now)
        if now >= self._deadline or (self._directed_until is not None and now >= self._directed_until):
            return self._close(now, now)
        if self._done_at is not None and now >= self._done_at:
            self._done_at = None
            return self._done(now)
        return []

    def _done(self, now: float) -> list[Effect]:
        if self.state is State.PREPARING:
            self._erased(now)
            return self._answer(START, SUCCESS)
        if self.state is State.DATA:
            return self._answer(RECEIVE, SUCCESS)
        if self.state is State.VALIDATING:
            return self._judge()
        return []

    def _answer(self, operation: int, status: int) -> list[Effect]:
        return self.notify(LEGACY_CONTROL, bytes((0x10, operation, status)))

    def _close(self, now: float, done: float) -> list[Effect]:
        """Let the peer go, and reset once the flash is done."""
        self.state = State.CLOSING
        self.restart = Restart(max(now + CLOSING_SECONDS, done))
        return [Disconnect()] if self.machine.peer is not None else []

    def _operate(self, data: bytes, now: float) -> list[Effect]:
        operation = data[0]
        if operation in self.TELLING:
            self._tell(operation, data)
            return self._init_complete() if operation == INIT and data[1] == 1 else []
        if operation == VALIDATE:
            return self._validate(now)
        if operation in (ACTIVATE, RESET):
            return self._activate(now) if operation == ACTIVATE else self._close(now, now)
        if operation == REPORT:
            return self.notify(LEGACY_CONTROL, bytes((0x10, REPORT, SUCCESS)) + self.received.to_bytes(4, "little"))
        raise RefusedError(operation, NOT_SUPPORTED)

    def _tell(self, operation: int, data: bytes) -> None:
        """What the next packets are, or after how many of them a receipt is wanted."""
        if operation in (START, INIT) and len(data) < 2:  # noqa: PLR2004 - the operation and its parameter
            raise RefusedError(operation, FAILED)
        if operation == START:
            self._mode = data[1]
            self._packet = self._start
        elif operation == INIT:
            self._packet = self._init_bytes
        elif operation == RECEIVE:
            self._packet = self._data
        elif len(data) < 3:  # noqa: PLR2004 - the operation and two bytes
            raise RefusedError(operation, NOT_SUPPORTED)
        else:
            self._receipts = self._until_receipt = int.from_bytes(data[1:3], "little")

    def _unexpected(self, data: bytes, now: float) -> list[Effect]:
        """A packet that no operation announced; there is no way to say so."""
        del data, now
        return []

    def _start(self, data: bytes, now: float) -> list[Effect]:
        if len(data) != SIZES.size:
            raise RefusedError(START, NOT_SUPPORTED)
        sizes = SIZES.unpack(data)
        # The sizes are taken over before the state is looked at: so it is in Nordic's code.
        self._sizes = sizes
        if self._mode & APPLICATION_BIT and self._mode & (SOFTDEVICE_BIT | BOOTLOADER_BIT):
            raise RefusedError(START, NOT_SUPPORTED)
        if any(size % WORD for size in sizes):
            raise RefusedError(START, NOT_SUPPORTED)
        self._image_size = sum(sizes) & 0xFFFFFFFF
        if sizes[1] > BOOTLOADER_MOST or self._image_size > self._most:
            raise RefusedError(START, DATA_SIZE)
        if self.state is not State.IDLE:
            raise RefusedError(START, INVALID_STATE)
        self._deadline = now + INACTIVITY_SECONDS
        self._base = self.machine.layout.application + (self._bank_size if self._banked else 0)
        self.state = State.PREPARING
        erased = self._bank_size if self._banked else self._image_size
        self._done_at = self.machine.flash.erase(self._base, erased, now)
        return []

    @property
    def _banked(self) -> bool:
        return self._options.dual_bank and not self._mode & SOFTDEVICE_BIT

    @property
    def _bank_size(self) -> int:
        page = self.machine.layout.chip.page
        return self.machine.layout.room // 2 // page * page

    @property
    def _most(self) -> int:
        return self._bank_size if self._banked else self.machine.layout.room

    def _erased(self, now: float) -> None:
        self.state = State.READY
        if not self._banked:
            self._settings = LegacySettings(LegacySettings.INVALID, 0, self._settings.other_bank, 0)
            self._save(now)

    def _save(self, now: float) -> float:
        return self._settings.save(self.machine.flash, self.machine.layout.settings, now)

    def _init_bytes(self, data: bytes, now: float) -> list[Effect]:
        if self.state not in (State.READY, State.INIT):
            raise RefusedError(INIT, INVALID_STATE)
        self.state = State.INIT
        self._deadline = now + INACTIVITY_SECONDS
        padded = data + bytes(-len(data) % WORD)
        if len(self._init) + len(padded) > LEGACY_MOST:
            raise RefusedError(INIT, FAILED)
        self._init += padded
        return []

    def _init_complete(self) -> list[Effect]:
        if self.state is not State.INIT:
            raise RefusedError(INIT, INVALID_STATE)
        if self._options.checks:
            crc = crc_asked_for(bytes(self._init), self._options)
            if crc is None:
                self._init.clear()
                raise RefusedError(INIT, FAILED)
            self._crc = crc
        self.state = State.DATA
        return self._answer(INIT, SUCCESS)

    def _data(self, data: bytes, now: float) -> list[Effect]:
        size = len(data)
        if size % WORD:
            raise RefusedError(RECEIVE, NOT_SUPPORTED)
        flash = self.machine.flash
        flash.settle(now)
        if flash.buffered >= self._options.buffers:
            self.overflows += 1
            raise RefusedError(RECEIVE, FAILED)
        if self.state is not State.DATA:
            if self.state is not State.READY or self._options.needs_init:
                raise RefusedError(RECEIVE, INVALID_STATE)
            self.state = State.DATA
        if self._taken + size > self._image_size:
            # From here on every packet is too much; only a reset helps.
            self._taken = 0xFFFFFFFF
            raise RefusedError(RECEIVE, DATA_SIZE)
        self._deadline = now + INACTIVITY_SECONDS
        done = flash.write(self._base + self._taken, data, now, buffered=True)
        self._taken += size
        self.received += size
        if self._taken == self._image_size:
            self._done_at = done
            return []
        if self._receipts:
            self._until_receipt -= 1
            if not self._until_receipt:
                self._until_receipt = self._receipts
                return self.notify(LEGACY_CONTROL, b"\x11" + self.received.to_bytes(4, "little"))
        return []

    def _validate(self, now: float) -> list[Effect]:
        if self.state is not State.DATA or self._taken != self._image_size:
            raise RefusedError(VALIDATE, INVALID_STATE)
        self.state = State.VALIDATING
        self._deadline = now + INACTIVITY_SECONDS
        if not self._options.checks:
            self._done_at = None
            return self._judge()
        self.machine.flash.settle(now)
        self._right = crc16(self.machine.flash.read(self._base, self._image_size)) == self._crc
        self._done_at = now + self._image_size * self._options.crc_seconds
        return []

    def _judge(self) -> list[Effect]:
        """Tell whether the image is right; after a wrong one nothing but a reset helps."""
        if not self._right:
            return self._answer(VALIDATE, CRC_ERROR)
        self.state = State.ACTIVATABLE
        return self._answer(VALIDATE, SUCCESS)

    def _activate(self, now: float) -> list[Effect]:
        """Put the image where it belongs and start it; in any other state it just resets."""
        if self.state is not State.ACTIVATABLE:
            return self._close(now, now)
        flash, layout = self.machine.flash, self.machine.layout
        softdevice, _, application = self._sizes
        done = flash.free_at
        if application and self._banked:
            image = flash.read(self._base, application)
            flash.erase(layout.application, application, now)
            flash.write(layout.application, image, now)
        if application or softdevice:
            bank = LegacySettings.VALID if application else LegacySettings.INVALID
            self._settings = LegacySettings(bank, self._crc, LegacySettings.INVALID, application)
            done = self._save(now)
        return self._close(now, done)
