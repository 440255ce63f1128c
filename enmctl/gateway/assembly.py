"""Putting a gateway together from its parts, and taking it apart in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from enmctl.boards.contract import BoardDriver
from enmctl.firmware.cache import AssetCache
from enmctl.gateway.crew import Crew
from enmctl.gateway.device_log import DeviceLog
from enmctl.gateway.discovery import Discovery
from enmctl.gateway.gateway import Gateway
from enmctl.gateway.hotspot import HotspotKeeper
from enmctl.gateway.memories import StoredMemories
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.gateway.signals import Signals
from enmctl.gateway.telling import Teller
from enmctl.gateway.update_lock import UpdateLock
from enmctl.gateway.workers import Gate, Workers
from enmctl.models import Radio
from enmctl.settings import Settings
from enmctl.sources.contract import Source
from enmctl.store import StoreThread


@asynccontextmanager
async def assembled(
    settings: Settings,
    source: Source,
    drivers: Mapping[str, BoardDriver],
    *,
    reach: Reach = OUTSIDE,
) -> AsyncGenerator[Gateway]:
    """A gateway whose parts run and whose loop does not turn yet; its radios are still closed.

    Raises:
        StoreError: the database cannot be used.
        EnmError: the source can never work as it is, says its ``check``.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(StoreThread(settings.database, history_limit=settings.history_limit))
        await stack.enter_async_context(source)
        signals, gate = Signals(), Gate()
        lock = UpdateLock([settings.lock_file, settings.balena_lock_file], store)
        await lock.clear_leftovers(at_start=True)
        places = {Radio.WIFI: settings.wifi_concurrency, Radio.BLUETOOTH: settings.bluetooth_concurrency}
        workers = Workers(places, lock=lock, gate=gate, ended=signals.wake)
        discovery = Discovery(
            settings,
            drivers,
            changed=signals.wake,
            is_busy=workers.is_busy,
            reach=reach,
        )
        memories = StoredMemories(store)
        for driver in drivers.values():
            driver.surroundings.locate = discovery.locate
            driver.surroundings.memories = memories

        def now() -> float:
            return crew.now()

        teller = Teller(source, now=now, gone=signals.note_gone)
        device_log = DeviceLog(store, source, level=settings.dependent_log_level, now=now)
        crew = Crew(
            settings=settings,
            store=store,
            source=source,
            drivers=drivers,
            cache=AssetCache(settings.assets_directory),
            discovery=discovery,
            hotspot=HotspotKeeper(settings, discovery, changed=signals.wake, enabled=not reach.loopback_only),
            teller=teller,
            device_log=device_log,
            workers=workers,
            gate=gate,
            lock=lock,
            signals=signals,
            downloads=asyncio.Semaphore(settings.download_concurrency),
            reach=reach,
        )
        if (check := getattr(source, "check", None)) is not None:
            await check()
        if (watch := getattr(source, "watch", None)) is not None:
            watch(signals.refetch)
        gateway = Gateway(crew)
        await gateway.begin()
        device_log.start()
        stack.push_async_callback(device_log.stop)
        teller.start()
        stack.push_async_callback(teller.stop)
        stack.push_async_callback(gateway.end)
        yield gateway
