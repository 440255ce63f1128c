"""The gateway's Bluetooth: one scan for everybody, and connections to boards.

::

    async with BluetoothRadio(settings) as radio:
        advert = await radio.heard(lambda advert: advert.name == "DfuTarg", seconds=10)
        async with radio.connect(advert.address) as connection:
            await connection.subscribe(CONTROL)
            await connection.request(CONTROL, data)
            received = await connection.wait(seconds=1)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from enmctl.errors import EnmError, RadioError
from enmctl.radio.bluetooth.advert import Advert
from enmctl.radio.bluetooth.backend import SIMULATED, Backend, quiet_bleak
from enmctl.radio.bluetooth.connection import Connection
from enmctl.radio.bluetooth.cycling import PowerCycle
from enmctl.radio.bluetooth.errors import BondLostError, LinkLostError, NotHeardError, PairingError
from enmctl.radio.bluetooth.scanning import Listener, Scan
from enmctl.radio.bluetooth.this_machine import platform_backend

if TYPE_CHECKING:
    from enmctl.settings import Settings

TRIES = 3
"""How often a connection is tried."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Seconds between two tries, twice as many each time."""

LOOKS = 4
"""``open`` may take so many times ENM_BLUETOOTH_LONG_TIMEOUT where nothing else is said: a look, and each try."""

TURN = 20
"""A connection waits so many times ENM_BLUETOOTH_LONG_TIMEOUT for others to be made; of 16 at once each has its try."""

FRESH = 30.0
"""Seconds for which a system remembers a device that it heard (BlueZ: TemporaryTimeout)."""


