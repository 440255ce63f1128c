"""Every platform says what went wrong in other words; here they become ours."""

from __future__ import annotations

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from dbus_fast import AuthError

from enmctl.errors import BoardError, EnmError, ExitCode, RadioError
from enmctl.radio.bluetooth import (
    AttError,
    BondNeededError,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
    PairingError,
)
from enmctl.radio.bluetooth import translation as translation_module
from enmctl.radio.bluetooth.translation import is_unclear, translated

BOARD = "BBC micro:bit [zavit]"


def bluez(name: str, *details: str) -> BleakDBusError:
    return BleakDBusError(name if "." in name else f"org.bluez.Error.{name}", list(details))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BleakGATTProtocolError(0xFD), 0xFD),
        (BleakGATTProtocolError(0x0E), 0x0E),
        (BleakGATTProtocolError(0x81), 0x81),
        (BleakCharacteristicNotFoundError("1531"), 0x0A),
        (bluez("Failed", "Operation failed with ATT error: 0x0e"), 0x0E),
        (bluez("Failed", "Operation failed with ATT error: 0xfd (CCCD)"), 0xFD),
        (bluez("NotAuthorized", "Operation Not Authorized"), 0x08),
        (bluez("Failed", "Operation failed"), None),
        (
            BleakError("Could not write value b'' to characteristic 000E: Protocol Error 0x03: Write Not Permitted"),
            0x03,
        ),
        (BleakError('Failed to write: Error Domain=CBATTErrorDomain Code=13 "The value\'s length is invalid."'), 13),
    ],
)
def test_an_att_error_has_its_code_where_the_platform_tells_it(error: Exception, code: int | None) -> None:
    ours = translated(error, BOARD)
    assert type(ours) is AttError
    assert ours.code == code
    assert BOARD in ours.message
    assert ours.exit_code is ExitCode.BOARD
    assert is_unclear(ours) == (code is None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BleakGATTProtocolError(0x05), 0x05),
        (BleakGATTProtocolError(0x0C), 0x0C),
        (BleakGATTProtocolError(0x0F), 0x0F),
        (bluez("NotPermitted", "Not paired"), None),
        (bluez("Failed", "Operation failed with ATT error: 0x0f"), 0x0F),
        (BleakError('Error Domain=CBATTErrorDomain Code=15 "Encryption is insufficient."'), 0x0F),
        (BleakError("Could not read characteristic handle 14: Protocol Error 0x05: Insufficient Authentication"), 0x05),
    ],
)
def test_that_a_bond_is_needed_is_told_apart(error: Exception, code: int | None) -> None:
    ours = translated(error, BOARD)
    assert type(ours) is BondNeededError
    assert ours.code == code
    assert ours.reason == "bond-needed"
    assert not is_unclear(ours)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (TimeoutError(), NoAnswerError, "no-answer"),
        (bluez("InProgress", "Operation already in progress"), NoAnswerError, "radio-busy"),
        (bluez("Failed", "le-connection-abort-by-local"), NoAnswerError, "radio-busy"),
        (BleakError("Command Disallowed"), NoAnswerError, "radio-busy"),
        (BleakDeviceNotFoundError(BOARD, "was not found"), NotHeardError, "not-heard"),
        (bluez("NotConnected", "Not Connected"), LinkLostError, "link-lost"),
        (bluez("Failed", "Not connected"), LinkLostError, "link-lost"),
        (bluez("org.freedesktop.DBus.Error.UnknownObject", "no such object"), LinkLostError, "link-lost"),
        (bluez("DoesNotExist", "Does Not Exist"), LinkLostError, "link-lost"),
        (BleakError("Not connected"), LinkLostError, "link-lost"),
        (BleakError("failed to discover services, device disconnected"), LinkLostError, "link-lost"),
        (BleakError("Could not get GATT services: Unreachable"), LinkLostError, "link-lost"),
        (bluez("AuthenticationFailed", "Authentication Failed"), PairingError, "pairing-failed"),
        (bluez("AuthenticationCanceled", "Authentication Canceled"), PairingError, "pairing-failed"),
        (bluez("AuthenticationTimeout", "Authentication Timeout"), PairingError, "pairing-failed"),
        (bluez("Failed", "Software caused connection abort"), BoardError, "bluetooth"),
        (BleakError(), BoardError, "bluetooth"),
        (ValueError("odd"), BoardError, "bluetooth"),
    ],
)
def test_each_failure_is_told_apart(error: Exception, kind: type[EnmError], reason: str) -> None:
    ours = translated(error, BOARD)
    assert type(ours) is kind
    assert ours.reason == reason
    assert BOARD in ours.message
    assert "\n" not in str(ours)


