"""The host of the machine's simulated adapter: one for all scanners and clients of a program, as bluetoothd is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device
from bumble.pairing import PairingConfig
from bumble.transport.common import TransportLostError, TransportSink, TransportSource

from enmctl.simulator.bluetooth.air import ADDRESS, Air
from enmctl.simulator.bluetooth.bonds import BondKeys, Passkey, central_pairing
from enmctl.simulator.bluetooth.controller import AirController

LOG = logging.getLogger(__name__)

OPEN_TIMEOUT = 5.0
"""Seconds until an adapter that does not come up counts as not there."""

OnAdvertisement = Callable[[Advertisement], None]


class Plugged(NamedTuple):
    """A controller within reach: where its packets come from and go to, and the bonds of its machine."""

    source: TransportSource
    sink: TransportSink
    keys: BondKeys


class Plug(Protocol):
    """How a program gets at a simulated controller."""

    async def plug_in(self) -> Plugged:
        """Get one.

        Raises:
            OSError: there is none.
        """
        ...

    def unplug(self) -> None:
        """Let it go; its connections break as by distance."""
        ...


class AirPlug:
    """A controller on an air in this very program."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._controller: AirController | None = None

    async def plug_in(self) -> Plugged:
        """See Plug."""
        self._controller = controller = AirController(self._air, "central", public_address=ADDRESS)
        return Plugged(controller, controller, self._air.keys)

    def unplug(self) -> None:
        """See Plug."""
        if self._controller is not None:
            self._controller.leave()
            self._controller = None


class Central:
    """The host, which comes up when it is first needed, and again after its controller was lost.

    Args:
        plug: how it gets at its controller.
        identify: what a board of this address is called on this machine.

    Attributes:
        known: where each board that was heard is, by what it is called.
    """

    def __init__(self, plug: Plug, identify: Callable[[hci.Address], str] | None = None) -> None:
        self._plug = plug
        self.identify = identify or text_of
        self._device: Device | None = None
        self._opening = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._listeners: dict[object, OnAdvertisement] = {}
        self._passkey: Passkey | None = None
        self.keys = BondKeys()
        self.known: dict[str, hci.Address] = {}

    @property
    def is_connecting(self) -> bool:
        """Whether a connection is being made; a controller makes one at a time."""
        return self._connecting.locked()

    async def device(self) -> Device:
        """The host, up and running.

        Raises:
            BleakBluetoothNotAvailableError: there is no controller.
        """
        async with self._opening:
            if self._device is None:
                try:
                    async with asyncio.timeout(OPEN_TIMEOUT):
                        self._device = await self._open()
                except (OSError, TransportLostError) as error:
                    self._plug.unplug()
                    raise _not_available(error) from error
            return self._device

    async def _open(self) -> Device:
        plugged = await self._plug.plug_in()
        device = Device.with_hci("central", hci.Address(ADDRESS), plugged.source, plugged.sink)
        device.keystore = self.keys = plugged.keys
        device.pairing_config_factory = self._pairing
        device.on(Device.EVENT_ADVERTISEMENT, self._heard)
        await device.power_on()
        device.on(Device.EVENT_FLUSH, self._lost)
        return device

    async def close(self) -> None:
        """Let the controller go."""
        device, self._device = self._device, None
        self._plug.unplug()
        if device is not None:
            device.remove_all_listeners(Device.EVENT_FLUSH)
            device.on_flush()

    def _lost(self) -> None:
        self._device = None

    def _pairing(self, connection: Connection) -> PairingConfig:
        del connection
        return central_pairing(self._passkey)

    async def listen(self, key: object, listener: OnAdvertisement, *, active: bool) -> None:
        """Report advertisements from now on."""
        device = await self.device()
        self._listeners[key] = listener
        if not device.scanning:
            with _in_terms_of_bleak():
                await device.start_scanning(
                    legacy=True, active=active, own_address_type=hci.OwnAddressType.PUBLIC, filter_duplicates=False
                )

    async def stop_listening(self, key: object) -> None:
        """Report none any more."""
        if self._listeners.pop(key, None) is None or self._listeners:
            return
        if (device := self._device) is not None and device.scanning:
            with _in_terms_of_bleak():
                await device.stop_scanning(legacy=True)

    def _heard(self, advertisement: Advertisement) -> None:
        self.known[self.identify(advertisement.address)] = advertisement.address
        for listener in list(self._listeners.values()):
            listener(advertisement)

    async def connect(self, address: hci.Address, seconds: float) -> Connection:
        """Connect; whoever is cancelled meanwhile leaves no connection behind.

        Raises:
            TimeoutError: the board took no connection in time.
        """
        device = await self.device()
        async with self._connecting:
            connecting = asyncio.ensure_future(
                device.connect_le(address, own_address_type=hci.OwnAddressType.PUBLIC, timeout=seconds)
            )
            try:
                return await asyncio.shield(connecting)
            except asyncio.CancelledError:
                await _give_up(device, connecting)
                raise
            except (core.TimeoutError, core.ConnectionError) as error:
                raise TimeoutError from error

    async def pair(self, connection: Connection, passkey: Passkey | None) -> None:
        """Pair over a connection.

        Raises:
            bumble.core.ProtocolError: one of the two did not want to.
        """
        self._passkey = passkey
        try:
            await connection.pair()
        finally:
            self._passkey = None


async def _give_up(device: Device, connecting: asyncio.Future[Connection]) -> None:
    """Cancel a connection that is being made, and end it where it was made all the same."""
    if not connecting.done():
        with contextlib.suppress(hci.HCI_Error):
            await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
    with contextlib.suppress(core.BaseBumbleError):
        connection = await connecting
        await connection.disconnect()


@contextlib.contextmanager
def _in_terms_of_bleak() -> Any:
    try:
        yield
    except TransportLostError as error:
        raise _not_available(error) from error


def _not_available(error: Exception) -> BleakBluetoothNotAvailableError:
    return BleakBluetoothNotAvailableError(
        f"the simulated adapter is not there: {error}", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
    )


def text_of(address: hci.Address) -> str:
    """An address as bleak has it."""
    return address.to_string(with_type_qualifier=False)


def identifier_of(address: hci.Address) -> str:
    """What CoreBluetooth has in the place of an address: always the same here, and telling nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text_of(address))).upper()
