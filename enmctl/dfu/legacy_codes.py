"""The codes of the legacy DFU protocol, and what they mean (SDK 11: ``ble_dfu.c``, ``dfu_types.h``)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

VERSION_INIT_NEEDED: Final = 5
"""From version 0.5 (SDK 7) on an init packet is needed, and the image's CRC is checked."""

VERSION_APPLICATION: Final = 1
"""What an application that can start its bootloader has instead of a bootloader's version."""


class Op(IntEnum):
    """The first byte on the control point."""

    START = 1
    INIT = 2
    RECEIVE = 3
    VALIDATE = 4
    ACTIVATE = 5
    RESET = 6
    RECEIVED_SIZE = 7
    RECEIPTS = 8
    ANSWER = 0x10
    RECEIPT = 0x11


class Status(IntEnum):
    """The third byte of an answer."""

    SUCCESS = 1
    INVALID_STATE = 2
    NOT_SUPPORTED = 3
    TOO_BIG = 4
    CRC_ERROR = 5
    FAILED = 6


WORDS: Final = {
    Status.INVALID_STATE: "that is not its turn",
    Status.NOT_SUPPORTED: "it does not support that",
    Status.TOO_BIG: "that is too big for it",
    Status.CRC_ERROR: "the CRC is wrong",
    Status.FAILED: "it failed",
}

DOING: Final = {
    Op.START: "the start",
    Op.INIT: "the init packet",
    Op.RECEIVE: "the data",
    Op.VALIDATE: "the check of the image",
    Op.RECEIVED_SIZE: "the question how much it has",
    Op.RECEIPTS: "the request for receipts",
}


def words_of(status: int) -> str:
    """What a status means, as a clause."""
    try:
        return WORDS[Status(status)]
    except (ValueError, KeyError):
        return f"status {status}"
