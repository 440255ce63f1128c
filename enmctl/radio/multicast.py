"""What is asked of zeroconf: sockets that are open or a reason why not, and answers without its exceptions."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from enmctl.errors import RadioError

if TYPE_CHECKING:
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_http._tcp.local."
ADDRESS_RECORD, POINTER_RECORD, ADDRESS_6_RECORD = 1, 12, 28  # RFC 1035, 3.2; RFC 3596
INTERNET = 1
REPLACED_LIFETIME = 1
"""Seconds that a record has left once its name was announced with another one (RFC 6762, 10.2)."""
PLAIN_QUERY = 0
LABEL_MOST = 63
"""Bytes of one label of a name (RFC 1035, 2.3.4)."""

_log = logging.getLogger(__name__)


def quiet_zeroconf() -> None:
    """Keep zeroconf's own log off the terminal: what it has to say is told at debug level, as ours."""
    logger = logging.getLogger("zeroconf")
    logger.propagate = False
    if not any(isinstance(handler, _ToDebug) for handler in logger.handlers):
        logger.addHandler(_ToDebug())


class _ToDebug(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("zeroconf: %s", record.getMessage())


async def open_multicast(listen_on: tuple[str, ...] | None) -> AsyncZeroconf:
    """Take part in multicast DNS on the interfaces of these addresses, or on all.

    Raises:
        RadioError: that cannot be done on this machine.
    """
    from zeroconf import Error

    quiet_zeroconf()
    try:
        opened = _create(listen_on)
        try:
            await _started(opened)
            if opened.zeroconf.engine.senders:
                return opened
        except BaseException:
            await opened.async_close()
            raise
        await opened.async_close()
    except (OSError, RuntimeError, Error) as error:
        raise _no_multicast(str(error)) from error
    raise _no_multicast("no interface takes part")


async def _started(opened: AsyncZeroconf) -> None:
    """Wait until it has begun.

    Whoever waits for that and is cancelled would cancel it with the wait; zeroconf could not be closed any more then,
    and would keep its sockets. So it is waited for in a task of its own, to its end.
    """
    starting = asyncio.ensure_future(opened.zeroconf.async_wait_for_start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.gather(starting, return_exceptions=True)
        raise


def interface_numbers() -> dict[str, frozenset[int]]:
    """The numbers of the interfaces that have each address now; an address that names its interface is left out."""
    import ifaddr  # zeroconf's own way to the interfaces

    found: dict[str, set[int]] = {}
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError as error:
        _log.debug("this machine does not tell its interfaces: %s", error)
        return {}
    for adapter in adapters:
        for each in adapter.ips:
            address, _, zone = (each.ip, 0, 0) if isinstance(each.ip, str) else each.ip
            if adapter.index is not None and not zone:
                found.setdefault(address, set()).add(adapter.index)
    return {address: frozenset(numbers) for address, numbers in found.items()}


async def take_in_interfaces(
    zeroconf: AsyncZeroconf, listen_on: tuple[str, ...] | None, known: Mapping[str, frozenset[int]]
) -> Mapping[str, frozenset[int]]:
    """Join the interfaces that came since, and leave those that went. Never raises.

    zeroconf tells interfaces by their addresses alone: one that was made anew with the address of the old one is left
    first, so that it is joined.

    Returns:
        the interfaces by address as they are now, which is what is ``known`` the next time.
    """
    from zeroconf import Error, InterfaceChoice

    here = None if listen_on is None else [address for address in listen_on if _is_here(address)]
    if here == []:
        return known
    try:
        now = interface_numbers()
        renewed = {address for address in known.keys() & now.keys() if known[address] != now[address]}
        if here is None:
            if renewed:
                kept = [address for address in now.keys() - renewed if ":" not in address]
                await zeroconf.async_update_interfaces(kept)
            await zeroconf.async_update_interfaces(InterfaceChoice.All)
        else:
            if not renewed.isdisjoint(here):
                await zeroconf.async_update_interfaces([address for address in here if address not in renewed])
            await zeroconf.async_update_interfaces(here)
    except (OSError, RuntimeError, Error) as error:
        _log.debug("the interfaces could not be looked at again: %s", error)
        return known
    return now


def ask_who_is_there(zeroconf: Zeroconf) -> None:
    """Ask for all instances, naming those known, so that only the others answer (RFC 6762, 7.1). Never raises."""
    from zeroconf import (  # type: ignore[attr-defined] # not in __all__
        DNSOutgoing,
        DNSQuestion,
        Error,
        current_time_millis,
    )

    now = current_time_millis()
    query = DNSOutgoing(PLAIN_QUERY)
    query.add_question(DNSQuestion(SERVICE_TYPE, POINTER_RECORD, INTERNET))
    for record in zeroconf.cache.get_all_by_details(SERVICE_TYPE, POINTER_RECORD, INTERNET):
        if not record.is_stale(now):
            query.add_answer_at_time(record, now)
    try:
        zeroconf.async_send(query)
    except Error as error:
        _log.debug("nobody could be asked who is there: %s", error)


def can_be_asked_for(full_name: str) -> bool:
    """Whether a name can be written to a packet; zeroconf reads one of bytes that are no UTF-8 as a longer one."""
    return all(len(label.encode("utf-8", "replace")) <= LABEL_MOST for label in full_name.split("."))


def drop_records(zeroconf: Zeroconf, full_name: str) -> None:
    """Have zeroconf remember nothing of an instance, so that no later query names it as known."""
    pointers = zeroconf.cache.get_all_by_details(SERVICE_TYPE, POINTER_RECORD, INTERNET)
    named = [pointer for pointer in pointers if getattr(pointer, "alias", None) == full_name]
    zeroconf.cache.async_remove_records([*named, *zeroconf.cache.entries_with_name(full_name)])


def remembered(zeroconf: Zeroconf, full_name: str) -> AsyncServiceInfo | None:
    """All that must be known of an instance, where it is known without asking."""
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(SERVICE_TYPE, full_name)
        return info if info.load_from_cache(zeroconf) else None
    except Exception:  # noqa: BLE001 - whatever a stranger's record brings zeroconf to raise, browsing goes on
        _log.debug("what is advertised as %r makes no sense", full_name, exc_info=True)
        return None


async def details(zeroconf: Zeroconf, full_name: str, seconds: float) -> AsyncServiceInfo | None:
    """What an instance tells of itself in time, complete or not; None where it makes no sense.

    It is asked to tell everybody: what it tells one asker alone may go to whoever else has the port on this machine.
    """
    from zeroconf import DNSQuestionType
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(SERVICE_TYPE, full_name)
        await info.async_request(zeroconf, seconds * 1000, DNSQuestionType.QM)
    except Exception:  # noqa: BLE001 - whatever a stranger's record brings zeroconf to raise, browsing goes on
        _log.debug("what is advertised as %r makes no sense", full_name, exc_info=True)
        return None
    return info


def current_addresses(zeroconf: Zeroconf, info: AsyncServiceInfo) -> list[str]:
    """The instance's addresses, the newest first, without those that an announcement has replaced.

    zeroconf lets a replaced address live for another second, and begins that second anew with each announcement; a
    board that moved makes one a second.
    """
    from zeroconf import DNSAddress, IPVersion  # type: ignore[attr-defined] # not in __all__

    records = [
        record
        for kind in (ADDRESS_RECORD, ADDRESS_6_RECORD)
        for record in zeroconf.cache.get_all_by_details(info.server or "", kind, INTERNET)
    ]
    replaced = {
        record.address for record in records if isinstance(record, DNSAddress) and record.ttl <= REPLACED_LIFETIME
    }
    found = info.ip_addresses_by_version(IPVersion.All)
    return [str(address) for address in found if address.packed not in replaced]


def _create(listen_on: tuple[str, ...] | None) -> AsyncZeroconf:
    from zeroconf import InterfaceChoice, IPVersion
    from zeroconf.asyncio import AsyncZeroconf

    if listen_on is None:
        try:
            return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.All)
        except OSError:
            return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)  # a kernel without IPv6
    here = [address for address in listen_on if _is_here(address)]
    if not here:
        raise RadioError(
            f"none of the addresses in ENM_MDNS_INTERFACES ({', '.join(listen_on)}) is on this machine",
            remedy="set it to an address that `ip address` shows, or to all",
            reason="no-interface",
        )
    return AsyncZeroconf(interfaces=here)


def _no_multicast(why: str) -> RadioError:
    return RadioError(
        f"multicast DNS cannot be used here ({why})",
        remedy="connect a network, or name a board by its address; in a container use the host's network",
        reason="no-multicast",
    )


def _is_here(address: str) -> bool:
    """Whether one of this machine's interfaces has the address."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError:
        return False
    return True
