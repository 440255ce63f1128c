"""What a chip with a legacy bootloader starts after a reset: the application or the bootloader itself.

After bootloader.c of SDK 11 (bootloader_app_is_valid).
"""

from __future__ import annotations

from dataclasses import dataclass

from enmctl.firmware.nordic_init import crc16
from enmctl.simulator.nordic.legacy_bootloader import LegacyBootloader
from enmctl.simulator.nordic.legacy_rules import LegacyOptions
from enmctl.simulator.nordic.program import Boot, Machine, Program
from enmctl.simulator.nordic.records import LegacySettings


@dataclass(frozen=True, slots=True)
class LegacyLoader:
    """Decides at each start of the chip what runs."""

    options: LegacyOptions

    def application_is_valid(self, machine: Machine) -> bool:
        """Whether there is one, it is marked valid, and its CRC-16 is right where one is kept (bootloader.c)."""
        layout = machine.layout
        settings = LegacySettings.load(machine.flash, layout.settings)
        if machine.flash.word(layout.application) == 0xFFFFFFFF or settings.bank != LegacySettings.VALID:  # noqa: PLR2004
            return False
        return not settings.crc or crc16(machine.flash.read(layout.application, settings.size)) == settings.crc

    def application_size(self, machine: Machine) -> int:
        """Bytes of the application, 0 where that is not kept."""
        return LegacySettings.load(machine.flash, machine.layout.settings).size

    def install(self, machine: Machine, size: int, crc: int) -> None:
        """Mark what is in the flash a valid application, as a factory does; a CRC-16 of 0 is not checked."""
        settings = LegacySettings(LegacySettings.VALID, crc if self.options.checks else 0, LegacySettings.INVALID, size)
        settings.save(machine.flash, machine.layout.settings, 0.0)

    def activate(self, machine: Machine, boot: Boot, now: float) -> float:
        """Finish at a start what was left to do; it never is."""
        del machine, boot
        return now

    def start(self, machine: Machine, now: float) -> Program:
        """Run the bootloader."""
        return LegacyBootloader(machine, self.options, now)
