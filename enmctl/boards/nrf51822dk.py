"""The nRF51822-DK over Bluetooth: a program of Nordic's SDK that advertises its application's id as its name."""

from __future__ import annotations

from typing import ClassVar

from enmctl.boards.adverts import APPLICATION_ID
from enmctl.boards.bluetooth_board import BluetoothBoard
from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_SERVICE
from enmctl.dfu.link import Opened
from enmctl.firmware.targets import Target
from enmctl.radio.bluetooth import Advert


class Nrf51822Dk(BluetoothBoard):
    """Keeps the contract of ``BoardDriver`` for the nRF51822-DK."""

    board_type: ClassVar[str] = "nrf51822dk"
    targets: ClassVar[tuple[Target, ...]] = (Target.NRF51822DK,)
    bootloaders: ClassVar[frozenset[str]] = frozenset({LEGACY_SERVICE})

    def program_of(self, advert: Advert) -> tuple[int | None, str] | None:
        """A program whose whole name is the id of an application."""
        return (int(advert.name), advert.name) if APPLICATION_ID.fullmatch(advert.name) else None

    def kind_of(self, opened: Opened) -> Target | None:
        """The one kind, where the program or its bootloader offers the legacy service."""
        return Target.NRF51822DK if LEGACY_CONTROL in opened.characteristics else None
