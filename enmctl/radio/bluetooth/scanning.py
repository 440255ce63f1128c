"""The one scan that serves everybody, and gives way while a connection is made.

A controller does one of the two at a time, and BlueZ answers ``InProgress`` or the controller ``Command Disallowed`` to
whoever asks for both. So there is one lock on the adapter: whoever holds it has the scan stopped, and the scan comes
back by itself as soon as somebody wants it and nobody holds it off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from enmctl.errors import EnmError, RadioError
from enmctl.radio.bluetooth.advert import Advert, Properties, advert_of, bluez_properties, is_advert
from enmctl.radio.bluetooth.backend import Backend
from enmctl.radio.bluetooth.errors import NoAnswerError
from enmctl.radio.bluetooth.translation import translated

if TYPE_CHECKING:
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

MAX_HEARD = 1024
"""How many devices are remembered, those heard last; phones change their addresses every quarter of an hour."""

SILENCE = 60.0
"""Seconds without a word of anybody after which the scan is begun anew: a system may end one and not say so."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries at a scan that cannot be begun."""

TRIES = 3
"""How often a scan is tried when the radio is opened."""

Listener = Callable[[Advert], object]

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Patience:
    """A time limit whose clock stands still while the scan is held off for others."""

    def __init__(self, scope: asyncio.Timeout, *, held_off: bool) -> None:
        self._scope = scope
        self._left: float | None = None
        if held_off:
            self.stop()

    def stop(self) -> None:
        """Stop the clock."""
        when = self._scope.when()
        if when is not None and self._left is None and not self._scope.expired():
            self._left = when - asyncio.get_running_loop().time()
            self._scope.reschedule(None)

    def go(self) -> None:
        """Let it run on."""
        if self._left is not None:
            self._scope.reschedule(asyncio.get_running_loop().time() + self._left)
            self._left = None


