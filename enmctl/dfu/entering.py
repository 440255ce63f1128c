"""How a running program is told to start its bootloader.

A micro:bit V1 takes a byte on a characteristic of its own (microbit-dal, MicroBitDFUService). Programs with Nordic's
legacy service take a START on the bootloader's own control point (SDK 8 to 11, ``ble_dfu.c``), and those with the
buttonless service an order that they confirm before they restart (SDK 14 and 15, ``ble_dfu.c``; the one of SDK 12 was
another). The connection may break before the confirmation is out, so a broken connection counts as one.
"""

from __future__ import annotations

from typing import Final

from enmctl.dfu.gatt import (
    BUTTONLESS_BONDED,
    BUTTONLESS_OPEN,
    BUTTONLESS_SDK12,
    LEGACY_CONTROL,
    LEGACY_VERSION,
    MICROBIT_DFU,
    SECURE_CONTROL,
)
from enmctl.dfu.legacy_codes import VERSION_APPLICATION
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    Close,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Opened,
    Read,
    Request,
    Subscribe,
    Transfer,
    Wait,
)
from enmctl.errors import RefusedError, TransferError

BUTTONLESS: Final = (BUTTONLESS_BONDED, BUTTONLESS_OPEN, BUTTONLESS_SDK12)
ENTER: Final = bytes([1])
START_APPLICATION: Final = bytes([1, 4])
CONFIRMED: Final = 1
CONFIRMATION: Final = 0x20

REFUSALS: Final = {
    2: "it does not know the order",
    4: "it failed",
    5: "the name is not allowed",
    6: "it is busy",
    7: "it is not bonded",
}
"""The last byte of a confirmation (SDK 15, ble_dfu.h, ble_dfu_buttonless_rsp_code_t)."""

PRIMARY_SERVICES_OF_A_BOOTLOADER: Final = 3
"""GAP, GATT and DFU; how a legacy program without a version is told from its bootloader."""


def is_bootloader(opened: Opened, version: int | None) -> bool:
    """Whether what is connected is a bootloader, as its services and the legacy ``version`` tell."""
    if SECURE_CONTROL in opened.characteristics:
        return True
    if LEGACY_CONTROL not in opened.characteristics:
        return False
    if version is None:
        return 0 < opened.services <= PRIMARY_SERVICES_OF_A_BOOTLOADER
    return version != VERSION_APPLICATION


def enter_bootloader(opened: Opened, limits: Limits) -> Transfer[bool]:
    """Have the program that is connected start its bootloader; brings False where that is what runs already.

    The connection is closed afterwards, except where it is the bootloader's.

    Raises:
        RefusedError: the program cannot, or it will not.
        TransferError: it said that it would, and did not.
        LinkError: as the link's operations do.
    """
    version = yield from _version(opened)
    if is_bootloader(opened, version):
        return False
    characteristics = opened.characteristics
    if MICROBIT_DFU in characteristics:
        yield from _order(MICROBIT_DFU, ENTER)
    elif (buttonless := next((uuid for uuid in BUTTONLESS if uuid in characteristics), None)) is not None:
        yield from _confirmed(buttonless, limits)
    elif LEGACY_CONTROL in characteristics:
        yield Subscribe(LEGACY_CONTROL)
        yield from _order(LEGACY_CONTROL, START_APPLICATION)
    else:
        raise RefusedError(
            "the program on the board cannot start its bootloader",
            remedy="bring the board into its pairing or bootloader mode by its buttons, or flash it over USB",
            reason="unsupported",
        )
    gone: bool = yield Lost(limits.gone)
    yield Close()
    if not gone:
        raise TransferError("the board did not start its bootloader", remedy="try again", reason="no-bootloader")
    return True


def _version(opened: Opened) -> Transfer[int | None]:
    if LEGACY_VERSION not in opened.characteristics:
        return None
    value: bytes = yield Read(LEGACY_VERSION)
    return int.from_bytes(value[:2], "little")


def _order(characteristic: str, order: bytes) -> Transfer[None]:
    """Write an order at which the board breaks the connection, perhaps before it has answered."""
    try:
        yield Request(characteristic, order)
    except (LinkLostError, LinkTimeoutError):
        return


def _confirmed(characteristic: str, limits: Limits) -> Transfer[None]:
    yield Subscribe(characteristic)
    yield from _order(characteristic, ENTER)
    try:
        note = yield Wait(limits.answer)
    except LinkLostError:
        return
    if note is None or len(note.data) < 3 or note.data[0] != CONFIRMATION:  # noqa: PLR2004 - code, order, result
        return
    if note.data[2] != CONFIRMED:
        why = REFUSALS.get(note.data[2], f"code {note.data[2]}")
        raise RefusedError(
            f"the board does not start its bootloader: {why}",
            remedy="pair with it first" if note.data[2] == 7 else "try again later",  # noqa: PLR2004 - as above
            reason="not-bonded" if note.data[2] == 7 else "refused",  # noqa: PLR2004 - as above
            permanent=False,
        )
