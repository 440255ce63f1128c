"""The system's D-Bus: one connection, calls that end in time, and signals as they come.

NetworkManager and BlueZ are asked over it. Nothing here starts a service that does not run: looking must not change
what is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from enmctl.errors import RadioError

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

    from enmctl.settings import Settings

LIMIT: Final = 10.0
"""Seconds for a connection, and for one answer."""

HOST_SOCKET: Final = Path("/host/run/dbus/system_bus_socket")
"""Where balena and others mount the host's bus into a container."""

SOCKET: Final = Path("/run/dbus/system_bus_socket")

DBUS: Final = "org.freedesktop.DBus"
DBUS_PATH: Final = "/org/freedesktop/DBus"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"

Objects = dict[str, dict[str, dict[str, Any]]]
"""What a service shows: by object path the interfaces, and by interface the properties."""


class BusAnswerError(RadioError):
    """A service answered with an error.

    Args:
        name: the error's name on the bus, like ``org.freedesktop.DBus.Error.UnknownMethod``.
        text: what it said.
    """

    default_reason = "bus-answer"

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text or 'no reason given'} ({name})")
        self.name = name
        self.text = text

    @property
    def kind(self) -> str:
        """The last word of the error's name."""
        return self.name.rpartition(".")[2]

    @property
    def is_denied(self) -> bool:
        """Whether this user may not."""
        return self.kind in {"AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired", "PermissionDenied"}

    @property
    def is_nobody(self) -> bool:
        """Whether no such service runs."""
        return self.kind in {"NameHasNoOwner", "ServiceUnknown"}


class Signal(NamedTuple):
    """One signal of a service."""

    path: str
    interface: str
    member: str
    body: tuple[Any, ...]


LOST: Final = Signal("", "", "", ())
"""What comes when the connection is gone; nothing comes after it."""


def bus_address(settings: Settings) -> str:
    """Where the bus is: as set, else the host's where a container has it, else the machine's own."""
    if settings.system_bus_address:
        return settings.system_bus_address
    return f"unix:path={HOST_SOCKET if os.path.exists(HOST_SOCKET) else SOCKET}"


class SystemBus:
    """An open connection; made by ``opened``."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._listening: set[asyncio.Queue[Signal]] = set()
        self._ended = asyncio.ensure_future(self._wait_for_end())
        bus.add_message_handler(self._take)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncGenerator[SystemBus]:
        """A connection that is closed at the end; what a service bound to it ends with it.

        Raises:
            RadioError: there is no bus here (reason ``no-bus``), or it does not let us in (``no-permission``).
        """
        bus = cls(await _connected(bus_address(settings)))
        try:
            yield bus
        finally:
            await bus._close()

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return not self._ended.done() and self._bus.connected

    async def call(
        self, service: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> tuple[Any, ...]:
        """Ask a service for something; variants in the answer are unwrapped.

        Raises:
            BusAnswerError: it answered with an error.
            RadioError: it did not answer in time, or the connection is gone.
        """
        from dbus_fast import Message, MessageFlag, MessageType
        from dbus_fast.unpack import unpack_variants

        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_AUTOSTART,
        )
        if not self.is_open:
            raise _lost()
        try:
            async with asyncio.timeout(LIMIT):
                answer: Message | None = await self._bus.call(message)
        except TimeoutError:
            raise RadioError(
                f"{service} does not answer within {LIMIT:g} s", remedy="restart it", reason="no-answer"
            ) from None
        except (OSError, EOFError) as error:
            raise _lost() from error
        if answer is None:
            raise _lost()
        if answer.message_type is MessageType.ERROR:
            raise BusAnswerError(answer.error_name or "", str(answer.body[0]) if answer.body else "")
        return tuple(unpack_variants(answer.body))

    async def is_there(self, service: str) -> bool:
        """Whether a service of this name runs."""
        (is_there,) = await self.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", service)
        return bool(is_there)

    async def objects(self, service: str, root: str) -> Objects:
        """All that a service shows below ``root``, at one moment."""
        interface = "org.freedesktop.DBus.ObjectManager"
        (objects,) = await self.call(service, root, interface, "GetManagedObjects")
        known: Objects = objects
        return known

    async def properties(self, service: str, path: str, interface: str) -> dict[str, Any]:
        """All properties of one interface of one object."""
        (found,) = await self.call(service, path, PROPERTIES, "GetAll", "s", interface)
        known: dict[str, Any] = found
        return known

    async def subscribe(self, rule: str) -> None:
        """Have signals sent to us, see ``signals``; a rule is as in the D-Bus specification's "Match Rules"."""
        await self.call(DBUS, DBUS_PATH, DBUS, "AddMatch", "s", f"type='signal',{rule}")

    @contextmanager
    def signals(self) -> Iterator[asyncio.Queue[Signal]]:
        """The signals that come from now on, and ``LOST`` at the end of the connection."""
        news: asyncio.Queue[Signal] = asyncio.Queue()
        self._listening.add(news)
        if not self.is_open:
            news.put_nowait(LOST)
        try:
            yield news
        finally:
            self._listening.discard(news)

    def _take(self, message: Message) -> None:
        from dbus_fast import MessageType
        from dbus_fast.unpack import unpack_variants

        if message.message_type is MessageType.SIGNAL and self._listening:
            body = tuple(unpack_variants(message.body))
            self._tell(Signal(message.path or "", message.interface or "", message.member or "", body))

    def _tell(self, signal: Signal) -> None:
        for news in self._listening:
            news.put_nowait(signal)

    async def _wait_for_end(self) -> None:
        with contextlib.suppress(Exception):  # however it ends, it has ended
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._tell(LOST)

    async def _close(self) -> None:
        self._bus.disconnect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await asyncio.shield(self._ended)


async def _connected(address: str) -> MessageBus:
    try:
        from dbus_fast import AuthError, InvalidAddressError
        from dbus_fast.aio import MessageBus
    except ImportError:
        raise RadioError(f"there is no D-Bus on {sys.platform}", reason="no-bus") from None
    try:
        async with asyncio.timeout(LIMIT):
            return await MessageBus(bus_address=address).connect()
    except InvalidAddressError as error:
        raise RadioError(
            f"DBUS_SYSTEM_BUS_ADDRESS is {address!r} ({error})",
            remedy="it must be like unix:path=/host/run/dbus/system_bus_socket",
            reason="no-bus",
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise RadioError(
            f"there is no D-Bus at {address}",
            remedy="start the system's D-Bus; in a container mount the host's, and name it by DBUS_SYSTEM_BUS_ADDRESS",
            reason="no-bus",
        ) from error
    except (AuthError, PermissionError, ConnectionError, EOFError) as error:
        raise RadioError(
            f"the D-Bus at {address} does not let user {_user()} in",
            remedy="run as root, or as a user that has an account on the machine of the bus",
            reason="no-permission",
        ) from error
    except TimeoutError:
        raise RadioError(
            f"the D-Bus at {address} does not answer within {LIMIT:g} s", remedy="restart it", reason="no-bus"
        ) from None
    except OSError as error:
        raise RadioError(
            f"the D-Bus at {address} cannot be reached ({error.strerror or error})", reason="no-bus"
        ) from error


def _lost() -> RadioError:
    return RadioError("the connection to D-Bus is gone", remedy="see that the system's D-Bus runs", reason="no-bus")


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else -1
