"""A program on a simulated micro:bit: how it advertises and pairs, and how it is flashed and restarted.

After MicroBitBLEManager.cpp, MicroBitDFUService.cpp and MicroBitLEDService.cpp of microbit-dal and codal-microbit-v2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from enmctl.simulator.nordic.buttonless import SUCCESS, Buttonless
from enmctl.simulator.nordic.contract import (
    Advertisement,
    Bonding,
    Characteristic,
    Disconnect,
    Effect,
    Property,
    Service,
)
from enmctl.simulator.nordic.partial_flashing import INCOMPLETE, PartialFlashing
from enmctl.simulator.nordic.program import POWER_OFF, Boot, Machine, Program, Restart
from enmctl.simulator.nordic.records import BONDS_MOST, Storage
from enmctl.simulator.nordic.traits import Found
from enmctl.simulator.nordic.uuids import (
    BUTTONLESS,
    BUTTONLESS_BONDED,
    DEVICE_INFORMATION,
    LED,
    LED_TEXT,
    MICROBIT_DFU,
    MICROBIT_DFU_CONTROL,
    MODEL_NUMBER,
    PARTIAL,
    PARTIAL_FLASHING,
    SECURE_SERVICE,
)

CODEBOOK: Final = ("zvgpt", "uoiea", "zvgpt", "uoiea", "zvgpt")
JUMP_SECONDS: Final = 1.0
"""From the disconnect until the bootloader runs (MicroBitDFUService.cpp)."""

PAIRING_SECONDS: Final = 270.0
"""Then it resets: 2700 rounds of 0.1 s (MICROBIT_BLE_PAIRING_TIMEOUT)."""

BONDED_DISCONNECT_SECONDS: Final = 2.0
BONDED_RESET_SECONDS: Final = 15.0
"""After a new bond: until it ends the connection, and until it resets with the tick on its display."""

PASSKEYS: Final = 1_000_000


def friendly_name(serial: int) -> str:
    """The five letters that a micro:bit is called by, from its chip's serial number (DEVICEID[1])."""
    letters = []
    for row in CODEBOOK:
        serial, digit = divmod(serial, len(row))
        letters.append(row[digit])
    return "".join(reversed(letters))


@dataclass(slots=True)
class Habits:
    """What of a board's behaviour a test may want otherwise.

    ``asks_passkey``: it shows a PIN although its program pairs without one, a known fault of the V1. ``jump_result`` is
    what a V2 answers when it is asked for its bootloader. The rest are seconds, as the constants above say of what.
    """

    asks_passkey: bool = False
    jump_result: int = SUCCESS
    jump_after: float = JUMP_SECONDS
    pairing_for: float = PAIRING_SECONDS
    hangs_up_after: float = BONDED_DISCONNECT_SECONDS
    resets_after: float = BONDED_RESET_SECONDS


