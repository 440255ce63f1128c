"""The UUIDs of what simulated boards offer, in lower case and whole.

Nordic's are those of the nRF5 SDK (ble_dfu.h, nrf_dfu_ble.c), the micro:bit's those of microbit-dal and
codal-microbit-v2. What talks to boards has its own copy, so that a slip in either shows.
"""

from __future__ import annotations

from typing import Final


def _assigned(number: int) -> str:
    return f"0000{number:04x}-0000-1000-8000-00805f9b34fb"


def _legacy(number: int) -> str:
    return f"0000{number:04x}-1212-efde-1523-785feabcd123"


def _secure(number: int) -> str:
    return f"8ec9{number:04x}-f315-4f60-9fb8-838830daea50"


def _microbit(number: int, *, family: str = "e95d") -> str:
    return f"{family}{number:04x}-251d-470a-a062-fa1922dfa9a8"


LEGACY_SERVICE: Final = _legacy(0x1530)
LEGACY_CONTROL: Final = _legacy(0x1531)
LEGACY_PACKET: Final = _legacy(0x1532)
LEGACY_VERSION: Final = _legacy(0x1534)

SECURE_SERVICE: Final = _assigned(0xFE59)
SECURE_CONTROL: Final = _secure(1)
SECURE_PACKET: Final = _secure(2)
BUTTONLESS: Final = _secure(3)
BUTTONLESS_BONDED: Final = _secure(4)

DEVICE_INFORMATION: Final = _assigned(0x180A)
MODEL_NUMBER: Final = _assigned(0x2A24)

MICROBIT_DFU: Final = _microbit(0x93B0)
MICROBIT_DFU_CONTROL: Final = _microbit(0x93B1)
LED: Final = _microbit(0xD91D)
LED_TEXT: Final = _microbit(0x93EE)
PARTIAL: Final = _microbit(0xD91D, family="e97d")
PARTIAL_FLASHING: Final = _microbit(0x3B10, family="e97d")
