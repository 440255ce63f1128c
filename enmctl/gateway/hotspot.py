"""Keeping the gateway's own Wi-Fi network up for as long as it is wanted; that it cannot be stops nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from enmctl.boards.contract import BoardDriver
from enmctl.errors import RadioError
from enmctl.gateway.discovery import Discovery
from enmctl.models import Radio
from enmctl.radio.hotspot.hotspot import Hotspot, Network
from enmctl.radio.hotspot.leases import Leases
from enmctl.radio.hotspot.profile import KNOWN_PASSWORD, has_default_password
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

RETRY_FIRST, RETRY_MOST = 2.0, 300.0
"""Seconds between two tries at the least; the wait doubles up to the most, and ends early when something changed."""

STEADY = 60.0
"""A hotspot that was up for so many seconds starts the waits anew."""

LEASES_INTERVAL = 5.0
"""Seconds between two looks at the leases; the file tells nobody that it changed."""

NOT_EQUIPPED = frozenset({"no-bus", "no-network-manager", "no-wifi-interface"})
"""Reasons that are no fault of a machine that was not asked for a hotspot."""


def is_for_wifi(board_types: Iterable[str | None], drivers: Mapping[str, BoardDriver]) -> bool:
    """Whether boards of these types are reached over Wi-Fi, so that a hotspot is of use."""
    wifi = {board_type for board_type, driver in drivers.items() if driver.radio is Radio.WIFI}
    return not wifi.isdisjoint(board_types)


class HotspotKeeper:
    """Raises the hotspot when it is wanted, again whenever it went, and takes it down when it is not.

    Args:
        settings: whether there may be one, and what it is.
        discovery: listens in it for boards.
        changed: called, in the loop, when it has come or gone.
        enabled: False keeps it from ever being raised.
    """

    def __init__(
        self, settings: Settings, discovery: Discovery, *, changed: Callable[[], None], enabled: bool = True
    ) -> None:
        self._settings = settings
        self._discovery = discovery
        self._changed = changed
        self._enabled = enabled and settings.hotspot != "off"
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._tried = asyncio.Event()
        self._delay = RETRY_FIRST
        self._warned = False
        self._said = ""
        self._problem: RadioError | None = None
        self._network: Network | None = None

    @property
    def network(self) -> Network | None:
        """What is up now."""
        return self._network

    def want(self, wanted: bool) -> None:
        """Have it raised, or taken down; at once, and without waiting for it."""
        if wanted and self._enabled and self._task is None:
            self._tried.clear()
            self._delay = RETRY_FIRST
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="hotspot")
            self._task.add_done_callback(self._has_ended)
        elif not wanted and self._task is not None:
            self._end()

    async def let_go(self) -> None:
        """Take it down, unless it is to be kept; returns once its radio is free."""
        if self._task is not None:
            self._end()
            await asyncio.wait([self._task])

    async def tried(self) -> None:
        """Wait until it is up, or a first try has failed; where none is wanted, not at all."""
        if self._task is not None:
            await self._tried.wait()

    def facts(self) -> dict[str, Any]:
        """How it stands, as plain JSON values."""
        network = self._network
        return {
            "enabled": self._settings.hotspot != "off",
            "wanted": self._task is not None and not self._ending,
            "up": network is not None,
            "ssid": None if network is None else network.name,
            "interface": None if network is None else network.interface,
            "address": network.addresses[0] if network is not None and network.addresses else None,
            "problem": None if self._problem is None else str(self._problem),
        }

    def _end(self) -> None:
        if self._task is not None and not self._ending:
            self._ending = True
            self._task.cancel()

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._task, self._ending, self._problem = None, False, None
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("the hotspot is not looked after any more; this is a bug in enmctl", exc_info=error)
        self._changed()

    async def _keep(self) -> None:
        while True:
            try:
                async with Hotspot.opened(self._settings) as hotspot:
                    await self._serve(hotspot)
            except RadioError as problem:
                self._say(problem)
            await asyncio.sleep(self._next_delay())

    async def _serve(self, hotspot: Hotspot) -> None:
        """Keep it up until the bus is gone."""
        while hotspot.is_open:
            try:
                network = await hotspot.up()
            except RadioError as problem:
                self._say(problem)
            else:
                if await self._hold(hotspot, network) >= STEADY:
                    self._delay = RETRY_FIRST
                    continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_delay()):
                    await hotspot.until_changed()

    async def _hold(self, hotspot: Hotspot, network: Network) -> float:
        """Look after a network that is up; returns, once it went, for how long it was."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        reading = loop.create_task(self._read_leases(network.interface))
        try:
            await self._has_come(network)
            why = await hotspot.until_lost(network)
            LOG.warning("the hotspot on %s went down: %s", network.interface, why)
        except asyncio.CancelledError:
            if not self._settings.hotspot_keep:
                await hotspot.lower(network)
                LOG.info("the hotspot is down, and %s is free", network.interface)
            raise
        finally:
            reading.cancel()
            self._network = None
            self._discovery.take_leases(())
            await self._discovery.follow_hotspot(())
        self._changed()
        return loop.time() - since

    async def _has_come(self, network: Network) -> None:
        self._network, self._problem, self._said = network, None, ""
        at = f", {network.addresses[0]}" if network.addresses else ""
        LOG.info("the hotspot %r is up on %s (channel %d%s)", network.name, network.interface, network.channel, at)
        if has_default_password(self._settings) and not self._warned:
            self._warned = True
            LOG.warning("%s", KNOWN_PASSWORD)
        await self._discovery.follow_hotspot([address.partition("/")[0] for address in network.addresses])
        self._tried.set()
        self._changed()

    async def _read_leases(self, interface: str) -> None:
        leases = Leases(interface)
        while True:
            self._discovery.take_leases(leases.read())
            await asyncio.sleep(LEASES_INTERVAL)

    def _next_delay(self) -> float:
        delay, self._delay = self._delay, min(2 * self._delay, RETRY_MOST)
        return delay

    def _say(self, problem: RadioError) -> None:
        """Say what keeps it from being up, once for as long as it is the same."""
        self._problem = problem
        self._tried.set()
        if str(problem) != self._said:
            self._said = str(problem)
            unasked = self._settings.hotspot == "auto" and problem.reason in NOT_EQUIPPED
            LOG.log(
                logging.INFO if unasked else logging.WARNING,
                "no hotspot, so boards are looked for on the networks that are there: %s",
                problem,
            )
