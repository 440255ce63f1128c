"""The exceptions of bleak and of what is under it, as ours: each platform says the same in other words."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from enmctl.errors import BoardError, EnmError, RadioError
from enmctl.radio.bluetooth.errors import (
    AttError,
    BondNeededError,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
    PairingError,
)

if TYPE_CHECKING:
    from bleak.exc import BleakBluetoothNotAvailableReason

ON_LINUX = sys.platform == "linux"

BLUEZ = "org.bluez.Error."
DBUS = "org.freedesktop.DBus.Error."

ATTRIBUTE_NOT_FOUND = 0x0A
INSUFFICIENT_AUTHORIZATION = 0x08

BOND_NEEDED = frozenset({0x05, 0x0C, 0x0F})
"""Insufficient authentication, key size and encryption (Bluetooth Core, Vol 3, Part F, 3.4.1.1)."""

PAIRING_GIVEN_UP = frozenset(BLUEZ + word for word in ("AuthenticationCanceled", "AuthenticationTimeout"))
PAIRING_FAILED = PAIRING_GIVEN_UP | {BLUEZ + "AuthenticationFailed", BLUEZ + "AuthenticationRejected"}

GONE = frozenset({BLUEZ + "NotConnected", BLUEZ + "DoesNotExist", DBUS + "UnknownObject", DBUS + "UnknownMethod"})
"""What BlueZ says of a device that it disconnected from, or removed."""

BUSY = frozenset({BLUEZ + "InProgress", BLUEZ + "Busy"})

BUSY_WORDS = ("in progress", "command disallowed", "abort-by-local", "busy")
"""How controllers, kernels and systems say that they are doing something else just now."""

LOST_WORDS = ("not connected", "disconnected", "connection was lost", "unreachable", "connection closed")

DAEMON_AWAY = frozenset({DBUS + "ServiceUnknown", DBUS + "NameHasNoOwner", DBUS + "NoReply", DBUS + "Disconnected"})

ATT_CODE = re.compile(
    r"(?:ATT error:? |Protocol Error )0x(?P<hex>[0-9A-Fa-f]{2})|CBATTErrorDomain Code=(?P<decimal>\d{1,3})"
)
"""How BlueZ, Windows and macOS put an ATT error into words."""

NO_ADAPTER = RadioError(
    "there is no Bluetooth adapter",
    remedy="plug one in, or unblock it (rfkill); in a container share the host's /run/dbus",
    reason="no-adapter",
)


def translated(error: BaseException, board: str, *, is_lost: bool = False) -> EnmError:
    """What an exception of bleak means.

    Args:
        error: the exception.
        board: the board that it is about, as people know it.
        is_lost: whether the connection is known to have ended, whatever the exception says.
    """
    if is_lost and not isinstance(error, RadioError):
        return _lost(board)
    if (unusable := unusable_radio(error)) is not None:
        return unusable
    if isinstance(error, EnmError):
        return error
    if isinstance(error, TimeoutError):
        return NoAnswerError(f"{board} did not answer in time", remedy="bring it nearer and try again")
    return _translated_bleak(error, board)


def _translated_bleak(error: BaseException, board: str) -> EnmError:
    from bleak.exc import (
        BleakCharacteristicNotFoundError,
        BleakDBusError,
        BleakDeviceNotFoundError,
        BleakGATTProtocolError,
    )

    match error:
        case BleakGATTProtocolError():
            return _att_error(board, int(error.code))
        case BleakDeviceNotFoundError():
            return NotHeardError(f"{board} is not heard any more", remedy="bring it nearer and try again")
        case BleakCharacteristicNotFoundError():
            return AttError(f"{board} has no characteristic {error.char_specifier}", ATTRIBUTE_NOT_FOUND)
        case BleakDBusError():
            return _translated_dbus(error.dbus_error, _details(error), board)
        case _:
            return _translated_words(str(error) or type(error).__name__, board)


def _translated_dbus(name: str, details: str, board: str) -> EnmError:
    if name in PAIRING_FAILED:
        return _no_pairing(board, in_time=name not in PAIRING_GIVEN_UP)
    if name == BLUEZ + "NotPermitted" and "paired" in details.lower():
        return BondNeededError(f"{board} wants to be paired with first")
    if name == BLUEZ + "NotAuthorized":
        return _att_error(board, INSUFFICIENT_AUTHORIZATION)
    if name in GONE or name in BUSY:
        return _lost(board) if name in GONE else _busy(board)
    return _translated_words(details or name, board)


def _translated_words(words: str, board: str) -> EnmError:
    if (found := ATT_CODE.search(words)) is not None:
        return _att_error(board, int(found["hex"], 16) if found["hex"] else int(found["decimal"]))
    lower = words.lower()
    if any(word in lower for word in LOST_WORDS):
        return _lost(board)
    if any(word in lower for word in BUSY_WORDS):
        return _busy(board)
    if lower == "operation failed":
        return AttError(f"{board} refused an access", None)
    return BoardError(f"{board}: {words}", reason="bluetooth")


def is_unclear(error: BaseException) -> bool:
    """Whether it may be that the link was just lost, and that this is the first word of it."""
    return isinstance(error, AttError) and error.code is None and not isinstance(error, BondNeededError)


def unusable_radio(error: BaseException) -> RadioError | None:
    """Why Bluetooth cannot be used on this machine, where that is what an exception says; else None."""
    from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError

    if isinstance(error, RadioError):
        return error
    if isinstance(error, BleakBluetoothNotAvailableError):
        return _not_available(error.reason, str(error.args[0]))
    if isinstance(error, BleakDBusError):
        return _unusable_dbus(error.dbus_error, _details(error))
    return _unusable_bus(error) or _unusable_words(str(error))


def _unusable_bus(error: BaseException) -> RadioError | None:
    """What sockets and dbus-fast raise where D-Bus cannot be reached."""
    if not ON_LINUX:
        return None
    if isinstance(error, PermissionError):
        return _not_permitted(str(error))
    is_of_system = isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError)
    if is_of_system or type(error).__module__.startswith("dbus_fast"):
        return _no_dbus(str(error) or type(error).__name__)
    return None


def _unusable_dbus(name: str, details: str) -> RadioError | None:
    if name in DAEMON_AWAY:
        return RadioError(
            "bluetoothd does not run, which Bluetooth on Linux needs",
            remedy="install bluez and start it: systemctl enable --now bluetooth",
            reason="no-bluetoothd",
        )
    if name == DBUS + "AccessDenied":
        return _not_permitted(details)
    if name == BLUEZ + "NotReady" or (name == BLUEZ + "Failed" and "not powered" in details.lower()):
        return _powered_off()
    return None


def _unusable_words(words: str) -> RadioError | None:
    if re.match(r"adapter '\w+' not found", words):
        return RadioError(
            f"there is no Bluetooth {words.removesuffix(' not found')}",
            remedy="set ENM_BLUETOOTH_ADAPTER to one that `bluetoothctl list` or `hciconfig` shows, or unset it",
            reason="no-adapter",
        )
    if words.startswith("Bleak requires BlueZ"):
        return RadioError("bluetoothd is too old", remedy="update bluez to 5.55 or newer", reason="old-bluez")
    return None


def _not_available(reason: BleakBluetoothNotAvailableReason, words: str) -> RadioError:
    name = reason.name
    if name == "NO_BLUETOOTH":
        return RadioError(NO_ADAPTER.message, remedy=NO_ADAPTER.remedy, reason=NO_ADAPTER.reason)
    if name == "NO_BLE_CENTRAL_ROLE":
        return RadioError(
            "the Bluetooth adapter is too old for Low Energy", remedy="use one of version 4.0 or newer", reason="no-ble"
        )
    if name == "POWERED_OFF":
        return _powered_off()
    if name.startswith("DENIED"):
        return _not_permitted(words)
    return RadioError(f"Bluetooth cannot be used here ({words})", reason="radio")


def _powered_off() -> RadioError:
    return RadioError(
        "the Bluetooth adapter is switched off",
        remedy="switch it on; on Linux: bluetoothctl power on",
        reason="powered-off",
    )


def _not_permitted(words: str) -> RadioError:
    return RadioError(
        f"Bluetooth is not allowed to this program ({words})" if words else "Bluetooth is not allowed to this program",
        remedy="allow it in the system's settings; on Linux the user must be in the group bluetooth",
        reason="not-permitted",
    )


def _no_dbus(words: str) -> RadioError:
    return RadioError(
        f"the system D-Bus cannot be reached, through which Bluetooth works on Linux ({words})",
        remedy="start it; in a container share the host's /run/dbus",
        reason="no-dbus",
    )


def _att_error(board: str, code: int) -> AttError:
    if code in BOND_NEEDED:
        return BondNeededError(f"{board} wants to be paired with first", code)
    return AttError(f"{board} answered with ATT error 0x{code:02X}", code)


def _lost(board: str) -> LinkLostError:
    return LinkLostError(f"the connection to {board} was lost", remedy="bring it nearer and try again")


def _no_pairing(board: str, *, in_time: bool) -> PairingError:
    if in_time:
        return PairingError(f"{board} did not want to pair", remedy="switch it to pairing mode and try again")
    return PairingError(f"pairing with {board} was given up", remedy="try again", permanent=False)


def _busy(board: str) -> NoAnswerError:
    busy = NoAnswerError(f"the Bluetooth adapter was busy and did not connect to {board}", remedy="try again")
    busy.reason = "radio-busy"
    return busy


def _details(error: Any) -> str:
    """The words of a D-Bus error, as they came."""
    return str(error.args[1]) if len(error.args) > 1 else ""
