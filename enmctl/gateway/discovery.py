"""Which boards are there now: the radios that are open, and what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from enmctl.boards.contract import BoardDriver
from enmctl.errors import RadioError
from enmctl.gateway.bluetooth_hearing import BluetoothHearing
from enmctl.gateway.decide import Seen
from enmctl.gateway.opening import RETRY_FIRST, RETRY_MOST, Opening
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.gateway.sightings import Sightings
from enmctl.gateway.wifi_hearing import WifiHearing
from enmctl.models import BoardKey, Device, DiscoveredBoard, Radio
from enmctl.radio.mdns import MdnsService
from enmctl.settings import Settings


class Discovery:
    """The table of boards, kept up to date by each radio that is open.

    Args:
        settings: intervals and limits.
        drivers: a driver a board type.
        changed: called, in the loop, whenever the table changed.
        is_busy: whether a worker has the board in hand.
        reach: what may be listened on.
    """

    def __init__(
        self,
        settings: Settings,
        drivers: Mapping[str, BoardDriver],
        *,
        changed: Callable[[], None],
        is_busy: Callable[[BoardKey], bool],
        reach: Reach = OUTSIDE,
    ) -> None:
        self._settings = settings
        self._radio_of = {board_type: driver.radio for board_type, driver in drivers.items()}
        self._sightings = Sightings(changed)
        of = {radio: {name: driver for name, driver in drivers.items() if driver.radio is radio} for radio in Radio}
        self._bluetooth = BluetoothHearing(
            settings, of[Radio.BLUETOOTH], self._sightings, is_busy=is_busy, open_radio=reach.open_bluetooth
        )
        self._wifi = WifiHearing(
            settings, of[Radio.WIFI], self._sightings, is_busy=is_busy, loopback_only=reach.loopback_only
        )
        self._hearings: Mapping[Radio, WifiHearing | BluetoothHearing] = {
            Radio.WIFI: self._wifi,
            Radio.BLUETOOTH: self._bluetooth,
        }
        # That no interface can be listened on is known in no time, and nobody tells when one can.
        most = {Radio.WIFI: RETRY_FIRST, Radio.BLUETOOTH: RETRY_MOST}
        self._openings = {
            radio: Opening(self._hearings[radio], changed=changed, retry_most=most[radio])
            for radio, found in of.items()
            if found
        }
        if Radio.BLUETOOTH in self._openings:
            self._bluetooth.adapter_changed = self._openings[Radio.BLUETOOTH].hurry

    @property
    def boards(self) -> Mapping[BoardKey, Seen]:
        """The table; it stays current."""
        return self._sightings.boards

    @property
    def open_radios(self) -> Collection[Radio]:
        """The radios that are open now."""
        return [radio for radio, opening in self._openings.items() if opening.opened_at is not None]

    @property
    def problems(self) -> Mapping[Radio, RadioError]:
        """The radios that could not be opened, and why."""
        return {radio: opening.problem for radio, opening in self._openings.items() if opening.problem is not None}

    @property
    def is_listening(self) -> bool:
        """Whether a radio is open now."""
        return bool(self.open_radios)

    @property
    def is_settled(self) -> bool:
        """Whether every radio has listened long enough to call a board that nobody heard offline, or cannot be used."""
        now = asyncio.get_running_loop().time()
        spans = {Radio.WIFI: self._settings.avahi_timeout, Radio.BLUETOOTH: self._settings.bluetooth_long_timeout}
        return self.is_listening and not any(
            opening.is_first_try or (opening.opened_at is not None and now - opening.opened_at < spans[radio])
            for radio, opening in self._openings.items()
        )

    def wanted(self, board_types: Collection[str | None]) -> frozenset[Radio]:
        """The radios that reach boards of these types; Wi-Fi is listened on in any case."""
        radios = {self._radio_of[name] for name in board_types if name in self._radio_of}
        return (frozenset(radios) | {Radio.WIFI}) & self._openings.keys()

    def want(self, radios: Collection[Radio]) -> None:
        """Have radios opened, without waiting for it; see ``Opening``."""
        for radio in radios:
            if radio in self._openings:
                self._openings[radio].want()

    async def start(self, radios: Collection[Radio] = (Radio.WIFI,)) -> None:
        """Open radios; those that are open stay so, and one that cannot be used keeps no other from being opened.

        Raises:
            RadioError: of the first that cannot be used.
        """
        openings = [self._openings[radio] for radio in radios if radio in self._openings]
        tried = await asyncio.gather(*(opening.open() for opening in openings), return_exceptions=True)
        for failed in tried:
            if failed is not None:
                raise failed

    async def stop(self) -> None:
        """Let the radios go and forget what was heard; a radio that is just being opened is let go too."""
        await asyncio.gather(*(opening.close() for opening in self._openings.values()))

    async def listen_for(self, is_meant: Callable[[DiscoveredBoard], bool], seconds: float) -> list[DiscoveredBoard]:
        """What a board is that is meant, anybody's or nobody's; see ``BluetoothHearing.listen_for``."""
        return await self._bluetooth.listen_for(is_meant, seconds)

    async def follow_hotspot(self, addresses: Sequence[str]) -> None:
        """Listen in the hotspot as well, where this machine has these addresses; in none any more without one."""
        if Radio.WIFI in self._openings:
            async with self._openings[Radio.WIFI].lock:
                await self._wifi.listen_also_on(addresses)

    def take_leases(self, clients: Sequence[MdnsService]) -> None:
        """Take up the boards among the hotspot's clients that are not heard; a board that is heard is left alone."""
        self._wifi.take_leases(clients)

    def know(self, devices: Sequence[Device]) -> None:
        """Take note of which boards are devices, so that their bootloaders are known by their addresses."""
        self._bluetooth.devices = {
            device.local_id.upper(): (BoardKey(device.application_id, device.local_id), device.board_type)
            for device in devices
            if device.local_id is not None and self._radio_of.get(device.board_type) is Radio.BLUETOOTH
        }

    @property
    def claim(self) -> Callable[[DiscoveredBoard], DiscoveredBoard]:
        """Says whose a board is; set by a gateway, for its source may know better than the board's firmware."""
        return self._sightings.claim

    @claim.setter
    def claim(self, claim: Callable[[DiscoveredBoard], DiscoveredBoard]) -> None:
        self._sightings.claim = claim

    def reclaim(self) -> None:
        """Have each board asked for anew whose it is."""
        for name, board in self._sightings.changed_hands():
            self._hearings[board.radio].take(name, board)

    def locate(self, key: BoardKey) -> DiscoveredBoard | None:
        """Where a board was heard last."""
        here = self.boards.get(key)
        return None if here is None else here.board

    def confirm(self, key: BoardKey, version: str | None) -> None:
        """Take up what a board was just heard to run, ahead of its next announcement."""
        for place in self._sightings.of(key):
            place.board = replace(place.board, version=version)
        self._sightings.refresh(key)
