"""Carries out a transfer's operations on a real link, in asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, assert_never

from enmctl.dfu.link import (
    Close,
    Heard,
    Keep,
    LinkError,
    Lost,
    Notification,
    Open,
    Opened,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.models import BoardMode, Step

T = TypeVar("T")

Asked = Write | Wait | Request | Read | Subscribe | Open | Close | Lost | Heard | Keep


class Link(Protocol):
    """What a board's driver gives a transfer to work with; each method does what the operation of its name says.

    Every method bounds its own waiting, and raises only ``LinkError`` and errors of ``enmctl.errors``.
    """

    async def open(self, mode: BoardMode, seconds: float) -> Opened:
        """Connect; AbsentError where that cannot be done in time."""
        ...

    async def close(self) -> None:
        """Disconnect, and return once that is so."""
        ...

    async def lost(self, seconds: float) -> bool:
        """Whether the board ends the connection within so many seconds."""
        ...

    async def subscribe(self, characteristic: str) -> None:
        """Switch notifications or indications on."""
        ...

    async def read(self, characteristic: str) -> bytes:
        """The value."""
        ...

    async def write(self, characteristic: str, data: bytes) -> None:
        """Write without response, in order."""
        ...

    async def request(self, characteristic: str, data: bytes) -> None:
        """Write with response."""
        ...

    async def wait(self, seconds: float) -> Notification | None:
        """The next notification, None where none comes in time."""
        ...

    async def heard(self, mode: BoardMode | None, seconds: float) -> BoardMode | None:
        """The mode in which the board is heard from now on."""
        ...

    async def keep(self) -> None:
        """Write the memory down."""
        ...


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """What a transfer ended with."""

    value: T


async def carry_out(transfer: Transfer[T], link: Link) -> AsyncGenerator[Step | Finished[T], None]:
    """Do what a transfer asks; yields its news, and at last what it ended with.

    Closing the generator ends the transfer where it stands: its memory is kept, and the connection is closed.

    Raises:
        EnmError: as the transfer does.
    """
    result: Any = None
    error: LinkError | None = None
    try:
        while True:
            try:
                operation = transfer.send(result) if error is None else transfer.throw(error)
            except StopIteration as end:
                yield Finished(end.value)
                return
            result, error = None, None
            if isinstance(operation, Tell):
                yield operation.step
                continue
            try:
                result = await _done(operation, link)
            except LinkError as raised:
                error = raised
    finally:
        transfer.close()
        try:
            await link.keep()
        finally:
            await link.close()


async def _done(operation: Asked, link: Link) -> Any:
    """What an operation brings; the frequent ones come first."""
    match operation:
        case Write():
            return await link.write(operation.characteristic, operation.data)
        case Wait():
            return await link.wait(operation.seconds)
        case Request():
            return await link.request(operation.characteristic, operation.data)
        case Read():
            return await link.read(operation.characteristic)
        case Subscribe():
            return await link.subscribe(operation.characteristic)
        case _:
            return await _done_with_link(operation, link)


async def _done_with_link(operation: Open | Close | Lost | Heard | Keep, link: Link) -> Any:
    match operation:
        case Open():
            return await link.open(operation.mode, operation.seconds)
        case Close():
            return await link.close()
        case Lost():
            return await link.lost(operation.seconds)
        case Heard():
            return await link.heard(operation.mode, operation.seconds)
        case Keep():
            return await link.keep()
        case _:
            assert_never(operation)
