"""The parts of a running gateway that its work shares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from enmctl.boards.contract import BoardDriver
from enmctl.errors import EnmError
from enmctl.firmware.cache import AssetCache
from enmctl.gateway.device_log import DeviceLog
from enmctl.gateway.discovery import Discovery
from enmctl.gateway.hotspot import HotspotKeeper
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.gateway.signals import Signals
from enmctl.gateway.telling import Teller
from enmctl.gateway.update_lock import UpdateLock
from enmctl.gateway.workers import Gate, Workers
from enmctl.models import Application, BoardKey, Desired, Device, DeviceStatus, Step
from enmctl.settings import Settings
from enmctl.sources.contract import Source
from enmctl.store import StoreThread


@dataclass(slots=True)
class Live:
    """How far the work on a board is."""

    status: DeviceStatus
    progress: int | None = None


class Watcher:
    """Sees the work on boards go by; this one looks away."""

    def step(self, key: BoardKey, step: Step) -> None:
        """A piece of news of an update, the last with its proof."""

    def failed(self, key: BoardKey, error: EnmError) -> None:
        """An attempt failed."""


@dataclass(slots=True)
class Crew:
    """Everything that work on boards needs.

    ``live`` has a row for each board in hand. ``came_at`` tells when this run of the gateway saw a device (by its uuid)
    come to its commit, by the loop's clock. ``reach`` is what it may touch.
    """

    settings: Settings
    store: StoreThread
    source: Source
    drivers: Mapping[str, BoardDriver]
    cache: AssetCache
    discovery: Discovery
    hotspot: HotspotKeeper
    teller: Teller
    device_log: DeviceLog
    workers: Workers
    gate: Gate
    lock: UpdateLock
    signals: Signals
    downloads: asyncio.Semaphore
    reach: Reach = OUTSIDE
    desired: Desired = field(default_factory=Desired)
    live: dict[BoardKey, Live] = field(default_factory=dict)
    came_at: dict[str, float] = field(default_factory=dict)
    watcher: Watcher = field(default_factory=Watcher)
    now: Callable[[], float] = time.time

    def application_of(self, device: Device) -> Application:
        """The device's application; made up from the device while the source has not named it."""
        known = self.desired.applications.get(device.application_id)
        return known or Application(device.application_id, "", device.board_type, device.target_commit)

    def config_of(self, device: Device) -> dict[str, str]:
        """The application's config with the device's own over it."""
        return {**self.application_of(device).config, **(device.target_config or {})}
