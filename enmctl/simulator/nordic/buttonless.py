"""The characteristic by which an application of a secure board brings its bootloader up, without a button.

After ble_dfu.c, ble_dfu_bonded.c and ble_dfu_unbonded.c of SDK 15 and 16: the answer is an indication, and once it is
confirmed the connection is ended and the chip resets.
"""

from __future__ import annotations

from typing import Final

from enmctl.simulator.nordic.contract import AttError, Characteristic, Disconnect, Effect, Property
from enmctl.simulator.nordic.program import CCCD_OFF, Boot, Machine, Program, Restart
from enmctl.simulator.nordic.records import SecureSettings
from enmctl.simulator.nordic.uuids import BUTTONLESS, BUTTONLESS_BONDED

RESPONSE, ENTER, SET_NAME = 0x20, 0x01, 0x02
SUCCESS, NOT_SUPPORTED, BAD_NAME, BUSY = 0x01, 0x02, 0x05, 0x06
NAME_MOST: Final = 20

CONFIRM_SECONDS: Final = 0.15
"""From the indication until it is confirmed and the connection is ended."""

RESET_SECONDS: Final = 0.1


class Buttonless:
    """The characteristic of a program that needs bonds or does not.

    ``result`` is what it answers when the bootloader is asked for; with anything but success it stays as it is.
    """

    def __init__(self, program: Program, machine: Machine, *, bonded: bool, names: bool) -> None:
        self.uuid = BUTTONLESS_BONDED if bonded else BUTTONLESS
        self.result = SUCCESS
        self._program = program
        self._machine = machine
        self._bonded = bonded
        self._names = names
        self._leave_at: float | None = None

    @property
    def characteristic(self) -> Characteristic:
        """As it stands in the table of services."""
        return Characteristic(self.uuid, Property.WRITE | Property.INDICATE, self._bonded)

    @property
    def due(self) -> float | None:
        """When the connection is ended."""
        return self._leave_at

    def write(self, data: bytes, now: float) -> list[Effect]:
        """Somebody asks for the bootloader, or for its name."""
        if self.uuid not in self._machine.subscribed:
            raise AttError(CCCD_OFF)
        if not data:
            return []
        if data[0] == ENTER:
            return self._say(ENTER, self._enter(now))
        if data[0] == SET_NAME and self._names:
            return self._say(SET_NAME, self._set_name(data[1:], now))
        return self._say(data[0], NOT_SUPPORTED)

    def tick(self, now: float) -> list[Effect]:
        """End the connection, and reset."""
        if self._leave_at is None or now < self._leave_at:
            return []
        self._leave_at = None
        done = max(now + RESET_SECONDS, self._machine.flash.free_at)
        self._program.restart = Restart(done, Boot.BOOTLOADER)
        return [Disconnect()] if self._machine.peer is not None else []

    def _say(self, operation: int, result: int) -> list[Effect]:
        return self._program.notify(self.uuid, bytes((RESPONSE, operation, result)))

    def _enter(self, now: float) -> int:
        if self.result != SUCCESS:
            return self.result
        if self._leave_at is not None:
            return BUSY
        self._leave_at = now + CONFIRM_SECONDS
        self._machine.caller = self._machine.peer
        self._machine.caller_bonded = self._bonded
        if self._bonded:
            self._keep(now, peer=self._machine.peer or "")
        return SUCCESS

    def _set_name(self, rest: bytes, now: float) -> int:
        if not rest or rest[0] != len(rest) - 1 or not 0 < rest[0] <= NAME_MOST:
            return BAD_NAME
        self._keep(now, name=rest[1:])
        return SUCCESS

    def _keep(self, now: float, *, peer: str | None = None, name: bytes | None = None) -> None:
        layout, flash = self._machine.layout, self._machine.flash
        settings = SecureSettings.load(flash, layout.settings, layout.backup)
        settings.peer = settings.peer if peer is None else peer
        settings.name = settings.name if name is None else name
        settings.save(flash, layout.settings, layout.backup, now)
