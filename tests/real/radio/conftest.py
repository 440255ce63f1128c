"""A bluetoothd of tests in the place of the machine's, and a radio that finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.radio.bluetooth import radio as radio_module
from tests.real.radio.bluetoothd import FakeBluetoothd, address, bluetoothd, let_bleak_go
from tests.real.simulator.bluetooth.rig import SETTINGS


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBluetoothd]:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address(tmp_path))
    monkeypatch.setattr(radio_module, "FIRST_PAUSE", 0.01)
    async with bluetoothd(tmp_path) as served:
        served.add_adapter()
        yield served
        await let_bleak_go()


@pytest.fixture
async def radio(daemon: FakeBluetoothd) -> AsyncIterator[BluetoothRadio]:
    assert daemon.objects
    async with BluetoothRadio(SETTINGS) as opened:
        yield opened
