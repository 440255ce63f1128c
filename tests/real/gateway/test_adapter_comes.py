"""An adapter that was not there when its radio was to be opened: its coming is told, and not waited for in vain."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from enmctl.boards.installed import drivers
from enmctl.gateway import opening as opening_module
from enmctl.gateway.discovery import Discovery
from enmctl.models import Radio
from tests.real.gateway.rig import WITHIN
from tests.real.radio.bluetoothd import address, bluetoothd, let_bleak_go, needs_daemon
from tests.real.simulator.bluetooth.rig import SETTINGS

pytestmark = needs_daemon

PASS = 0.2
"""Seconds between two passes."""


async def test_an_adapter_that_is_plugged_is_used_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address(tmp_path))
    monkeypatch.setattr(opening_module, "RETRY_FIRST", 0.1)
    news = asyncio.Event()
    discovery = Discovery(SETTINGS, drivers(SETTINGS), changed=news.set, is_busy=lambda _: False)
    async with bluetoothd(tmp_path) as daemon, asyncio.timeout(WITHIN):
        discovery.want({Radio.BLUETOOTH})
        while not discovery.problems:
            news.clear()
            await news.wait()
        discovery._openings[Radio.BLUETOOTH]._wait = opening_module.RETRY_MOST
        daemon.plug()
        while Radio.BLUETOOTH not in discovery.open_radios:
            news.clear()
            discovery.want({Radio.BLUETOOTH})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), PASS)
        assert not discovery.problems
        await discovery.stop()
        assert not daemon.is_discovering
        await let_bleak_go()