def test_pairing_that_was_given_up_may_be_tried_again_and_a_refusal_not() -> None:
    assert not translated(bluez("AuthenticationCanceled"), BOARD).permanent
    assert translated(bluez("AuthenticationRejected"), BOARD).permanent


REASONS = BleakBluetoothNotAvailableReason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BleakBluetoothNotAvailableError("x", REASONS.NO_BLUETOOTH), "no-adapter"),
        (BleakBluetoothNotAvailableError("x", REASONS.NO_BLE_CENTRAL_ROLE), "no-ble"),
        (BleakBluetoothNotAvailableError("x", REASONS.POWERED_OFF), "powered-off"),
        (BleakBluetoothNotAvailableError("x", REASONS.DENIED_BY_USER), "not-permitted"),
        (BleakBluetoothNotAvailableError("x", REASONS.DENIED_BY_SYSTEM), "not-permitted"),
        (BleakBluetoothNotAvailableError("x", REASONS.DENIED_BY_UNKNOWN), "not-permitted"),
        (BleakBluetoothNotAvailableError("x", REASONS.UNKNOWN), "radio"),
        (BleakError("adapter 'hci7' not found"), "no-adapter"),
        (BleakError("Bleak requires BlueZ >= 5.55."), "old-bluez"),
        (bluez("NotReady", "Resource Not Ready"), "powered-off"),
        (bluez("org.freedesktop.DBus.Error.ServiceUnknown", "The name is not activatable"), "no-bluetoothd"),
        (bluez("org.freedesktop.DBus.Error.NameHasNoOwner", "no owner"), "no-bluetoothd"),
        (bluez("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"), "not-permitted"),
        (FileNotFoundError(2, "No such file or directory"), "no-dbus"),
        (ConnectionRefusedError(111, "Connection refused"), "no-dbus"),
        (ConnectionResetError(104, "Connection reset by peer"), "no-dbus"),
        (PermissionError(13, "Permission denied"), "not-permitted"),
        (EOFError(), "no-dbus"),
        (AuthError("rejected"), "no-dbus"),
    ],
)
def test_a_machine_without_usable_bluetooth_says_why_and_what_to_do(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation_module, "ON_LINUX", True)
    ours = translated(error, BOARD)
    assert type(ours) is RadioError
    assert ours.reason == reason
    assert ours.exit_code is ExitCode.RADIO
    assert ours.remedy or reason == "radio"
    assert "\n" not in str(ours)


def test_where_there_is_no_dbus_an_error_of_the_system_is_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation_module, "ON_LINUX", False)
    assert type(translated(OSError("[WinError -2147483629] The object has been closed"), BOARD)) is BoardError


@pytest.mark.parametrize(
    "error", [TimeoutError(), BleakError("odd"), bluez("Failed", "Operation failed"), OSError("x")]
)
def test_once_the_link_is_known_to_be_lost_nothing_else_counts(error: Exception) -> None:
    assert type(translated(error, BOARD, is_lost=True)) is LinkLostError


def test_what_is_ours_already_stays_as_it_is() -> None:
    for ours in (AttError("x", 1), RadioError("x"), PairingError("x")):
        assert translated(ours, BOARD) is ours
    gone = RadioError("x")
    assert translated(gone, BOARD, is_lost=True) is gone