class Scan:
    """The scan of one adapter.

    Args:
        backend: whose Bluetooth it is.
        adapter: the adapter's name, "" for the platform's own choice.
        limit: seconds that starting or stopping may take.

    Attributes:
        trouble: why there is no scan although one is wanted, None while there is none needed or it runs.
    """

    def __init__(self, backend: Backend, adapter: str, limit: float) -> None:
        self._backend = backend
        self._adapter = adapter
        self._limit = limit
        self._lock = asyncio.Lock()
        self._scanner: BleakScanner | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._is_open = False
        self._wake = asyncio.Event()
        self._doubt = asyncio.Event()
        self._listeners: dict[object, Listener] = {}
        self._patient: set[Patience] = set()
        self._holding_off = 0
        self._quiet = 0
        self._heard: OrderedDict[str, Advert] = OrderedDict()
        self._properties: OrderedDict[str, Properties] = OrderedDict()
        self._last_word = 0.0
        self.trouble: RadioError | None = None

    @property
    def is_running(self) -> bool:
        """Whether it listens now."""
        return self._scanner is not None

    @property
    def heard(self) -> Mapping[str, Advert]:
        """What each device said last, by address; a view that stays current."""
        return MappingProxyType(self._heard)

    async def open(self) -> None:
        """Begin to listen, to see whether it can be done, and go on for as long as nobody else needs the adapter.

        Raises:
            RadioError: it cannot be done.
        """
        pause = FIRST_PAUSE
        for attempt in range(TRIES):
            async with self._lock:
                try:
                    await self._start()
                    break
                except NoAnswerError as error:
                    if attempt == TRIES - 1:
                        raise RadioError(error.message, remedy=error.remedy, reason=error.reason) from error
            await asyncio.sleep(pause)
            pause *= 2
        self._is_open = True
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Listen no more."""
        self._is_open = False
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        self._listeners.clear()
        async with self._lock:
            await self._stop()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each advertisement, in the loop, until what comes back is called.

        A fault of the listener stays its own.
        """
        key = object()
        self._listeners[key] = listener
        self._wake.set()

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop

    @contextmanager
    def patience(self, scope: asyncio.Timeout) -> Iterator[None]:
        """Let a time limit count only the time in which others do not keep the scan from listening."""
        patience = Patience(scope, held_off=bool(self._holding_off))
        self._patient.add(patience)
        try:
            yield
        finally:
            self._patient.discard(patience)

    @asynccontextmanager
    async def held_off(self, seconds: float) -> AsyncGenerator[None]:
        """Have the adapter to oneself, the scan stopped.

        Raises:
            NoAnswerError: others have had it for so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._lock.acquire()
        except TimeoutError:
            raise _busy("the Bluetooth adapter is busy with other boards") from None
        self._hold_off()
        try:
            await self._stop()
            yield
        finally:
            self._let_go()
            self._lock.release()

    def keep_quiet(self) -> Callable[[], None]:
        """Have no scan until what comes back is called; it may be called more than once."""
        self._quiet += 1
        is_over = False

        def over() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._quiet -= 1
                self._wake.set()

        return over

    def forget(self, address: str) -> None:
        """Remember nothing of a device, so that it counts only once it is heard anew."""
        self._heard.pop(address, None)
        self._properties.pop(address, None)

    def doubt(self) -> None:
        """Begin anew at once: the adapter may have come, gone, or been switched."""
        self._doubt.set()
        self._wake.set()

    def _hold_off(self) -> None:
        self._holding_off += 1
        for patience in self._patient:
            patience.stop()

    def _let_go(self) -> None:
        self._holding_off -= 1
        for patience in self._patient:
            patience.go()
        self._wake.set()

    @property
    def _is_due(self) -> bool:
        return bool(self._listeners) and not self._quiet and not self.is_running

    async def _keep(self) -> None:
        """Begin the scan whenever it is due, for as long as it takes; and anew when it has gone silent.

        To be cancelled is not enough for an end: ``wait_for`` of Python 3.11 loses that where its result just came.
        """
        pause = FIRST_PAUSE
        while self._is_open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    await self._wake.wait()
            self._wake.clear()
            try:
                async with self._lock:
                    if self._is_silent() or self._doubt.is_set():
                        self._doubt.clear()
                        await self._stop()
                    if self._is_due:
                        await self._backend.restore()
                        await self._start()
            except EnmError as error:
                self._complain(error)
                pause = FIRST_PAUSE if await self._rest(pause) else min(2 * pause, LONGEST_PAUSE)
                self._wake.set()
            else:
                pause = FIRST_PAUSE

    async def _rest(self, seconds: float) -> bool:
        """Wait, though no longer than until something has changed; whether it has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._doubt.wait()
        return self._doubt.is_set()

    def _is_silent(self) -> bool:
        return self.is_running and asyncio.get_running_loop().time() - self._last_word >= SILENCE

    def _complain(self, error: EnmError) -> None:
        if self.trouble is None:
            _log.warning("boards cannot be looked for over Bluetooth: %s", error)
        reason = error if isinstance(error, RadioError) else None
        self.trouble = reason or RadioError(error.message, remedy=error.remedy, reason=error.reason)

    async def _start(self) -> None:
        """Begin; the lock is held.

        Raises:
            RadioError, NoAnswerError: it cannot be done, or not now.
        """
        from bleak import BleakScanner

        try:
            scanner = BleakScanner(
                self._on_advert,
                scanning_mode="active",
                bluez={"adapter": self._adapter} if self._adapter else {},
                backend=self._backend.scanner,
            )
            async with asyncio.timeout(self._limit):
                await scanner.start()
        except Exception as error:
            raise _no_scan(error) from error
        self._scanner = scanner
        self._last_word = asyncio.get_running_loop().time()
        if self.trouble is not None:
            _log.info("boards are looked for over Bluetooth again")
        self.trouble = None

    async def _stop(self) -> None:
        """End; the lock is held. What goes wrong concerns nobody: the next start tells."""
        scanner, self._scanner = self._scanner, None
        if scanner is None:
            return
        self._properties.clear()
        try:
            async with asyncio.timeout(self._limit):
                await scanner.stop()
        except Exception as error:  # noqa: BLE001 - whatever a platform brings bleak to raise, the scan counts as over
            _log.debug("the scan did not end as it should: %r", error)

    def _on_advert(self, device: BLEDevice, data: AdvertisementData) -> None:
        loop = asyncio.get_running_loop()
        properties = bluez_properties(data)
        is_word = is_advert(self._properties.get(device.address, {}), properties)
        if properties:
            _remember(self._properties, device.address, dict(properties))
        if not is_word:
            return
        self._last_word = loop.time()
        advert = advert_of(device, data, self._last_word)
        _remember(self._heard, device.address, advert)
        for key in list(self._listeners):
            loop.call_soon(self._tell, key, advert)

    def _tell(self, key: object, advert: Advert) -> None:
        if (listener := self._listeners.get(key)) is not None:
            listener(advert)


def _remember(table: OrderedDict[str, _T], address: str, value: _T) -> None:
    """Keep the latest of each device, and of those the latest."""
    table[address] = value
    table.move_to_end(address)
    if len(table) > MAX_HEARD:
        table.popitem(last=False)


def _no_scan(error: Exception) -> EnmError:
    ours = translated(error, "the Bluetooth adapter")
    if not isinstance(ours, NoAnswerError):
        return ours
    return _busy("the Bluetooth adapter is busy and does not listen")


def _busy(words: str) -> NoAnswerError:
    return NoAnswerError(words, remedy="try again, or switch it off and on", reason="radio-busy")
