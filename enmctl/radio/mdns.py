"""Boards on the network, as multicast DNS shows them.

``MdnsBrowser`` listens for as long as it lives; ``scan`` looks for a while. Both show instances of ``_http._tcp``, each
with all its addresses, and leave it to a board driver to say which of them are boards. Whatever strangers on the
network advertise, nothing here raises, grows without bound or reaches the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from enmctl.errors import SettingError
from enmctl.radio.multicast import (
    SERVICE_TYPE,
    ask_who_is_there,
    can_be_asked_for,
    current_addresses,
    details,
    drop_records,
    interface_numbers,
    open_multicast,
    remembered,
    take_in_interfaces,
)

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    from enmctl.settings import Settings

LOOPBACK = "127.0.0.1"
MAX_SERVICES = 2048
"""How many instances are kept; zeroconf remembers 10 000 records, and a board has four or five."""
MAX_RESOLVING = 64
"""How many instances are asked for their details at once."""
MAX_ASKING_AGAIN = 4
"""How many instances are asked for afresh at once; each takes sockets of its own."""
RESOLVE_TIMEOUT = 3.0
"""Seconds until an instance that gives no details is left alone for a while."""
REFRESH_INTERVAL = 30.0
"""Seconds between two looks for new interfaces, missed boards and old addresses that no announcement took away."""

_log = logging.getLogger(__name__)

OnChange = Callable[[str, "MdnsService | None"], None]


@dataclass(frozen=True, slots=True)
class MdnsService:
    """One instance of ``_http._tcp`` as it is advertised now.

    ``name`` is the instance alone, without the service type and as advertised; ``properties`` is its TXT record.
    """

    name: str
    host: str
    port: int
    addresses: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)


def interfaces(settings: Settings) -> tuple[str, ...] | None:
    """The addresses whose interfaces are listened on, or None for all there are.

    Raises:
        SettingError: ENM_MDNS_INTERFACES holds something that is no address.
    """
    words = [word for word in (part.strip() for part in settings.mdns_interfaces.split(",")) if word]
    if not words or "all" in (word.lower() for word in words):
        return None
    for word in words:
        try:
            ipaddress.ip_address(word)
        except ValueError:
            raise SettingError(
                f"ENM_MDNS_INTERFACES has {word!r}, which is no address",
                remedy="name addresses of this machine with commas between, like 10.42.0.1, or all",
            ) from None
    return tuple(words)


def decode_properties(properties: Mapping[bytes, bytes | None]) -> dict[str, str]:
    """A TXT record as text: what is no UTF-8 is replaced, a name alone has the value "", no name is no entry."""
    return {
        name.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace")
        for name, value in properties.items()
        if name
    }


def usable_addresses(advertised: list[str], *, loopback_only: bool) -> tuple[str, ...]:
    """The advertised addresses that one board can be reached at, in their order and each once.

    An address of everybody or of nobody is none: to connect to 0.0.0.0 is to connect to oneself.
    """
    usable = []
    for text in dict.fromkeys(advertised):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if address.is_multicast or address.is_unspecified or text == "255.255.255.255":
            continue
        if address.is_loopback or not loopback_only:
            usable.append(text)
    return tuple(usable)


def instance_name(full_name: str) -> str | None:
    """The instance alone, or None where the name is not of an instance of the service."""
    name = full_name[: -len(SERVICE_TYPE) - 1]
    return name if name and full_name.lower() == f"{name}.{SERVICE_TYPE}".lower() else None


class MdnsBrowser:
    """Shows what is advertised on the network while its context lasts.

    Args:
        settings: where to listen (ENM_MDNS_INTERFACES).
        on_change: called in the loop with an instance's name and what it is now, None once it took its leave.
        loopback_only: listen on 127.0.0.1 whatever the settings say, and drop every address that is not loopback.
        also_on: addresses on whose interfaces to listen besides, see ``listen_also_on``.

    Raises:
        RadioError: on entering, where multicast cannot be used at all.
        SettingError: ENM_MDNS_INTERFACES is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: OnChange | None = None,
        *,
        loopback_only: bool = False,
        also_on: Sequence[str] = (),
    ) -> None:
        self._always_on = (LOOPBACK,) if loopback_only else interfaces(settings)
        self._also_on = tuple(also_on)
        self._loopback_only = loopback_only
        self._on_change = on_change
        self._services: dict[str, MdnsService] = {}
        self._advertised: dict[str, str] = {}
        self._pending: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._resolving = 0
        self._doubtful: set[str] = set()
        self._asking_again = asyncio.Semaphore(MAX_ASKING_AGAIN)
        self._full_said = False
        self._fault_said = False
        self._interfaces: Mapping[str, frozenset[int]] = {}
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    @property
    def services(self) -> Mapping[str, MdnsService]:
        """What is advertised now, by instance name; a view that stays current."""
        return MappingProxyType(self._services)

    async def __aenter__(self) -> Self:
        from zeroconf import DNSQuestionType
        from zeroconf.asyncio import AsyncServiceBrowser

        self._interfaces = interface_numbers()
        self._zeroconf = await open_multicast(self._listen_on)
        # A first question for unicast answers would lose them to whoever else on this machine has port 5353 open.
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._heard], question_type=DNSQuestionType.QM
        )
        self._start(self._keep_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._on_change = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            await self._zeroconf.async_close()

    @property
    def _listen_on(self) -> tuple[str, ...] | None:
        if self._always_on is None or self._loopback_only:
            return self._always_on
        return (*self._always_on, *self._also_on)

    async def listen_also_on(self, addresses: Sequence[str]) -> None:
        """Listen on the interfaces of these addresses besides, on those of the last call no more, and ask who is there.

        For interfaces that come and go: one that has just come is listened on at once, and not at the next look. Where
        all interfaces are listened on, no address need be named.
        """
        self._also_on = tuple(addresses)
        await self._look_around()

    async def query_again(self, name: str, *, seconds: float = RESOLVE_TIMEOUT) -> MdnsService | None:
        """Ask the network afresh for one instance, whatever is remembered of it.

        A record outlives its board by up to 75 minutes, and a board that moved may not be heard saying so.

        Returns:
            what answered, or None where nobody did in time; then what is shown stays as it was.

        Raises:
            RadioError: multicast cannot be used any more.
        """
        full_name = f"{name}.{SERVICE_TYPE}"
        async with self._asking_again:
            fresh = await open_multicast(self._listen_on)
            try:
                info = await details(fresh.zeroconf, full_name, seconds)
                service = None if info is None else self._service(fresh.zeroconf, name, info)
            finally:
                await fresh.async_close()
        if service is not None and full_name.lower() in self._advertised:
            self._show(service)
        return service

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """What zeroconf calls, by keyword, for each piece of news."""
        del service_type
        if not can_be_asked_for(name):
            drop_records(zeroconf, name)
            return
        if instance_name(name) is None:
            return
        if state_change.name == "Removed":
            self._forget(name)
        elif self._remember(name):
            self._look(name)

    def _remember(self, full_name: str) -> bool:
        """Whether the instance is one of those that are kept."""
        if full_name.lower() not in self._advertised:
            if len(self._advertised) >= MAX_SERVICES:
                if not self._full_said:
                    self._full_said = True
                    _log.warning("more than %d services are advertised; further ones are not looked at", MAX_SERVICES)
                return False
            self._advertised[full_name.lower()] = full_name
        return True

    def _forget(self, full_name: str) -> None:
        known = self._advertised.pop(full_name.lower(), None)
        self._pending.pop(full_name.lower(), None)
        self._doubtful.discard(full_name.lower())
        if known is not None:
            self._hide(instance_name(known) or "")

    def _look(self, full_name: str) -> None:
        """Show what is known of an instance already, or have the rest asked for."""
        assert self._zeroconf is not None  # noqa: S101 - nothing is heard before it is open
        if (info := remembered(self._zeroconf.zeroconf, full_name)) is not None:
            self._take(self._zeroconf.zeroconf, full_name, info)
            return
        self._pending[full_name.lower()] = full_name
        if self._resolving < MAX_RESOLVING:
            self._resolving += 1
            self._start(self._resolve_pending())

    async def _resolve_pending(self) -> None:
        assert self._zeroconf is not None  # noqa: S101 - nothing is heard before it is open
        try:
            while self._pending:
                full_name = self._pending.pop(next(iter(self._pending)))
                info = await details(self._zeroconf.zeroconf, full_name, RESOLVE_TIMEOUT)
                if info is not None:
                    self._take(self._zeroconf.zeroconf, full_name, info)
        finally:
            self._resolving -= 1

    def _take(self, zeroconf: Zeroconf, full_name: str, info: AsyncServiceInfo) -> None:
        """Show the instance, unless it left meanwhile or told too little; what was shown before then stays.

        Of several addresses one may be where the board was before, so it is looked at again later.
        """
        known = self._advertised.get(full_name.lower())
        name = None if known is None else instance_name(known)
        if name is None:
            return
        advertised = current_addresses(zeroconf, info)
        if len(advertised) > 1:
            self._doubtful.add(full_name.lower())
        else:
            self._doubtful.discard(full_name.lower())
        service = self._service(zeroconf, name, info)
        if service is not None:
            self._show(service)
        elif info.port and advertised:
            self._hide(name)

    def _service(self, zeroconf: Zeroconf, name: str, info: AsyncServiceInfo) -> MdnsService | None:
        addresses = usable_addresses(current_addresses(zeroconf, info), loopback_only=self._loopback_only)
        if not info.port or not addresses:
            return None
        host = (info.server or "").rstrip(".")
        return MdnsService(name, host, info.port, addresses, decode_properties(info.properties))

    def _show(self, service: MdnsService) -> None:
        if self._services.get(service.name) != service:
            self._services[service.name] = service
            self._tell(service.name, service)

    def _hide(self, name: str) -> None:
        if self._services.pop(name, None) is not None:
            self._tell(name, None)

    def _tell(self, name: str, service: MdnsService | None) -> None:
        """Through the loop, so that a fault of the listener stays the listener's and no packet is lost to it."""
        if self._on_change is not None:
            asyncio.get_running_loop().call_soon(self._call, name, service)

    def _call(self, name: str, service: MdnsService | None) -> None:
        if self._on_change is not None:
            self._on_change(name, service)

    async def _keep_up(self) -> None:
        """Now and then: take in interfaces that came, ask for boards that were missed, and look at what is doubtful.

        Whatever goes wrong with one look is logged once, and the next one comes all the same.
        """
        while True:
            await asyncio.sleep(REFRESH_INTERVAL)
            try:
                await self._look_around()
                self._look_again()
            except Exception:  # noqa: BLE001 - it is logged, and boards go on being looked for
                if not self._fault_said:
                    self._fault_said = True
                    _log.exception("a look around the network failed; this is a bug in enmctl")

    def _look_again(self) -> None:
        """Look at what is doubtful, and at what told too little."""
        for full_name in list(self._advertised.values()):
            if full_name.lower() in self._doubtful or instance_name(full_name) not in self._services:
                self._look(full_name)

    async def _look_around(self) -> None:
        """Take in interfaces that came, leave those that went, and ask for boards that were missed."""
        if self._zeroconf is not None:
            self._interfaces = await take_in_interfaces(self._zeroconf, self._listen_on, self._interfaces)
            ask_who_is_there(self._zeroconf.zeroconf)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def scan(
    settings: Settings,
    seconds: float,
    *,
    until: Callable[[Mapping[str, MdnsService]], bool] | None = None,
    loopback_only: bool = False,
) -> dict[str, MdnsService]:
    """Look around once, for so many seconds or ``until`` what is there is enough.

    Raises:
        RadioError: multicast cannot be used at all.
        SettingError: ENM_MDNS_INTERFACES is wrong.
    """
    enough = asyncio.Event()

    def look(_name: str, _service: MdnsService | None) -> None:
        if until is not None and until(browser.services):
            enough.set()

    async with MdnsBrowser(settings, look, loopback_only=loopback_only) as browser:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await enough.wait()
        return dict(browser.services)
