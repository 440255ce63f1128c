"""Where programs and commands work on boards: a place on the radio, what must be remembered, and who is to be asked.

One gateway keeps a database; work by hand beside it shares that database, its update lock and its radios.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from enmctl.errors import BusyError
from enmctl.gateway.at_work import gateway_at_work
from enmctl.gateway.jobs import Target
from enmctl.gateway.lookout import Bench
from enmctl.gateway.memories import StoredMemories
from enmctl.gateway.update_lock import UpdateLock
from enmctl.models import GatewayStatus, Radio
from enmctl.settings import Settings
from enmctl.store import StoreThread


class Workbench:
    """The bench that all work of one command or program shares.

    Args:
        bench: the drivers, settings and devices.
        stack: what is opened on the way is closed with it.

    Attributes:
        bench: the same, with a database once one was needed.
    """

    def __init__(self, bench: Bench, stack: AsyncExitStack) -> None:
        self.bench = bench
        self._stack = stack
        self._opening = asyncio.Lock()
        self._places = {
            Radio.WIFI: asyncio.Semaphore(bench.settings.wifi_concurrency),
            Radio.BLUETOOTH: asyncio.Semaphore(bench.settings.bluetooth_concurrency),
        }
        self._lock: UpdateLock | None = None

    @asynccontextmanager
    async def place(self, target: Target) -> AsyncGenerator[None]:
        """A place on the board's radio, on which so many are worked on at a time as the settings allow.

        Raises:
            BusyError: a gateway is at work here.
        """
        await asyncio.to_thread(refuse_beside_gateway, self.bench.settings)
        async with self._places[target.board.radio]:
            yield

    async def remember(self, target: Target, *, transfer: bool) -> None:
        """Open the database where there are devices, and where a transfer must be remembered to be gone on with.

        Raises:
            StoreError: it cannot be used.
        """
        async with self._opening:
            is_remembered = transfer and target.board.radio is Radio.BLUETOOTH
            if self.bench.store is not None or not (self.bench.devices or is_remembered):
                return
            store = await self._stack.enter_async_context(StoreThread(self.bench.settings.database))
            for driver in self.bench.drivers.values():
                driver.surroundings.memories = StoredMemories(store)
            self.bench = replace(self.bench, store=store)

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        """Keep a Supervisor from stopping us in the middle of a transfer, on a machine that is a gateway.

        One that another command of this gateway holds is shared, or let be where it cannot be: it does the same.

        Raises:
            BusyError: somebody else holds the update lock.
        """
        async with self._opening:
            lock = await self._taken_lock()
        try:
            yield
        finally:
            if lock is not None:
                await lock.release()

    async def _taken_lock(self) -> UpdateLock | None:
        store, settings = self.bench.store, self.bench.settings
        if store is None or not self.bench.devices:
            return None
        if self._lock is None:
            self._lock = UpdateLock([settings.lock_file, settings.balena_lock_file], store, joins=True)
        if await self._lock.try_acquire():
            return self._lock
        if await self._lock.is_ours():
            return None
        locked = self._lock.foreign() or settings.lock_file
        raise BusyError(f"somebody else holds the update lock {locked}", remedy="try again when it is gone")


def refuse_beside_gateway(settings: Settings) -> None:
    """See that no gateway uses the radios.

    Raises:
        BusyError: one does, or is only starting.
        GatewayError: it does not answer.
        StoreError: this user may not look.
    """
    at_work = gateway_at_work(settings)
    if at_work is None:
        return
    found, client = at_work
    if client is None or client.status().current is GatewayStatus.RUNNING:
        raise BusyError(
            f"{found} has the radios of this machine",
            remedy='have it pause: enmctl pause, or in a program: async with enmctl.paused("its name")',
            reason="gateway-runs",
        )
