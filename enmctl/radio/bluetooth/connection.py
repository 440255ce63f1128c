"""A connection to one board, whose every wait ends: with the answer, with the connection, or with time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from enmctl.radio.bluetooth.backend import Backend, Passkey
from enmctl.radio.bluetooth.errors import AttError, LinkLostError, NoAnswerError, PairingError
from enmctl.radio.bluetooth.translation import ATTRIBUTE_NOT_FOUND, is_unclear, translated

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

    from enmctl.settings import Settings

MOST_WAITING = 1024
"""Notifications that are kept for whoever waits for them; a board that sends more ends its connection."""

LEAST_WRITE = 20
"""Bytes of one write without response that every connection takes (an ATT MTU of 23)."""

EVERYWHERE = frozenset(f"0000{part}-0000-1000-8000-00805f9b34fb" for part in ("1800", "1801"))
"""The services that every board has, and that some systems keep to themselves."""

LOST_GRACE = 0.5
"""Seconds in which the news of a lost link may come after the first failure that it caused."""

BEHIND = 0.1
"""Seconds more for each write without response that an access waits behind: one a connection event, at a slow pace."""

PAIRING_TIMEOUT = 60.0
"""Seconds for pairing, in which a person may have to read six digits off a board."""

_log = logging.getLogger(__name__)


class Notification(NamedTuple):
    """What a board sent by itself, as notification or indication."""

    characteristic: str
    data: bytes


class Connection:
    """A connection to one board.

    One task uses it at a time. It is made by ``BluetoothRadio``.

    Args:
        settings: the limit of one operation (ENM_BLUETOOTH_SHORT_TIMEOUT), and of all others.
        backend: whose Bluetooth it is.
        address: the board's.
        name: the board, as people know it.
        on_end: called once, when it has ended.

    Attributes:
        address: the board's address.
        lost: set once the connection has ended, from whichever side.
    """

    def __init__(
        self, settings: Settings, backend: Backend, address: str, name: str, on_end: Callable[[], None]
    ) -> None:
        self.address = address
        self.device: Any = None
        self.lost = asyncio.Event()
        self._settings = settings
        self._backend = backend
        self.name = name
        self._on_end = on_end
        self._client: BleakClient | None = None
        self._by_uuid: dict[str, BleakGATTCharacteristic] = {}
        self._services: frozenset[str] = frozenset()
        self._arrived: deque[Notification] = deque()
        self._news = asyncio.Event()
        self._waiting: set[asyncio.Timeout] = set()
        self._unproven = 0
        self._is_over = False

    @property
    def table(self) -> frozenset[tuple[str, int]]:
        """The UUIDs with their handles, which differ from one program of a board to another more than the UUIDs do."""
        return frozenset((uuid, found.handle) for uuid, found in self._by_uuid.items())

    @property
    def characteristics(self) -> frozenset[str]:
        """The UUIDs of what the board has, whole and in lower case."""
        return frozenset(self._by_uuid)

    @property
    def services(self) -> int:
        """How many primary services it has, the two that every board has included."""
        return len(self._services | EVERYWHERE)

    @property
    def most(self) -> int:
        """Bytes of one write without response; it may grow soon after connecting."""
        sizes = [
            characteristic.max_write_without_response_size
            for characteristic in self._by_uuid.values()
            if "write-without-response" in characteristic.properties
        ]
        return max(LEAST_WRITE, min(sizes, default=LEAST_WRITE))

    async def establish(self, device: Any, adapter: str, seconds: float) -> None:
        """Connect within so many seconds, and find out afresh what the board has; for ``BluetoothRadio`` alone.

        Raises:
            EnmError: it did not come about; then nothing is left of it.
        """
        from bleak import BleakClient

        self.device = device
        self._client = client = BleakClient(
            device,
            self._on_disconnected,
            timeout=seconds,
            bluez={"adapter": adapter} if adapter else {},
            winrt={"use_cached_services": False},
            backend=self._backend.client,
        )
        try:
            async with asyncio.timeout(seconds):
                await client.connect()
            for service in client.services:
                self._services |= {service.uuid.lower()}
                for characteristic in service.characteristics:
                    self._by_uuid.setdefault(characteristic.uuid.lower(), characteristic)
        except TimeoutError as error:
            await self.close()
            raise NoAnswerError(
                f"{self.name} takes no connection",
                remedy="bring it nearer, end other programs that are connected to it, and try again",
            ) from error
        except Exception as error:
            await self.close()
            raise translated(error, self.name) from error
        except BaseException:
            await self.close()
            raise
        if self.lost.is_set():
            raise self._lost()

    async def read(self, characteristic: str, *, seconds: float | None = None) -> bytes:
        """Read a value.

        Raises:
            AttError, BondNeededError, NoAnswerError, LinkLostError
        """
        found = self._characteristic(characteristic)
        async with self._access(seconds):
            return bytes(await self._live().read_gatt_char(found))

    async def write(self, characteristic: str, data: bytes) -> None:
        """Write without response, behind all writes before; it proves nothing.

        Raises:
            AttError, NoAnswerError, LinkLostError
        """
        found = self._characteristic(characteristic)
        async with self._bounded(self._settings.bluetooth_short_timeout):
            await self._live().write_gatt_char(found, data, response=False)
        self._unproven += 1

    async def request(self, characteristic: str, data: bytes, *, seconds: float | None = None) -> None:
        """Write with response; when it returns, all writes before have left this machine.

        Raises:
            AttError, BondNeededError, NoAnswerError, LinkLostError
        """
        found = self._characteristic(characteristic)
        async with self._access(seconds):
            await self._live().write_gatt_char(found, data, response=True)

    async def subscribe(self, characteristic: str, *, seconds: float | None = None) -> None:
        """Switch notifications on, or indications where there are no others; they arrive by ``wait``.

        Raises:
            AttError, BondNeededError, NoAnswerError, LinkLostError
        """
        found = self._characteristic(characteristic)
        uuid = characteristic.lower()
        async with self._access(seconds):
            await self._live().start_notify(found, lambda _, data: self._on_notification(uuid, data))

    async def pair(self, passkey: Passkey | None = None, *, seconds: float = PAIRING_TIMEOUT) -> None:
        """Pair with the board, so that both keep a bond.

        Args:
            passkey: asks a person for the six digits that the board shows; without it only boards that show none pair.
            seconds: the limit of it all.

        Raises:
            PairingError: it did not come about.
            LinkLostError: the board hung up.
        """
        self._live()
        asked = False

        async def ask() -> int | None:
            nonlocal asked
            asked = True
            return None if passkey is None else await passkey()

        try:
            async with self._bounded(seconds):
                await self._backend.pair(self._live(), ask)
        except PairingError as error:
            if not asked or passkey is not None:
                raise
            raise PairingError(
                f"{self.name} shows six digits that must be typed in",
                remedy="pair with it from a terminal",
                reason="passkey-needed",
            ) from error

    async def wait(self, seconds: float) -> Notification | None:
        """The next notification or indication, waiting at most so many seconds for it; None where none came.

        Raises:
            LinkLostError: the connection has ended, and all that arrived before was taken.
        """
        if not self._arrived and not self.lost.is_set() and seconds > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        if self._arrived:
            return self._arrived.popleft()
        if self.lost.is_set():
            raise self._lost()
        return None

    async def wait_lost(self, seconds: float) -> bool:
        """Wait at most so many seconds for the connection to end, and tell whether it did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.lost.wait()
        return self.lost.is_set()

    async def close(self) -> None:
        """Disconnect, and wait until that is so; does nothing where it has ended already, and never raises.

        Whoever is cancelled meanwhile leaves no connection behind.
        """
        closing = asyncio.ensure_future(self._disconnect())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.gather(closing, return_exceptions=True)
            raise

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                async with asyncio.timeout(self._settings.bluetooth_long_timeout):
                    await client.disconnect()
            except Exception as error:  # noqa: BLE001 - whatever a platform brings bleak to raise, it is over
                _log.debug("%s: the connection did not end as it should: %r", self.name, error)
        self._end()

    def _characteristic(self, uuid: str) -> BleakGATTCharacteristic:
        found = self._by_uuid.get(uuid.lower())
        if found is None:
            raise AttError(f"{self.name} has no characteristic {uuid}", ATTRIBUTE_NOT_FOUND)
        return found

    def _live(self) -> BleakClient:
        if self._client is None or self.lost.is_set():
            raise self._lost()
        return self._client

    @asynccontextmanager
    async def _access(self, seconds: float | None) -> AsyncGenerator[None]:
        """Bound an access that the board answers, behind all that was written without response."""
        limit = self._settings.bluetooth_short_timeout if seconds is None else seconds
        async with self._bounded(limit + BEHIND * self._unproven):
            yield
        self._unproven = 0

    @asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncGenerator[None]:
        """Bound what is done in it by time and by the connection, and say in our words what goes wrong.

        A wait that the loss of the connection ends is ended by its own time limit, which then comes at once: this takes
        no task of its own for every packet.
        """
        try:
            async with asyncio.timeout(seconds) as scope:
                self._waiting.add(scope)
                try:
                    yield
                finally:
                    self._waiting.discard(scope)
        except Exception as error:
            ours = translated(error, self.name, is_lost=self.lost.is_set())
            if is_unclear(ours) and await self.wait_lost(LOST_GRACE):
                ours = self._lost()
            raise ours from error

    def _on_notification(self, uuid: str, data: bytearray) -> None:
        if len(self._arrived) >= MOST_WAITING:
            _log.warning("%s sent %d notifications that nobody took; its connection is ended", self.name, MOST_WAITING)
            self._end()
            return
        self._arrived.append(Notification(uuid, bytes(data)))
        self._news.set()

    def _on_disconnected(self, _client: BleakClient) -> None:
        self._end()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.lost.set()
        self._news.set()
        now = asyncio.get_running_loop().time()
        try:
            for scope in self._waiting:
                if not scope.expired():
                    scope.reschedule(now)
        finally:
            self._on_end()

    def _lost(self) -> LinkLostError:
        return LinkLostError(f"the connection to {self.name} was lost", remedy="bring it nearer and try again")
