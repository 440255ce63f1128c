"""Restarting a board over Bluetooth, without changing what is on it."""

from __future__ import annotations

from enmctl.dfu.entering import enter_bootloader
from enmctl.dfu.gatt import LEGACY_CONTROL, MICROBIT_DFU, PARTIAL, SECURE_CONTROL, UNBONDED
from enmctl.dfu.legacy_codes import Op
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    Close,
    GattError,
    Heard,
    LinkError,
    LinkLostError,
    Lost,
    Open,
    Opened,
    Request,
    Subscribe,
    Transfer,
)
from enmctl.dfu.partial import start_program
from enmctl.dfu.setbacks import needs_bond
from enmctl.errors import OfflineError, RefusedError, UnsettledError
from enmctl.models import BoardMode


def restart(name: str, mode: BoardMode, limits: Limits, *, may_be_silent: bool = False) -> Transfer[bool]:
    """Restart a board and wait until it runs its program again; brings whether that is heard.

    By the micro:bit's partial flashing service where the program has it, else by way of a legacy bootloader, which can
    be told to reset. A secure bootloader cannot: it starts a program only after two minutes of silence.

    Args:
        name: what to call the board in errors.
        mode: what the board was heard to run.
        limits: how long to wait.
        may_be_silent: whether its program may be one that nobody hears, like most on a micro:bit. Then a board that
            left at the order and is silent has restarted.

    Raises:
        RefusedError: its program or its bootloader offers no way ("unsupported"), or it wants a bond.
        OfflineError: it is not heard, or the connection broke.
        UnsettledError: it did not come back.
    """
    try:
        left = yield from _restarted(name, mode, limits)
    except GattError as error:
        if error.code in UNBONDED:
            raise needs_bond(name) from None
        raise OfflineError(f"{name} did not restart: {error}", remedy="try again") from None
    except LinkError:
        raise OfflineError(
            f"{name} is not heard, or the connection broke", remedy="bring it nearer and try again"
        ) from None
    if left and may_be_silent:
        shown: BoardMode | None = yield Heard(None, limits.silent)
        if shown is not BoardMode.BOOTLOADER:
            return shown is not None
    back: BoardMode | None = yield Heard(BoardMode.APPLICATION, limits.back)
    if back is None:
        raise UnsettledError(
            f"{name} was not heard again for {limits.back:g} s after its restart",
            remedy="look at it: it may need power",
            reason="no-return",
        )
    return True


def _restarted(name: str, mode: BoardMode, limits: Limits) -> Transfer[bool]:
    """Give the order; brings whether the board was seen to leave."""
    opened: Opened = yield Open(mode, limits.answer)
    if mode is BoardMode.APPLICATION:
        if PARTIAL in opened.characteristics:
            yield Subscribe(PARTIAL)
            left = yield from start_program(limits)
            yield Close()
            return left
        if not opened.characteristics & {MICROBIT_DFU, LEGACY_CONTROL, SECURE_CONTROL}:
            yield Close()
            raise RefusedError(
                f"a restart is not supported by the program on {name}",
                remedy="press its reset button; a program built with partial flashing can be restarted",
                reason="unsupported",
            )
        if (yield from enter_bootloader(opened, limits)):
            opened = yield Open(BoardMode.BOOTLOADER, limits.answer)
    if LEGACY_CONTROL not in opened.characteristics:
        yield Close()
        raise RefusedError(
            f"{name} waits in a bootloader that cannot be told to restart",
            remedy="it starts its program by itself within two minutes, where it has a whole one; else flash it",
            reason="unsupported",
            permanent=False,
        )
    yield Subscribe(LEGACY_CONTROL)
    try:
        yield Request(LEGACY_CONTROL, bytes([Op.RESET]))
        gone: bool = yield Lost(limits.gone)
    except LinkError as error:
        gone = isinstance(error, LinkLostError)
    yield Close()
    return gone
