"""The BBC micro:bit over Bluetooth, V1 and V2, told apart by what the board itself offers.

A program made for a gateway advertises ``BBC micro:bit [<application>]``. Any other shows the board's own name in the
brackets, which its LEDs show too, and mostly only in its pairing mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from enmctl.boards.adverts import APPLICATION_ID, FRIENDLY, MICROBIT_NAME
from enmctl.boards.bluetooth_board import BluetoothBoard
from enmctl.boards.manner import FULL
from enmctl.boards.nordic_firmware import NordicFirmware
from enmctl.dfu.gatt import (
    BUTTONLESS_BONDED,
    BUTTONLESS_OPEN,
    LEGACY_CONTROL,
    MICROBIT_DFU,
    SECURE_CONTROL,
)
from enmctl.dfu.link import Opened
from enmctl.dfu.update import Choice
from enmctl.firmware.hex import Family
from enmctl.firmware.microbit_regions import user_part
from enmctl.firmware.targets import Target
from enmctl.models import DiscoveredBoard
from enmctl.radio.bluetooth import Advert

OFFERS: Final = {
    Target.MICROBIT_V1: frozenset({MICROBIT_DFU, LEGACY_CONTROL}),
    Target.MICROBIT_V2: frozenset({BUTTONLESS_BONDED, BUTTONLESS_OPEN, SECURE_CONTROL}),
}
"""What shows a board's kind: its program's way into the bootloader, or the bootloader itself."""

PART_LEAST: Final = 3
"""A block of a part takes two connection events, so a part of more than a third of the whole is no faster than that."""

FAMILIES: Final = {Target.MICROBIT_V1: Family.V1, Target.MICROBIT_V2: Family.V2}


CODEBOOK: Final = ("zvgpt", "uoiea")
"""The letters of a micro:bit's name, by turns; a letter's place in its row tells how many lights its column has."""


def led_columns(name: str) -> str:
    """How many lights the five columns have that a board of this name shows in its pairing mode, like "1 5 2 3 5".

    "" where it is no such name (microbit-dal, ``MicroBitBLEManager::showNameHistogram``).
    """
    if not FRIENDLY.fullmatch(name):
        return ""
    return " ".join(str(CODEBOOK[place % 2].index(letter) + 1) for place, letter in enumerate(name))


class Microbit(BluetoothBoard):
    """Keeps the contract of ``BoardDriver`` for the micro:bit."""

    board_type: ClassVar[str] = "microbit"
    targets: ClassVar[tuple[Target, ...]] = (Target.MICROBIT_V1, Target.MICROBIT_V2)

    def program_of(self, advert: Advert) -> tuple[int | None, str] | None:
        """A program of the micro:bit; digits in its brackets are an application's id."""
        named = MICROBIT_NAME.fullmatch(advert.name)
        if named is None:
            return None
        inside = named["in_brackets"] or ""
        return (int(inside) if APPLICATION_ID.fullmatch(inside) else None), advert.name

    def kind_of(self, opened: Opened) -> Target | None:
        """V1 or V2, by how it can be updated; a V2 has not both."""
        return next((kind for kind, offers in OFFERS.items() if offers & opened.characteristics), None)

    def choice(
        self, board: DiscoveredBoard, opened: Opened, firmware: NordicFirmware, config: Mapping[str, str]
    ) -> Choice:
        """The program for this kind, and the user's part of it unless all is to be sent, as with a system."""
        kind = self._kind(board, opened)
        payloads = firmware.for_target(kind)
        program = payloads[-1]
        if program.address is None:
            return Choice(payloads)
        part = user_part(program.data, program.address, FAMILIES[kind])
        is_small = part is not None and len(part.data) * PART_LEAST <= program.size
        has_system = any(payload.system for payload in payloads)
        return Choice(payloads, part, whole=bool(config.get(FULL)) or has_system or not is_small)
