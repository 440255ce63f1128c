"""A program on a simulated stock board with a secure bootloader, as Nordic's examples for SDK 15 are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enmctl.simulator.nordic.buttonless import Buttonless
from enmctl.simulator.nordic.contract import Advertisement, Effect, Service
from enmctl.simulator.nordic.program import Machine, Program
from enmctl.simulator.nordic.traits import Found
from enmctl.simulator.nordic.uuids import SECURE_SERVICE

NAME: Final = "Nordic_Buttonless"


class SecureApplication(Program):
    """One start of a program; it needs no bonds, and its bootloader may be named."""

    mode = "application"

    def __init__(self, machine: Machine, found: Found) -> None:
        super().__init__(machine)
        self._found = found
        self._buttonless = Buttonless(self, machine, bonded=False, names=True)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._found.program.name or NAME

    @property
    def due(self) -> float | None:
        """When the connection is ended before a reset."""
        return self._buttonless.due

    @property
    def advertisement(self) -> Advertisement | None:
        """Its name; nothing once it is about to leave."""
        return None if self.restart is not None else Advertisement(self.machine.address, self.name)

    @property
    def services(self) -> Sequence[Service]:
        """The one service."""
        return (Service(SECURE_SERVICE, (self._buttonless.characteristic,)),)

    def describe(self) -> dict[str, object]:
        """What it is."""
        return {"name": self.name, "version": self._found.program.version}

    def tick(self, now: float) -> list[Effect]:
        """What time brings."""
        return self._buttonless.tick(now)

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """Somebody wants the bootloader."""
        del characteristic
        return self._buttonless.write(data, now)
