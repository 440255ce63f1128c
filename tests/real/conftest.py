"""What tests of several rooms stand on: a D-Bus of their own, and a small NetworkManager on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.real.radio.hotspot.fake_network_manager import FakeNetworkManager
    from tests.real.radio.private_bus import PrivateBus


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[PrivateBus]:
    """A D-Bus daemon that nobody else talks to."""
    from tests.real.radio.private_bus import private_bus

    async with private_bus(tmp_path) as bus:
        yield bus


@pytest.fixture
async def manager(bus: PrivateBus) -> AsyncIterator[FakeNetworkManager]:
    """A NetworkManager without devices."""
    from tests.real.radio.hotspot.fake_network_manager import FakeNetworkManager

    async with FakeNetworkManager(bus.address) as manager:
        yield manager
