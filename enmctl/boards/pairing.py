"""Pairing with a micro:bit, as a person at a terminal does it once for each board.

A board that has just been paired with hangs up after some two seconds, and after fifteen it restarts into its program,
in the middle of whatever goes on then (microbit-dal, ``MicroBitBLEManager``). So it is waited for, connected to again
and brought back into its pairing mode at once, where it stays while it is flashed.
"""

from __future__ import annotations

import logging
from typing import Final

from enmctl.boards.bluetooth_link import BluetoothLink
from enmctl.dfu.gatt import PARTIAL
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import LinkError
from enmctl.dfu.partial import Mode, Op
from enmctl.errors import OfflineError
from enmctl.models import DiscoveredBoard
from enmctl.radio.bluetooth import Passkey

LOG = logging.getLogger(__name__)

HANGS_UP_WITHIN: Final = 5.0
"""Seconds in which a board hangs up after pairing; it takes about two."""


async def pair(link: BluetoothLink, board: DiscoveredBoard, passkey: Passkey | None, limits: Limits) -> None:
    """Pair with a board, and bring it into the state in which it can be flashed.

    Args:
        link: to the board; it is closed afterwards.
        board: the board.
        passkey: asks a person for the six digits that the board shows.
        limits: how long to wait.

    Raises:
        PairingError: it did not come about.
        OfflineError: the board is not heard, or the connection broke.
    """
    try:
        await link.open(board.mode, limits.answer)
        await link.connection.pair(passkey)
        LOG.info("paired with %s", board.name)
        await link.lost(HANGS_UP_WITHIN)
        opened = await link.open(board.mode, limits.answer)
        if PARTIAL in opened.characteristics:
            await link.write(PARTIAL, bytes([Op.RESET, Mode.PAIRING]))
            await link.lost(limits.answer)
    except LinkError as error:
        raise OfflineError(
            f"{board.name} was lost while it was paired with: {error}", remedy="bring it nearer and try again"
        ) from None
    finally:
        await link.close()
