"""The Bluetooth of macOS and Windows, where bleak pairs, or the system does."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError

from enmctl.errors import RadioError
from enmctl.radio.bluetooth import PairingError
from enmctl.radio.bluetooth.this_machine import PlatformBackend

ADDRESS = "E7:12:34:56:78:9A"


class Client:
    address = ADDRESS

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def pair(self) -> None:
        if self.error is not None:
            raise self.error


async def pair(error: Exception | None) -> None:
    await PlatformBackend().pair(cast("Any", Client(error)), None)


@pytest.mark.parametrize(
    "words",
    [
        "Could not pair with device: REQUIRED_HANDLER_NOT_REGISTERED",
        "Device does not support pairing",
        "Failure trying to pair with device!",
    ],
)
async def test_windows_says_what_to_do_where_it_does_not_pair(words: str) -> None:
    with pytest.raises(PairingError, match=ADDRESS) as caught:
        await pair(BleakError(words))
    assert words in caught.value.message
    assert "Bluetooth settings" in caught.value.remedy


async def test_a_system_that_pairs_by_itself_and_one_without_bluetooth_are_told_apart() -> None:
    await pair(None)
    await pair(NotImplementedError())
    with pytest.raises(RadioError):
        await pair(BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF))
