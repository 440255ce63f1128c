"""What a transfer asks of the link to a board, and what it gets back: small, typed, and without a radio.

A protocol here is a generator. It yields one operation after the other, and each ``yield`` returns what the operation
brought (its class says what) or raises what kept it from being done. So the same code runs over Bluetooth
(``enmctl.dfu.driver``) and in a model of a link on a virtual clock (``enmctl.simulator.nordic``), where thousands of
schedules of faults take seconds. It reads no clock but the one that it is handed.

Whatever is subscribed to arrives by ``Wait`` alone, in the order in which the board sent it. What arrived before is
kept until it is waited for; ``Open`` and ``Close`` drop it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from enmctl.models import BoardMode, Step

T = TypeVar("T")


class LinkError(Exception):
    """The link does not do what it was asked. Never seen by people: protocols turn it into what it means."""


class LinkLostError(LinkError):
    """The connection ended, by the board or by distance; thrown in at whatever the protocol does next."""


class AbsentError(LinkError):
    """No board is heard in the mode that was asked for, or none takes a connection, in time."""


class GattError(LinkError):
    """The board answered a read, a write or a subscription with an error.

    ``code`` is the ATT error (Bluetooth Core Specification, Vol 3, Part F, 3.4.1.1), None where the platform hides it.
    """

    def __init__(self, code: int | None, message: str = "") -> None:
        super().__init__(message or f"ATT error 0x{code or 0:02X}")
        self.code = code


class LinkTimeoutError(LinkError):
    """A read, a write with response or a subscription was not answered in time; the link is of no more use."""


@dataclass(frozen=True, slots=True)
class Open:
    """Connect to the board in one of its modes, and find out what it has there; brings ``Opened``.

    A connection that is open is closed first. ``seconds`` is for looking for it and for all tries to connect; the last
    of these may take as long again, and what others need the radio for does not count.

    Raises:
        AbsentError: as it says.
        LinkLostError: it was reached and lost at once.
    """

    mode: BoardMode
    seconds: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection: ``characteristics`` by UUID, ``most`` bytes of one write without response.

    Notifications are off. ``services`` counts the primary services, the two that every board has included.
    """

    characteristics: frozenset[str]
    most: int = 20
    services: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """Disconnect, and wait until that is so; brings None and raises nothing."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Wait at most so many seconds for the board to end the connection; brings whether it did. What it says is lost."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Switch notifications or indications on; brings None.

    Raises:
        GattError, LinkTimeoutError, LinkLostError
    """

    characteristic: str


@dataclass(frozen=True, slots=True)
class Read:
    """Read a value; brings bytes.

    Raises:
        GattError, LinkTimeoutError, LinkLostError
    """

    characteristic: str


class Write(NamedTuple):
    """Write without response, in order behind all writes before; brings None, and proves nothing.

    Raises:
        LinkLostError
    """

    characteristic: str
    data: bytes


class Request(NamedTuple):
    """Write with response; brings None.

    It is a barrier too: its response proves that all writes before it have left this machine (BlueZ queues them without
    a bound and answers at once).

    Raises:
        GattError, LinkTimeoutError, LinkLostError
    """

    characteristic: str
    data: bytes


class Wait(NamedTuple):
    """Wait at most so many seconds for a notification or indication; brings it, or None.

    With 0 it brings what is there already.

    Raises:
        LinkLostError: once all that arrived before was taken.
    """

    seconds: float


class Notification(NamedTuple):
    """What a board sent by itself."""

    characteristic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """Wait at most so many seconds until the board is heard in a mode, or in any where None; brings that mode, or None.

    What was heard before the operation does not count. Nothing is connected.
    """

    mode: BoardMode | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """A piece of news for whoever watches; brings None."""

    step: Step


@dataclass(frozen=True, slots=True)
class Keep:
    """Write the transfer's memory down, so that it outlives this program; brings None once that is done."""


Operation = Open | Close | Lost | Subscribe | Read | Write | Request | Wait | Heard | Tell | Keep

Transfer = Generator[Operation, Any, T]
"""A protocol that ends with a ``T``. What comes back from a ``yield`` is what the operation's class says."""


@dataclass(slots=True)
class Memory:
    """What is known of a transfer to one board beyond one connection and one run of this program.

    ``sha256`` (hex) and ``size`` tell the image that was being sent, "" and 0 where none was. ``sent`` is how many of
    its bytes were handed to the link, ``proven`` how many of them the board is known to have taken without a hole.
    ``tainted`` says that what the board has must not be built on. ``pace`` is the most bytes a second that the board
    has shown to take, None while nothing was too fast for it. ``begun`` names what was begun and must be ended: ""
    nothing, "dfu", or "partial". ``validated`` says that the board has verified all of it, ``activated`` that it took
    the order to start it, ``let_go`` that it ended the connection instead of answering that order. ``old_protocol``
    marks a bootloader from before SDK 6.1. ``unended`` says that a partial flash was begun on the board and none came
    to its end since: until one does, the board may start in its pairing mode, whatever else it is sent. ``name`` is
    what people call the board, which its bootloader does not tell.
    """

    sha256: str = ""
    size: int = 0
    sent: int = 0
    proven: int = 0
    tainted: bool = False
    pace: float | None = None
    begun: str = ""
    validated: bool = False
    activated: bool = False
    let_go: bool = False
    old_protocol: bool = False
    unended: bool = False
    name: str = ""

    def forget(self) -> None:
        """Nothing is under way any more; what is known of the board itself stays."""
        self.sha256 = self.begun = self.name = ""
        self.tainted = self.validated = self.activated = self.let_go = False
        self.size = self.sent = self.proven = 0
