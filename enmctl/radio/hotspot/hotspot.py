"""One Wi-Fi network of the gateway's own: raised, watched, taken down. Everything waits for signals, nothing polls.

Unless it is to be kept, the network ends with the connection to the bus, however this process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from enmctl.errors import RadioError
from enmctl.radio.hotspot.choosing import choose
from enmctl.radio.hotspot.network_manager import (
    ACTIVE,
    DEVICE,
    DOWN,
    PATH,
    SERVICE,
    UP,
    Activated,
    Active,
    ConnectionSettings,
    Device,
    DeviceState,
    NetworkManager,
    Overview,
    Profile,
)
from enmctl.radio.hotspot.profile import (
    SUFFIX,
    Wanted,
    connection_settings,
    names_of,
    quietest_channel,
    wanted,
)
from enmctl.radio.hotspot.reasons import NO_BUS, STOPPED, check_allowed, failed, no_network_manager, reason_of, refused
from enmctl.radio.system_bus import DBUS, LOST, PROPERTIES, BusAnswerError, Signal, SystemBus
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

RAISE_LIMIT: Final = 45.0
"""Seconds for a network to come up; 4 to 6 are usual, and a slow adapter takes 20."""

DOWN_LIMIT: Final = 10.0
"""Seconds for one to go down."""

START_LIMIT: Final = 30.0
"""Seconds for NetworkManager to have started."""

News = asyncio.Queue[Signal]


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is up. ``addresses`` are the gateway's in it, with their prefix length; "" is not known."""

    name: str
    interface: str
    addresses: tuple[str, ...]
    channel: int
    kept: bool
    device: str = ""
    profile: str = ""
    active: str = ""
    bound: bool = False