class BluetoothRadio:
    """One Bluetooth adapter, for as long as the context lasts.

    Args:
        settings: the adapter and all limits (ENM_BLUETOOTH_…).
        backend: whose Bluetooth it is; the platform's where left out.

    Raises:
        RadioError: on entering, where Bluetooth cannot be used on this machine.
    """

    def __init__(self, settings: Settings, backend: Backend | None = None) -> None:
        self._settings = settings
        self._backend = backend if backend is not None else platform_backend(settings)
        self._adapter = "" if settings.bluetooth_adapter.startswith(SIMULATED) else settings.bluetooth_adapter
        self._scan = Scan(self._backend, self._adapter, settings.bluetooth_long_timeout)
        self._connections: set[Connection] = set()
        self._power_cycle = PowerCycle(self._backend, self._scan, lambda: bool(self._connections))

    async def __aenter__(self) -> Self:
        quiet_bleak()
        try:
            await self._backend.prepare()
            await self._scan.open()
            await self._backend.watch(self._scan.doubt)
        except BaseException:
            await self._scan.close()
            await self._backend.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections))
        await self._power_cycle.close()
        await self._scan.close()
        await self._backend.close()

    async def watch(self, changed: Callable[[], None]) -> None:
        """Have this called, in the loop, when the adapter may have come or been switched, instead of entering.

        Raises:
            EnmError: this machine does not tell.
        """
        await self._backend.watch(changed)

    @property
    def adverts(self) -> Mapping[str, Advert]:
        """What each device said last, by address, those heard last at the end; a view that stays current."""
        return self._scan.heard

    @property
    def is_listening(self) -> bool:
        """Whether the scan runs just now."""
        return self._scan.is_running

    @property
    def trouble(self) -> RadioError | None:
        """Why there is no scan although somebody wants one; it is tried again until it works."""
        return self._scan.trouble

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each advertisement, in the loop, until what comes back is called."""
        return self._scan.listen(listener)

    async def heard(self, wanted: Callable[[Advert], bool], seconds: float) -> Advert | None:
        """The first advertisement from now on that is wanted, or None where none came.

        Args:
            wanted: looks at an advertisement.
            seconds: how long to listen. Time in which the adapter makes connections for others does not count, up to
                so many tries at one as ``open`` makes.

        Raises:
            RadioError: there was no listening in all that time.
        """
        found: asyncio.Future[Advert] = asyncio.get_running_loop().create_future()

        def look(advert: Advert) -> None:
            if found.done():
                return
            try:
                if wanted(advert):
                    found.set_result(advert)
            except Exception as error:  # noqa: BLE001 - the fault of whoever looks is told to whoever waits
                found.set_exception(error)

        stop = self._scan.listen(look)
        try:
            with contextlib.suppress(TimeoutError):
                async with (
                    asyncio.timeout(seconds + TRIES * self._settings.bluetooth_long_timeout),
                    asyncio.timeout(seconds) as scope,
                ):
                    with self._scan.patience(scope):
                        return await found
        finally:
            stop()
        if self._scan.trouble is not None:
            raise self._scan.trouble
        return None

    @asynccontextmanager
    async def connect(
        self, address: str, *, seconds: float | None = None, fresh: bool = False, scanning: bool | None = None
    ) -> AsyncGenerator[Connection]:
        """A connection for as long as the context lasts; see ``open``."""
        connection = await self.open(address, seconds=seconds, fresh=fresh, scanning=scanning)
        try:
            yield connection
        finally:
            await connection.close()

    async def open(
        self, address: str, *, seconds: float | None = None, fresh: bool = False, scanning: bool | None = None
    ) -> Connection:
        """Connect to a board, and find out what it has; the caller closes the connection.

        Args:
            address: as the board's advertisements have it.
            seconds: after so long no further try is made. A try that was begun has ENM_BLUETOOTH_LONG_TIMEOUT of its
                own. Waiting while the adapter makes connections for others does not count; it has a limit, ``TURN``.
            fresh: have the system forget first what it knows of the board, unless there is a bond: another program on
                the same board has other services, and BlueZ would show the old ones.
            scanning: whether others may be looked for meanwhile; ENM_BLUETOOTH_SCAN_WHILE_CONNECTED where left out.

        Raises:
            NotHeardError: the board is not heard.
            NoAnswerError, LinkLostError, BoardError: it does not take a connection.
            BondLostError: it hangs up, and this machine has a bond with it.
            RadioError: Bluetooth cannot be used any more.
        """
        if fresh:
            await self.forget(address)
        span = _Span(LOOKS * self._settings.bluetooth_long_timeout if seconds is None else seconds)
        tries = AsyncRetrying(
            stop=span.ends_tries,
            wait=wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            retry=retry_if_exception(_is_worth_another),
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    return await self._try(address, scanning, span)
        except LinkLostError as error:
            raise await self._why_lost(address, error) from error
        raise _not_heard(address)

    async def again(self, before: Connection, *, seconds: float) -> Connection:
        """Connect once more to the device of an earlier connection, without hearing it first, in one try.

        A board that waits for this machine alone shows itself to no scan of BlueZ, and takes a connection all the same,
        for as long as the system has not forgotten it. ``seconds`` are for connecting alone; see ``open``.

        Raises:
            EnmError: it does not take a connection.
        """
        return await self._establish(before.address, before.name, before.device, None, _Span(0.0), seconds=seconds)

    async def forget(self, address: str) -> bool:
        """Have the system forget a device without a bond, its services above all; a bonded one is left alone.

        Returns:
            whether it was forgotten.
        """
        self._scan.forget(address)
        if await self.is_bonded(address):
            return False
        return await self._backend.forget(address)

    async def is_bonded(self, address: str) -> bool | None:
        """Whether this machine has a bond with a device; None where the platform does not tell."""
        return await self._backend.is_bonded(address)

    async def unpair(self, address: str) -> bool:
        """Forget a device and its bond, so that it can be paired with anew; False where the platform cannot."""
        self._scan.forget(address)
        return await self._backend.forget(address)

    async def release(self, address: str) -> bool:
        """End a connection to a board that an earlier run of this program left behind: nobody hears a connected board.

        Returns:
            whether there was one.
        """
        if any(connection.address == address for connection in self._connections):
            return False
        return await self._backend.release(address)

    async def _try(self, address: str, scanning: bool | None, span: _Span) -> Connection:
        advert = await self._find(address, span)
        seconds = self._settings.bluetooth_long_timeout
        return await self._establish(address, advert.name or address, advert.device, scanning, span, seconds=seconds)

    async def _establish(
        self, address: str, name: str, device: Any, scanning: bool | None, span: _Span, *, seconds: float
    ) -> Connection:
        if scanning is None:
            scanning = self._settings.bluetooth_scan_while_connected
        quiet_over = None if scanning else self._scan.keep_quiet()

        def ended() -> None:
            self._connections.discard(connection)
            if quiet_over is not None:
                quiet_over()

        connection = Connection(self._settings, self._backend, address, name, ended)
        asked_at = asyncio.get_running_loop().time()
        turn = TURN * self._settings.bluetooth_long_timeout
        failed: EnmError | None = None
        try:
            async with self._scan.held_off(turn):
                span.leave_out_since(asked_at)
                self._connections.add(connection)
                try:
                    await connection.establish(device, self._adapter, seconds)
                except EnmError as error:
                    failed = error
        except BaseException:
            ended()
            raise
        self._scan.forget(address)
        if failed is not None:
            await self._power_cycle.failed(failed, most=self._settings.bluetooth_power_cycle_after, turn=turn)
            raise failed
        self._power_cycle.failures = 0
        return connection

    async def _find(self, address: str, span: _Span) -> Advert:
        """The board, heard just now or a moment ago."""
        known = self._scan.heard.get(address)
        if known is not None and asyncio.get_running_loop().time() - known.at <= FRESH:
            return known
        await self.release(address)
        seconds = min(span.left, self._settings.bluetooth_long_timeout)
        advert = await self.heard(lambda advert: advert.address == address, seconds)
        if advert is None:
            raise _not_heard(address, _SilentError)
        return advert

    async def _why_lost(self, address: str, error: LinkLostError) -> EnmError:
        if not await self.is_bonded(address):
            return error
        return BondLostError(
            f"{address} hangs up whenever it is connected to, and may have lost its bond with this machine",
            remedy="remove it in the system's Bluetooth settings (Linux: bluetoothctl remove), and pair with it anew",
        )


class _Span:
    """The time for all tries at one connection."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = asyncio.get_running_loop().time() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left of it."""
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())

    def leave_out_since(self, moment: float) -> None:
        """Do not count what has passed since a moment."""
        self._ends_at += asyncio.get_running_loop().time() - moment

    def ends_tries(self, state: RetryCallState) -> bool:
        """Whether no further try is to be made."""
        return state.attempt_number >= TRIES or not self.left


class _SilentError(NotHeardError):
    """It was listened for, for as long as that may take."""


def _not_heard(address: str, kind: type[NotHeardError] = NotHeardError) -> NotHeardError:
    return kind(f"{address} is not heard", remedy="see that it is switched on and near, then try again")


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, EnmError) and not isinstance(error, RadioError | _SilentError | PairingError)
