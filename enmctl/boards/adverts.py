"""How boards show themselves over Bluetooth: the names of programs, and the marks of bootloaders."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from enmctl.dfu.gatt import LEGACY_SERVICE, SECURE_SERVICE
from enmctl.models import BoardMode
from enmctl.radio.bluetooth import Advert

BOOTLOADER_NAME: Final = "DfuTarg"
"""What Nordic's bootloaders are called unless somebody changed it (SDK 8 to 16)."""

BOOTLOADERS: Final = frozenset({LEGACY_SERVICE, SECURE_SERVICE})
"""The services of Nordic's bootloaders, that they advertise."""

ADDRESS: Final = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}", re.IGNORECASE)
"""A Bluetooth address; macOS shows an identifier of its own instead."""

MICROBIT_NAME: Final = re.compile(r"(?:BBC micro:?bit|uBit)(?: \[(?P<in_brackets>[^\[\]]{1,12})\])?", re.IGNORECASE)
FRIENDLY: Final = re.compile(r"(?:[zvgpt][uoiea]){2}[zvgpt]")
"""A micro:bit's name, made from its serial number (microbit-dal, ``microbit_friendly_name``)."""

APPLICATION_ID: Final = re.compile(r"\d{4,18}", re.ASCII)
"""The application that a program advertises."""


def mode_of(advert: Advert) -> BoardMode:
    """Whether an advertisement is a bootloader's or a program's, as far as that shows whatever board it is."""
    if advert.name == BOOTLOADER_NAME or advert.services & BOOTLOADERS:
        return BoardMode.BOOTLOADER
    return BoardMode.APPLICATION


def is_next(address: str, to: str) -> bool:
    """Whether an address is the one that a bootloader takes whose program has the address ``to``."""
    return address.upper() == next_address(to)


def own_address(address: str, known: Collection[str]) -> str | None:
    """The known board whose bootloader has this address: its own, else the next one; None where that is nobody's."""
    return address if address in known else next((own for own in known if is_next(address, own)), None)


def next_address(address: str) -> str | None:
    """The address that a bootloader takes so as not to be taken for its program: one more in the last byte alone.

    It wraps round without a carry (SDK 11, ``dfu_transport_ble.c``). In capitals; None where this is no address.
    """
    if not ADDRESS.fullmatch(address):
        return None
    return f"{address[:-2]}{(int(address[-2:], 16) + 1) & 0xFF:02X}".upper()
