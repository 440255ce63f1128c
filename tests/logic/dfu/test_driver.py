"""The driver does what a transfer asks, gives it what came of it, and leaves nothing open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from enmctl.dfu.driver import Finished, carry_out
from enmctl.dfu.link import (
    AbsentError,
    Close,
    GattError,
    Heard,
    Keep,
    LinkError,
    LinkLostError,
    Lost,
    Notification,
    Open,
    Opened,
    Operation,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.errors import RefusedError
from enmctl.models import BoardMode, Stage, Step

OPENED = Opened(frozenset({"uuid"}), 20, 3)
NOTE = Notification("uuid", b"note")
STEP = Step(Stage.TRANSFERRING, 1, 2)
BOOTLOADER = BoardMode.BOOTLOADER


class Noting:
    """A link that writes down what is asked of it; ``errors`` are raised by the methods of their names."""

    def __init__(self, **errors: LinkError | Exception) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._errors = errors

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if error := self._errors.get(asked[0]):
            raise error

    async def open(self, mode: BoardMode, seconds: float) -> Opened:
        self._note("open", mode, seconds)
        return OPENED

    async def close(self) -> None:
        self._note("close")

    async def lost(self, seconds: float) -> bool:
        self._note("lost", seconds)
        return True

    async def subscribe(self, characteristic: str) -> None:
        self._note("subscribe", characteristic)

    async def read(self, characteristic: str) -> bytes:
        self._note("read", characteristic)
        return b"value"

    async def write(self, characteristic: str, data: bytes) -> None:
        self._note("write", characteristic, data)

    async def request(self, characteristic: str, data: bytes) -> None:
        self._note("request", characteristic, data)

    async def wait(self, seconds: float) -> Notification | None:
        self._note("wait", seconds)
        return NOTE

    async def heard(self, mode: BoardMode | None, seconds: float) -> BoardMode | None:
        self._note("heard", mode, seconds)
        return BOOTLOADER

    async def keep(self) -> None:
        self._note("keep")


OPERATIONS: list[tuple[Operation, tuple[Any, ...], Any]] = [
    (Open(BOOTLOADER, 1.0), ("open", BOOTLOADER, 1.0), OPENED),
    (Close(), ("close",), None),
    (Lost(2.0), ("lost", 2.0), True),
    (Subscribe("uuid"), ("subscribe", "uuid"), None),
    (Read("uuid"), ("read", "uuid"), b"value"),
    (Write("uuid", b"1"), ("write", "uuid", b"1"), None),
    (Request("uuid", b"2"), ("request", "uuid", b"2"), None),
    (Wait(3.0), ("wait", 3.0), NOTE),
    (Heard(None, 4.0), ("heard", None, 4.0), BOOTLOADER),
    (Keep(), ("keep",), None),
]
LAST = [("keep",), ("close",)]


def once(operation: Operation) -> Transfer[Any]:
    return (yield operation)


async def carried_out(transfer: Transfer[Any], link: Noting) -> list[Any]:
    return [item async for item in carry_out(transfer, link)]


@pytest.mark.parametrize(("operation", "asked", "brought"), OPERATIONS, ids=lambda it: type(it).__name__)
async def test_each_operation_is_done_by_its_method_and_brings_what_that_brings(
    operation: Operation, asked: tuple[Any, ...], brought: Any
) -> None:
    link = Noting()
    assert await carried_out(once(operation), link) == [Finished(brought)]
    assert link.asked == [asked, *LAST]


@pytest.mark.parametrize("error", [LinkLostError(), AbsentError(), GattError(0x05)])
async def test_an_error_of_the_link_is_raised_where_the_transfer_stands(error: LinkError) -> None:
    def transfer() -> Transfer[Any]:
        try:
            yield Request("uuid", b"1")
        except LinkError as raised:
            return raised, (yield Wait(1.0))

    link = Noting(request=error)
    assert await carried_out(transfer(), link) == [Finished((error, NOTE))]


async def test_news_is_handed_on_at_once_and_asks_nothing_of_the_link() -> None:
    def transfer() -> Transfer[None]:
        yield Tell(STEP)
        yield Keep()

    link = Noting()
    items = carry_out(transfer(), link)
    assert await anext(items) == STEP
    assert link.asked == []
    assert [item async for item in items] == [Finished(None)]


@pytest.mark.parametrize("end", [RefusedError("no"), LinkLostError()])
async def test_whatever_a_transfer_raises_the_memory_is_kept_and_the_connection_closed(end: Exception) -> None:
    def transfer() -> Transfer[None]:
        yield Wait(1.0)
        raise end

    link = Noting()
    with pytest.raises(type(end)):
        await carried_out(transfer(), link)
    assert link.asked[1:] == LAST


async def test_a_transfer_that_is_not_wanted_any_more_is_closed_and_its_memory_kept() -> None:
    closed: list[Callable[[], None] | bool] = []

    def transfer() -> Transfer[None]:
        try:
            yield Tell(STEP)
            yield Wait(1.0)
        finally:
            closed.append(True)

    link = Noting()
    items = carry_out(transfer(), link)
    await anext(items)
    await items.aclose()
    assert (closed, link.asked) == ([True], LAST)


async def test_what_is_no_error_of_the_link_ends_the_transfer() -> None:
    link = Noting(wait=RefusedError("two boards"))
    with pytest.raises(RefusedError):
        await carried_out(once(Wait(1.0)), link)
    assert link.asked[1:] == LAST


async def test_the_connection_is_closed_though_the_memory_cannot_be_kept() -> None:
    link = Noting(keep=OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        await carried_out(once(Wait(1.0)), link)
    assert link.asked[-1] == ("close",)