class MicrobitApplication(Program):
    """One start of a program; in pairing mode only its runtime runs."""

    def __init__(self, machine: Machine, found: Found, boot: Boot, now: float, habits: Habits) -> None:
        super().__init__(machine)
        self._found = found
        self._habits = habits
        self._old = machine.layout.chip.old
        self._storage = Storage(machine.flash, machine.layout.storage)
        self.pairing = boot is Boot.PAIRING or self._storage.has(INCOMPLETE)
        self.mode = "pairing" if self.pairing else "application"
        self.shown: list[str] = []
        self._partial = PartialFlashing(self, machine, self._storage)
        self._buttonless = Buttonless(self, machine, bonded=not found.runtime.open, names=False)
        self._buttonless.result = habits.jump_result
        self._leaving = False
        self._disconnect_at: float | None = None
        if self.pairing:
            self.restart = Restart(now + habits.pairing_for)
            if len(machine.bonds) >= BONDS_MOST:
                machine.bonds.forget(now, BONDS_MOST if self._old else 1)

    @property
    def name(self) -> str:
        """What stands in brackets behind the prefix."""
        return self._found.program.name or friendly_name(self.machine.serial)

    @property
    def due(self) -> float | None:
        """When a block is written, the connection is to be ended after pairing, or before a reset."""
        times = (self._partial.due, self._buttonless.due, self._disconnect_at)
        return min((time for time in times if time is not None), default=None)

    @property
    def advertisement(self) -> Advertisement | None:
        """Its name for everybody, for bonded peers alone, or nothing."""
        if self._leaving:
            return None
        address, program, runtime = self.machine.address, self._found.program, self._found.runtime
        if self.pairing:
            return Advertisement(address, f"BBC micro:bit [{self.name}]")
        if not program.bluetooth:
            return None
        if not runtime.whitelist:
            return Advertisement(address, f"{program.prefix} [{self.name}]")
        return Advertisement(address, program.prefix, bonded_only=True) if len(self.machine.bonds) else None

    @property
    def bonding(self) -> Bonding:
        """It pairs in pairing mode alone."""
        if not self.pairing:
            return Bonding.NONE
        if self._found.runtime.passkey or self._habits.asks_passkey:
            return Bonding.PASSKEY
        return Bonding.NONE if self._found.runtime.open else Bonding.JUST_WORKS

    @property
    def passkey(self) -> str:
        """The six digits that it shows one by one, where it pairs so."""
        return f"{self.machine.serial * 7919 % PASSKEYS:06d}" if self.bonding is Bonding.PASSKEY else ""

    @property
    def services(self) -> Sequence[Service]:
        """What it offers; texts are the user's program's matter, which does not run in pairing mode."""
        bonded = not self._found.runtime.open
        jump = Characteristic(MICROBIT_DFU_CONTROL, Property.READ | Property.WRITE, bonded)
        services = [
            Service(MICROBIT_DFU, (jump,))
            if self._old
            else Service(SECURE_SERVICE, (self._buttonless.characteristic,)),
            Service(DEVICE_INFORMATION, (Characteristic(MODEL_NUMBER, Property.READ),)),
        ]
        if self._found.runtime.partial:
            properties = Property.WRITE_WITHOUT_RESPONSE | Property.NOTIFY
            services.append(Service(PARTIAL, (Characteristic(PARTIAL_FLASHING, properties, bonded),)))
        if self._found.program.led and not self.pairing:
            services.append(Service(LED, (Characteristic(LED_TEXT, Property.WRITE, bonded),)))
        return tuple(services)

    def describe(self) -> dict[str, object]:
        """What it is and what it has shown."""
        return {
            "name": self.name,
            "version": self._found.program.version,
            "open": self._found.runtime.open,
            "flashIncomplete": self._storage.has(INCOMPLETE),
            "blocks": self._partial.blocks,
            "shown": list(self.shown),
            "passkey": self.passkey,
        }

    def tick(self, now: float) -> list[Effect]:
        """What time brings."""
        effects = [*self._partial.tick(now), *self._buttonless.tick(now)]
        if self.restart is not None and self.restart.boot is Boot.BOOTLOADER:
            self._leaving = True
        if self._disconnect_at is not None and now >= self._disconnect_at:
            self._disconnect_at = None
            return [*effects, Disconnect(POWER_OFF)] if self.machine.peer is not None else effects
        return effects

    def bonded(self, now: float) -> list[Effect]:
        """A new bond: it ends the connection, shows a tick for a while and resets, whatever goes on by then."""
        self._disconnect_at = now + self._habits.hangs_up_after
        self.restart = Restart(now + self._habits.resets_after)
        return []

    def read(self, characteristic: str, now: float) -> bytes:
        """Its model, or nothing."""
        del now
        if characteristic == MODEL_NUMBER:
            return b"BBC micro:bit" if self._old else b"BBC micro:bit V2.0"
        return b"\0"

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """Somebody flashes it, wants its bootloader, or has something to show."""
        if characteristic == PARTIAL_FLASHING:
            return self._partial.write(data, now)
        if characteristic in (BUTTONLESS, BUTTONLESS_BONDED):
            return self._buttonless.write(data, now)
        if characteristic == LED_TEXT:
            self.shown.append(data.decode("ascii", "replace"))
        elif data[:1] == b"\x01":
            return self._jump(now)
        return []

    def _jump(self, now: float) -> list[Effect]:
        """Let the peer go, and start the bootloader a second later."""
        self._leaving = True
        self.machine.caller = self.machine.peer
        self.machine.caller_bonded = not self._found.runtime.open
        self.restart = Restart(now + self._habits.jump_after, Boot.BOOTLOADER)
        return [Disconnect(POWER_OFF)]
