"""Whether an image fits a board, as far as config and the board itself tell: found out before a byte is sent."""

from __future__ import annotations

from enmctl.boards.access import Access
from enmctl.boards.contract import Firmware
from enmctl.boards.identity import Identity
from enmctl.errors import FirmwareError, RefusedError
from enmctl.firmware.esp8266 import KIB
from enmctl.models import DiscoveredBoard


def check_fit(
    board: DiscoveredBoard, firmware: Firmware, access: Access, identity: Identity | None, built_for: int | None
) -> None:
    """Refuse what cannot fit.

    Args:
        board: the board.
        firmware: what is to be sent.
        access: what its config says of it.
        identity: what it said of itself, None where its firmware does not tell.
        built_for: bytes of flash that the image is built for, None where that is not known.

    Raises:
        FirmwareError: it is larger than the config allows.
        RefusedError: the board has no room for it.
    """
    if access.max_size is not None and firmware.size > access.max_size:
        raise FirmwareError(
            f"the image has {firmware.size} bytes and {board.name} takes {access.max_size}",
            remedy="make the build smaller, or set ENM_OTA_MAX_SIZE",
            reason="too-big",
            permanent=False,
        )
    if identity is None:
        return
    if identity.free is not None and firmware.size > identity.free:
        raise RefusedError(
            f"{board.name} has room for {identity.free} bytes beside its firmware, the image has {firmware.size}",
            remedy="make the build smaller, or give the sketch more room by a flash layout that is flashed over USB",
            reason="no-space",
            permanent=False,
        )
    if identity.flash is not None and built_for is not None and built_for > identity.flash:
        raise RefusedError(
            f"the image is built for {built_for // KIB} KiB of flash and {board.name} has {identity.flash // KIB} KiB",
            remedy="choose a board with smaller flash in the build",
            reason="flash-size",
        )