class Hotspot:
    """The hotspot over an open connection; made by ``opened``."""

    def __init__(self, bus: SystemBus, settings: Settings) -> None:
        self._bus = bus
        self._manager = NetworkManager(bus)
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncGenerator[Hotspot]:
        """Connected to the bus; a network that is not kept goes down at the end.

        Raises:
            RadioError: there is no bus here, or it does not let us in.
        """
        async with SystemBus.opened(settings) as bus:
            hotspot = cls(bus, settings)
            await hotspot._manager.subscribe()
            yield hotspot

    @property
    def is_open(self) -> bool:
        """Whether the bus is still there."""
        return self._bus.is_open

    async def up(self) -> Network:
        """Raise the network, or take up the one that was kept; returns once it is up.

        Raises:
            RadioError: it cannot be raised here, or not now.
        """
        network = wanted(self._settings)
        try:
            with self._bus.signals() as news:
                overview = await self._ready(news)
                check_allowed(await self._manager.permissions())
                profiles = await self._manager.profiles()
                if network.keep and (kept := await self._take_up(network, overview, profiles, news)) is not None:
                    return kept
                await self._remove(ours(profiles, network.names), overview, news)
                return await self._raise(network, profiles, news)
        except BusAnswerError as error:
            raise refused(error) from error

    async def rehearse(self) -> tuple[str, str]:
        """See that the network could be raised, and touch nothing; NetworkManager's version and the interface.

        Raises:
            RadioError: it could not be.
        """
        wanted(self._settings)
        try:
            with self._bus.signals() as news:
                overview = await self._ready(news)
                check_allowed(await self._manager.permissions())
                return overview.version, choose(overview, self._settings.hotspot_interface).interface
        except BusAnswerError as error:
            raise refused(error) from error

    async def down(self) -> Sequence[str]:
        """Take down whatever hotspot of this name there is, whoever raised it; the interfaces that are free now.

        Raises:
            RadioError: NetworkManager cannot be asked, or says no.
        """
        try:
            if not await self._manager.is_there():
                raise no_network_manager()
            with self._bus.signals() as news:
                found = ours(await self._manager.profiles(), names_of(self._settings))
                return await self._remove(found, await self._manager.overview(), news, limit=DOWN_LIMIT)
        except BusAnswerError as error:
            raise refused(error) from error

    async def lower(self, network: Network) -> None:
        """Take down a network that was raised here, and wait until its interface is free; never raises RadioError."""
        with contextlib.suppress(RadioError), self._bus.signals() as news:
            if network.bound:
                await self._manager.deactivate(network.active)
            else:
                await self._manager.delete(network.profile)
            await self._until_idle(network.device, news, DOWN_LIMIT)

    async def current(self) -> Network | None:
        """The hotspot of this name that is up now, whoever raised it.

        Raises:
            RadioError: NetworkManager cannot be asked.
        """
        try:
            if not await self._manager.is_there():
                raise no_network_manager()
            overview = await self._manager.overview()
            for profile in ours(await self._manager.profiles(), names_of(self._settings)):
                active = overview.use_of(profile.path)
                if active is not None and active.state == UP:
                    return _network(profile, active, overview)
        except BusAnswerError as error:
            raise refused(error) from error
        return None

    async def until_lost(self, network: Network) -> str:
        """Wait until a network is not up any more; why, in words."""
        with self._bus.signals() as news:
            if (why := await self._why_down(network)) != "":
                return why
            reason = 0
            while True:
                signal = await news.get()
                if signal is LOST:
                    return NO_BUS
                if _has_new_owner(signal):
                    return "NetworkManager was restarted" if signal.body[2] else STOPPED
                if _is_state_of(signal, DEVICE, network.device):
                    reason = int(signal.body[2])
                elif _is_state_of(signal, ACTIVE, network.active) and signal.body[0] != UP:
                    reason = reason or await self._manager.device_reason(network.device)
                    return reason_of(reason, network.interface).words
                elif _concerns(signal, network.device):
                    return "the adapter is gone"

    async def until_changed(self) -> bool:
        """Wait for something after which raising it may work where it did not; False where the bus is gone."""
        with self._bus.signals() as news:
            while True:
                signal = await news.get()
                if signal is LOST:
                    return False
                if _may_help(signal):
                    return True

    async def _why_down(self, network: Network) -> str:
        """Why a network is not up now, in words, or nothing."""
        try:
            return "" if await self._manager.active_state(network.active) == UP else "it is gone"
        except RadioError as error:
            return NO_BUS if error.reason == "no-bus" else STOPPED

    async def _ready(self, news: News) -> Overview:
        """How everything stands, once NetworkManager has started."""
        if not await self._manager.is_there():
            raise no_network_manager()
        overview = await self._manager.overview()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                while overview.starting:
                    _check_there(await news.get())
                    overview = await self._manager.overview()
        return overview

    async def _take_up(
        self, network: Wanted, overview: Overview, profiles: Sequence[Profile], news: News
    ) -> Network | None:
        """The network that an earlier run kept, where it is as it should be and is up or on its way."""
        for profile in ours(profiles, network.names):
            active = overview.use_of(profile.path)
            if active is None or not profile.autoconnect or profile.ssid != network.ssid:
                continue
            if self._settings.hotspot_interface not in ("", profile.interface):
                continue
            if await self._manager.password(profile.path) != network.password:
                continue
            device = overview.device(active.devices[0]) if active.devices else None
            if device is not None:
                await self._until_up(active.path, device, news)
                return await self._described(profile.path, active.path)
        return None

    async def _remove(
        self, profiles: Sequence[Profile], overview: Overview, news: News, *, limit: float | None = None
    ) -> Sequence[str]:
        """Delete profiles, and wait until the interfaces that they were on are idle; which those were."""
        freed = []
        for profile in profiles:
            active = overview.use_of(profile.path)
            await self._manager.delete(profile.path)
            LOG.debug("removed the old hotspot profile %s", profile.name)
            for path in () if active is None else active.devices:
                await self._until_idle(path, news, self._settings.hotspot_delete_delay if limit is None else limit)
                device = overview.device(path)
                freed.append(path if device is None else device.interface)
        return freed

    async def _raise(self, network: Wanted, profiles: Sequence[Profile], news: News) -> Network:
        device = choose(await self._manager.overview(), self._settings.hotspot_interface)
        name = network.name
        if any(profile.name == name and profile.mode != "ap" for profile in profiles):
            name += SUFFIX
            LOG.warning(
                "NetworkManager has a profile %r that is no hotspot: it is left alone, and the hotspot's is %r",
                *network.names,
            )
        settings = connection_settings(
            network, name=name, interface=device.interface, channel=quietest_channel(device.access_points)
        )
        made = await self._activate(settings, device, news, keep=network.keep)
        try:
            await self._until_up(made.active, device, news)
            return await self._described(made.profile, made.active, bound=made.bound)
        except BaseException:
            await self._undo(made, device, news)
            raise

    async def _activate(self, settings: ConnectionSettings, device: Device, news: News, *, keep: bool) -> Activated:
        """Have the network brought up; whoever is cancelled meanwhile still learns what to undo, and undoes it."""
        asking = asyncio.ensure_future(self._manager.activate(settings, device.path, keep=keep))
        try:
            return await asyncio.shield(asking)
        except BusAnswerError as error:
            raise refused(error, device.interface) from error
        except asyncio.CancelledError:
            with contextlib.suppress(RadioError):
                await self._undo(await asking, device, news)
            raise

    async def _undo(self, made: Activated, device: Device, news: News) -> None:
        """Leave nothing of a network that did not come up."""
        with contextlib.suppress(RadioError):
            await self._manager.delete(made.profile)
            await self._until_idle(device.path, news, DOWN_LIMIT)

    async def _until_up(self, active: str, device: Device, news: News) -> None:
        try:
            async with asyncio.timeout(RAISE_LIMIT):
                reason = 0
                while (state := await self._manager.active_state(active)) not in (UP, DOWN):
                    signal = LOST
                    while not _is_state_of(signal, ACTIVE, active):
                        signal = _check_there(await news.get())
                        reason = _failure(signal, device.path) or reason
                if state == DOWN:
                    while not news.empty():
                        reason = _failure(news.get_nowait(), device.path) or reason
                    raise failed(reason or await self._manager.device_reason(device.path), device.interface)
        except TimeoutError:
            raise RadioError(
                f"the hotspot did not come up on {device.interface} within {RAISE_LIMIT:g} s",
                remedy="see why: journalctl -u NetworkManager -u wpa_supplicant",
                reason="hotspot-failed",
            ) from None

    async def _until_idle(self, device: str, news: News, limit: float) -> None:
        """Wait until nothing uses a device, or it is gone; no longer than the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while (here := (await self._manager.overview()).device(device)) and here.state > DeviceState.FREE:
                    while not _concerns(_check_there(await news.get()), device):
                        pass

    async def _described(self, profile: str, active: str, *, bound: bool = False) -> Network:
        """A network that has just come up, with its addresses."""
        overview = await self._manager.overview()
        shown = next((each for each in await self._manager.profiles() if each.path == profile), None)
        use = next((each for each in overview.active if each.path == active), None)
        if shown is None or use is None:
            raise RadioError("the hotspot went down at once", remedy="see journalctl -u NetworkManager")
        return _network(shown, use, overview, bound=bound)


def ours(profiles: Sequence[Profile], names: Collection[str]) -> list[Profile]:
    """The profiles that are a hotspot of one of these names, from whenever."""
    return [profile for profile in profiles if profile.mode == "ap" and profile.name in names]


def _network(profile: Profile, active: Active, overview: Overview, *, bound: bool = False) -> Network:
    device = overview.device(active.devices[0]) if active.devices else None
    return Network(
        name=profile.ssid.decode("utf-8", "backslashreplace"),
        interface=profile.interface if device is None else device.interface,
        addresses=active.addresses,
        channel=profile.channel,
        kept=profile.autoconnect,
        device="" if device is None else device.path,
        profile=profile.path,
        active=active.path,
        bound=bound,
    )


def _is_state_of(signal: Signal, interface: str, path: str) -> bool:
    return signal.member == "StateChanged" and signal.interface == interface and signal.path == path


def _failure(signal: Signal, device: str) -> int:
    """The reason for which a device failed, 0 where the signal does not say that."""
    return int(signal.body[2]) if _is_state_of(signal, DEVICE, device) and signal.body[0] == DeviceState.FAILED else 0


def _concerns(signal: Signal, device: str) -> bool:
    """Whether a device changed its state, or went."""
    is_gone = signal.member == "DeviceRemoved" and signal.body[:1] == (device,)
    return is_gone or _is_state_of(signal, DEVICE, device)


def _has_new_owner(signal: Signal) -> bool:
    return signal.member == "NameOwnerChanged" and signal.interface == DBUS and signal.body[0] == SERVICE


def _check_there(signal: Signal) -> Signal:
    """The signal, unless it says that NetworkManager or the bus is gone."""
    if signal is LOST:
        raise RadioError("the connection to D-Bus is gone", remedy="see that the system's D-Bus runs", reason="no-bus")
    if _has_new_owner(signal):
        raise no_network_manager()
    return signal


def _may_help(signal: Signal) -> bool:
    """Whether raising a hotspot may work after it where it did not before; what our own tries bring about is not it."""
    if _has_new_owner(signal):
        return bool(signal.body[2])
    if signal.interface == PROPERTIES and signal.path == PATH:
        return "PrimaryConnection" in signal.body[1]
    if signal.interface == DEVICE and signal.member == "StateChanged":
        new, old, _ = signal.body
        return bool(new == DeviceState.FREE and old != DeviceState.FAILED)
    return signal.interface == SERVICE and signal.member == "DeviceAdded"
