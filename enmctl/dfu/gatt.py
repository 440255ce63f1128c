"""The services and characteristics of Nordic's bootloaders, of programs that can start them, and of the micro:bit.

Sources: Nordic's SDK 11 (``ble_dfu.h``) and SDK 15 (``nrf_dfu_ble.c``, ``ble_dfu.c``), microbit-dal and
codal-microbit-v2 (``MicroBitDFUService``, ``MicroBitPartialFlashingService``), the Bluetooth profile of the micro:bit.
"""

from __future__ import annotations

from typing import Final

LEGACY_SERVICE: Final = "00001530-1212-efde-1523-785feabcd123"
LEGACY_CONTROL: Final = "00001531-1212-efde-1523-785feabcd123"
LEGACY_PACKET: Final = "00001532-1212-efde-1523-785feabcd123"
LEGACY_VERSION: Final = "00001534-1212-efde-1523-785feabcd123"

SECURE_SERVICE: Final = "0000fe59-0000-1000-8000-00805f9b34fb"
SECURE_CONTROL: Final = "8ec90001-f315-4f60-9fb8-838830daea50"
SECURE_PACKET: Final = "8ec90002-f315-4f60-9fb8-838830daea50"
BUTTONLESS_OPEN: Final = "8ec90003-f315-4f60-9fb8-838830daea50"
BUTTONLESS_BONDED: Final = "8ec90004-f315-4f60-9fb8-838830daea50"
BUTTONLESS_SDK12: Final = "8e400001-f315-4f60-9fb8-838830daea50"

MICROBIT_DFU_SERVICE: Final = "e95d93b0-251d-470a-a062-fa1922dfa9a8"
MICROBIT_DFU: Final = "e95d93b1-251d-470a-a062-fa1922dfa9a8"
PARTIAL_SERVICE: Final = "e97dd91d-251d-470a-a062-fa1922dfa9a8"
PARTIAL: Final = "e97d3b10-251d-470a-a062-fa1922dfa9a8"
LED_SERVICE: Final = "e95dd91d-251d-470a-a062-fa1922dfa9a8"
LED_TEXT: Final = "e95d93ee-251d-470a-a062-fa1922dfa9a8"
MODEL: Final = "00002a24-0000-1000-8000-00805f9b34fb"

UNBONDED: Final = frozenset({0x05, 0x08, 0x0C, 0x0F})
"""ATT errors of a board that wants a bond first: authentication, authorisation, a longer key, encryption (Bluetooth
Core Specification, Vol 3, Part F, 3.4.1.1)."""
