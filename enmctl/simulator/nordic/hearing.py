"""What a central hears of a board's advertising, and which mode that is of."""

from __future__ import annotations

from typing import Final

from enmctl.models import BoardMode
from enmctl.simulator.nordic.contract import Advertisement
from enmctl.simulator.nordic.legacy_rules import NAME
from enmctl.simulator.nordic.uuids import LEGACY_SERVICE, SECURE_SERVICE

BOOTLOADER_SERVICES: Final = frozenset({LEGACY_SERVICE, SECURE_SERVICE})


def reaches(said: Advertisement | None, peer: str, *, bonded: bool) -> bool:
    """Whether an advertisement is heard by a central, and lets it in."""
    if said is None or (said.directed_to and said.directed_to != peer.upper()):
        return False
    return bonded or not said.bonded_only


def mode_of(said: Advertisement) -> BoardMode:
    """Bootloaders have a name or a service of their own, or advertise to one central alone."""
    own = said.name == NAME or bool(BOOTLOADER_SERVICES & set(said.services))
    return BoardMode.BOOTLOADER if own or said.directed_to else BoardMode.APPLICATION
