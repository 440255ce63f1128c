"""Advertising simulated boards on loopback, many from one place, and leaving stale records behind as dead boards do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from enmctl.errors import UsageError
from enmctl.radio.mdns import LOOPBACK
from enmctl.radio.multicast import SERVICE_TYPE, open_multicast

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

ANNOUNCEMENT_GAPS = (0.25, 0.25, 0.25, 1.0, 1.0, 1.0, 1.0)
"""Seconds between a board's eight announcements. LEAmDNS leaves 1 s between all, after three probes at 250 ms; here the
first come at the probes' pace, so that whoever begins to listen just then need not wait for the next."""


class LoopbackMdns:
    """A multicast DNS responder for any number of names, heard on this machine only.

    It answers with real packets on 127.0.0.1, and needs no root and no network. Names are not probed for conflicts as a
    board would: two boards with one id are made by a suffix to the name of one.

    Raises:
        RadioError: on entering, where even loopback takes no multicast.
    """

    def __init__(self) -> None:
        self._zeroconf: AsyncZeroconf | None = None
        self._records: dict[str, ServiceInfo] = {}
        self._announcing: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._zeroconf = await open_multicast((LOOPBACK,))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened, self._zeroconf = self._opened(), None
        for name in list(self._announcing):
            self._stop_announcing(name)
        if (goodbyes := opened.zeroconf.generate_unregister_all_services()) is not None:
            opened.zeroconf.async_send(goodbyes)
        self._records.clear()
        await opened.async_close()

    def announce(
        self, name: str, port: int, *, address: str = LOOPBACK, properties: Mapping[str, str] | None = None
    ) -> None:
        """Advertise an instance of ``_http._tcp``, at once and whenever somebody asks.

        Raises:
            UsageError: the name is no instance name, or is advertised here already.
        """
        from zeroconf import Error, ServiceInfo

        if name in self._records:
            raise UsageError(f"a board called {name!r} is advertised already", remedy="give this one a name suffix")
        zeroconf = self._opened().zeroconf
        try:
            record = ServiceInfo(
                SERVICE_TYPE,
                f"{name}.{SERVICE_TYPE}",
                port,
                parsed_addresses=[address],
                properties=dict(properties or {}),
                server=f"{name}.local.",
            )
            zeroconf.async_send(zeroconf.generate_service_broadcast(record, None))
        except Error as error:
            raise UsageError(
                f"{name!r} cannot be advertised ({type(error).__name__})", remedy="use a name of at most 63 bytes"
            ) from error
        zeroconf.registry.async_add(record)
        self._records[name] = record
        self._announcing[name] = asyncio.get_running_loop().create_task(self._announce_again(record))

    def forget(self, name: str) -> None:
        """Answer for the name no more, without a word: what others remember of it stays, as of a board that died."""
        if (record := self._records.pop(name, None)) is not None:
            self._stop_announcing(name)
            self._opened().zeroconf.registry.async_remove(record)

    def withdraw(self, name: str) -> None:
        """Answer for the name no more, and say so."""
        if (record := self._records.get(name)) is not None:
            self.forget(name)
            zeroconf = self._opened().zeroconf
            zeroconf.async_send(zeroconf.generate_service_broadcast(record, 0))

    async def _announce_again(self, record: ServiceInfo) -> None:
        zeroconf = self._opened().zeroconf
        for gap in ANNOUNCEMENT_GAPS:
            await asyncio.sleep(gap)
            zeroconf.async_send(zeroconf.generate_service_broadcast(record, None))

    def _stop_announcing(self, name: str) -> None:
        if (announcing := self._announcing.pop(name, None)) is not None:
            announcing.cancel()

    def _opened(self) -> AsyncZeroconf:
        if self._zeroconf is None:
            raise UsageError("the responder is not open", remedy="use it inside its context")
        return self._zeroconf
