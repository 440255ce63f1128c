"""The codes of the secure DFU protocol, and what they mean (SDK 15: ``nrf_dfu_req_handler.h``)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Op(IntEnum):
    """The first byte on the control point."""

    CREATE = 1
    RECEIPTS = 2
    CRC = 3
    EXECUTE = 4
    SELECT = 6


class Kind(IntEnum):
    """What an object is."""

    COMMAND = 1
    DATA = 2


class Result(IntEnum):
    """The third byte of an answer."""

    INVALID = 0
    SUCCESS = 1
    NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    NO_RESOURCES = 4
    INVALID_OBJECT = 5
    UNSUPPORTED_TYPE = 7
    NOT_PERMITTED = 8
    FAILED = 0xA
    EXTENDED = 0xB


RESULTS: Final = {
    Result.INVALID: "the request is not valid",
    Result.NOT_SUPPORTED: "it does not know this request",
    Result.INVALID_PARAMETER: "a parameter is wrong",
    Result.NO_RESOURCES: "that is too big for it",
    Result.INVALID_OBJECT: "the object is not right",
    Result.UNSUPPORTED_TYPE: "it does not know this type of object",
    Result.NOT_PERMITTED: "that is not its turn",
    Result.FAILED: "it failed",
}

EXTENDED: Final = {
    0x00: "it gives no reason",
    0x02: "the command has a wrong format",
    0x03: "it does not know the command",
    0x04: "the init packet lacks its type, hardware or firmware version",
    0x05: "the firmware's version is lower than what it has",
    0x06: "the firmware is for another hardware version",
    0x07: "the firmware is for another SoftDevice",
    0x08: "the init packet is not signed",
    0x09: "the init packet has a hash of a kind that it does not take",
    0x0A: "the hash cannot be computed",
    0x0B: "the signature is of a kind that it does not take",
    0x0C: "the image or its signature does not verify",
    0x0D: "it has no room for it",
}
"""The byte behind ``Result.EXTENDED`` (nrf_dfu_req_handler.h, nrf_dfu_ext_error_code_t)."""

BAD_INIT: Final = frozenset({Result.EXTENDED, Result.INVALID_OBJECT, Result.FAILED})
"""How bootloaders say that they do not take an init packet; those of SDK 12 have no extended errors."""

DOING: Final = {
    Op.CREATE: "a new object",
    Op.RECEIPTS: "the request for receipts",
    Op.CRC: "the question for the CRC",
    Op.EXECUTE: "the end of an object",
    Op.SELECT: "the question for its state",
}


def words_of(result: int, rest: bytes) -> str:
    """What a result means, with the bytes that follow it, as a clause."""
    if result == Result.EXTENDED:
        code = rest[0] if rest else 0
        return EXTENDED.get(code, f"extended error 0x{code:02X}")
    try:
        return RESULTS[Result(result)]
    except (ValueError, KeyError):
        return f"result 0x{result:02X}"
