"""What a chip with a secure bootloader starts after a reset, and what is put into place before that.

After nrf_bootloader.c and nrf_bootloader_fw_activation.c of SDK 15 and 16.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from enmctl.simulator.nordic.program import Boot, Machine, Program
from enmctl.simulator.nordic.records import Bank, SecureSettings
from enmctl.simulator.nordic.secure_bootloader import SecureBootloader
from enmctl.simulator.nordic.secure_rules import SecureOptions


@dataclass(frozen=True, slots=True)
class SecureLoader:
    """Decides at each start of the chip what runs."""

    options: SecureOptions

    def application_is_valid(self, machine: Machine) -> bool:
        """Whether one is marked valid, and its CRC-32 is right where that is wanted."""
        settings = _load(machine)
        if settings.bank.code != Bank.APPLICATION or not settings.validated:
            return settings.bank.code == Bank.APPLICATION
        image = machine.flash.read(machine.layout.application, settings.bank.size)
        return zlib.crc32(image) == settings.bank.crc

    def application_size(self, machine: Machine) -> int:
        """Bytes of the application, 0 where that is not kept."""
        return _load(machine).bank.size

    def install(self, machine: Machine, size: int, crc: int) -> None:
        """Mark what is in the flash a valid application; a micro:bit that came by USB knows nothing more of it."""
        del crc
        layout, plain = machine.layout, self.options.plain_init
        image = machine.flash.read(layout.application, size)
        bank = Bank(Bank.APPLICATION, layout.application, 0 if plain else size, 0 if plain else zlib.crc32(image))
        SecureSettings(bank, Bank(), validated=not plain).save(machine.flash, layout.settings, layout.backup, 0.0)

    def activate(self, machine: Machine, boot: Boot, now: float) -> float:
        """Put a new image into place, and forget what was said for one start; returns when that is done."""
        settings, layout, flash = _load(machine), machine.layout, machine.flash
        new = settings.other_bank
        if new.code == Bank.NONE:
            stale = boot is not Boot.BOOTLOADER and bool(settings.peer or settings.name)
            if not stale or not self.application_is_valid(machine):
                return now
            settings.peer, settings.name = "", b""
            return settings.save(flash, layout.settings, layout.backup, now)
        if new.code == Bank.APPLICATION:
            if new.start != layout.application:
                image = flash.read(new.start, new.size)
                flash.erase(layout.application, new.size, now)
                flash.write(layout.application, image, now)
            settings.bank = Bank(Bank.APPLICATION, layout.application, new.size, new.crc)
        settings.other_bank = Bank()
        return settings.save(flash, layout.settings, layout.backup, now)

    def start(self, machine: Machine, now: float) -> Program:
        """Run the bootloader."""
        return SecureBootloader(machine, self.options, now)


def _load(machine: Machine) -> SecureSettings:
    return SecureSettings.load(machine.flash, machine.layout.settings, machine.layout.backup)
