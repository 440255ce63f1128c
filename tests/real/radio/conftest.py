"""A bluetoothd of tests in the place of the machine's, and a radio that finds it; a browser, and who answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.radio import mdns as mdns_module
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.radio.bluetooth import radio as radio_module
from enmctl.simulator.mdns import LoopbackMdns
from tests.real.radio.bluetoothd import FakeBluetoothd, address, bluetoothd, let_bleak_go
from tests.real.radio.mdns_watched import Watched
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


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    # RFC 6762, 10.2: an address younger than a second is not taken for an old one, so it may take some looks.
    monkeypatch.setattr(mdns_module, "REFRESH_INTERVAL", 0.2)
    watched = Watched()
    async with watched.browser:
        yield watched


@pytest.fixture
async def responder() -> AsyncIterator[LoopbackMdns]:
    async with LoopbackMdns() as responder:
        yield responder
