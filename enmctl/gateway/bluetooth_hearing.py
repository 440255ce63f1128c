"""Boards within reach of Bluetooth: what they advertise, and whether they still do.

Nothing is asked of them: a board that advertises is there, and one that has not for a while is offline. A board in its
bootloader, or with a program of no application, is known by the address of a device, or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from enmctl.boards.adverts import own_address
from enmctl.boards.contract import BoardDriver
from enmctl.errors import EnmError, RadioError
from enmctl.gateway.reach import OpenRadio
from enmctl.gateway.sightings import Place, Sightings
from enmctl.models import BoardKey, BoardMode, DiscoveredBoard, Radio
from enmctl.settings import Settings

if TYPE_CHECKING:
    from enmctl.radio.bluetooth import Advert, BluetoothRadio

LOG = logging.getLogger(__name__)


PREFIX = "bluetooth "
"""How the places of these boards are called."""


class BluetoothHearing:
    """Hears boards over Bluetooth for as long as it is started.

    Args:
        settings: limits.
        drivers: a driver for each board type that is reached over Bluetooth.
        sightings: where what is heard goes.
        is_busy: whether a worker has the board in hand; a connected board is not heard, and is not gone.
        open_radio: makes the radio.

    Attributes:
        devices: the boards that are devices, by address, with their type; so a bootloader is known again.
        adapter_changed: called, in the loop, when an adapter that could not be used may have come or been switched on.
    """

    def __init__(
        self,
        settings: Settings,
        drivers: Mapping[str, BoardDriver],
        sightings: Sightings,
        *,
        is_busy: Callable[[BoardKey], bool],
        open_radio: OpenRadio,
    ) -> None:
        self._settings = settings
        self._drivers = drivers
        self._sightings = sightings
        self._is_busy = is_busy
        self._open_radio = open_radio
        self._radio: BluetoothRadio | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._waiting: BluetoothRadio | None = None
        self.devices: Mapping[str, tuple[BoardKey, str]] = {}
        self.adapter_changed: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Listen. Raises RadioError where Bluetooth cannot be used on this machine."""
        await self._wait_no_more()
        radio = self._open_radio(self._settings)
        try:
            await radio.__aenter__()
        except RadioError:
            await self._wait_for_adapter()
            raise
        self._radio = radio
        self._stop_listening = radio.listen(self._heard)
        for driver in self._drivers.values():
            driver.surroundings.bluetooth = radio

    async def stop(self) -> None:
        """Let the radio go, and forget what was heard."""
        await self._wait_no_more()
        for driver in self._drivers.values():
            driver.surroundings.bluetooth = None
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        radio, self._radio = self._radio, None
        if radio is not None:
            await radio.__aexit__(None, None, None)
        for name in self._sightings.over(Radio.BLUETOOTH):
            self._sightings.drop(name)

    async def _wait_for_adapter(self) -> None:
        """Be told from now on when the adapter may have come, as far as this machine tells."""
        waiting = self._open_radio(self._settings)
        try:
            await waiting.watch(self.adapter_changed)
        except BaseException as error:
            await waiting.__aexit__(None, None, None)
            if not isinstance(error, EnmError):
                raise
            LOG.debug("nobody tells when the Bluetooth adapter comes: %s", error)
        else:
            self._waiting = waiting

    async def _wait_no_more(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await waiting.__aexit__(None, None, None)

    async def listen_for(self, is_meant: Callable[[DiscoveredBoard], bool], seconds: float) -> list[DiscoveredBoard]:
        """What a board is that is meant, of each type that it may be of; nothing where it is not heard.

        A person has named it, so it need be no application's.

        Raises:
            RadioError: there was no listening in all that time.
        """
        if self._radio is None:
            return []

        def meant(advert: Advert) -> list[DiscoveredBoard]:
            found = (driver.recognise(advert) for driver in self._drivers.values())
            return [board for board in found if board is not None and is_meant(board)]

        advert = await self._radio.heard(lambda advert: bool(meant(advert)), seconds)
        return [] if advert is None else meant(advert)

    def _heard(self, advert: Advert) -> None:
        board = self._recognise(advert)
        if board is None:
            return
        name = f"{PREFIX}{board.local_id}"
        place = self._sightings.places.get(name)
        if self._sightings.said_at(name) != board or (place is not None and not place.online):
            self.take(name, board)
        elif place is not None:
            place.heard_at = asyncio.get_running_loop().time()

    def take(self, name: str, board: DiscoveredBoard) -> None:
        """Take up what says at a place that it is a board; it is online, for it was heard."""
        place = self._sightings.hear(name, board)
        if place is None:
            return
        place.online = True
        place.heard_at = asyncio.get_running_loop().time()
        self._sightings.refresh(place.key)
        if place.timer is None:
            self._watch(name, place, self._settings.bluetooth_gone_after)

    def _recognise(self, advert: Advert) -> DiscoveredBoard | None:
        """The board that advertises; how strong it is heard is of no interest here."""
        for board_type, driver in self._drivers.items():
            board = driver.recognise(advert)
            if board is None:
                continue
            known = None if board.application_id is not None else self._device_of(board)
            if known is not None and known[1] == board_type:
                key = known[0]
                return replace(
                    board,
                    application_id=key.application_id,
                    local_id=key.local_id,
                    addresses=(key.local_id,),
                    signal=None,
                )
            if board.mode is BoardMode.APPLICATION:
                return replace(board, signal=None)
        return None

    def _device_of(self, board: DiscoveredBoard) -> tuple[BoardKey, str] | None:
        """The device that a board is which names no application: a bootloader, or a program that somebody put on it."""
        is_bootloader = board.mode is BoardMode.BOOTLOADER
        own = own_address(board.local_id, self.devices) if is_bootloader else board.local_id
        return None if own is None else self.devices.get(own)

    def _watch(self, name: str, place: Place, delay: float) -> None:
        place.timer = asyncio.get_running_loop().call_later(delay, self._may_be_gone, name, place)

    def _may_be_gone(self, name: str, place: Place) -> None:
        """Drop a board that was not heard for a while, in which there was something to hear."""
        place.timer = None
        if self._sightings.places.get(name) is not place:
            return
        silent_for = asyncio.get_running_loop().time() - place.heard_at
        limit = self._settings.bluetooth_gone_after
        if self._is_busy(place.key) or self._radio is None or not self._radio.is_listening:
            self._watch(name, place, limit)
        elif silent_for < limit:
            self._watch(name, place, limit - silent_for)
        else:
            self._sightings.drop(name)
