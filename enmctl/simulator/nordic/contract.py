"""What a simulated Bluetooth board is: a pure state machine that is told what happens and when.

It reads no clock and knows no loop. Whoever hosts it (the model of a link, or a GATT server on a virtual radio) calls
its methods with the time in seconds, does what the returned effects say, in their order and at once, and calls ``tick``
when ``due`` is reached. Times never go back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import Protocol


class Property(Flag):
    """What may be done with a characteristic."""

    READ = auto()
    WRITE = auto()
    WRITE_WITHOUT_RESPONSE = auto()
    NOTIFY = auto()
    INDICATE = auto()


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A characteristic of a simulated board; ``encrypted`` ones want a bond. ``uuid`` is in lower case, whole."""

    uuid: str
    properties: Property
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A primary service."""

    uuid: str
    characteristics: tuple[Characteristic, ...]


class Bonding(Enum):
    """How a board pairs."""

    NONE = "none"
    """It never needs to."""
    JUST_WORKS = "just-works"
    PASSKEY = "passkey"
    """It shows six digits, which the other side must give."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a board says to everybody who listens.

    ``directed_to`` is the one address that a directed advertisement is for (then there is no name and no service), and
    ``bonded_only`` says that only bonded peers are let in and heard.
    """

    address: str
    name: str = ""
    services: tuple[str, ...] = ()
    directed_to: str = ""
    bonded_only: bool = False


@dataclass(frozen=True, slots=True)
class Notify:
    """Send a notification, or an indication; left out where the peer has not subscribed."""

    characteristic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End the connection from the board's side; ``reason`` is an HCI error code (0x13: the remote user ended it)."""

    reason: int = 0x13


@dataclass(frozen=True, slots=True)
class Changed:
    """What the board advertises, or its table of services, is another now: ask again."""


Effect = Notify | Disconnect | Changed


class AttError(Exception):
    """A request is answered with this ATT error code instead."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ATT error 0x{code:02X}")
        self.code = code


class BluetoothBoard(Protocol):
    """A simulated board."""

    @property
    def due(self) -> float | None:
        """When the board does something by itself next, None where never."""
        ...

    @property
    def advertisement(self) -> Advertisement | None:
        """What it advertises now, None where it is silent (off, connected, restarting, its radio used otherwise)."""
        ...

    @property
    def services(self) -> Sequence[Service]:
        """Its table of services now, without the two that every board has (1800 and 1801)."""
        ...

    @property
    def bonding(self) -> Bonding:
        """How it pairs now."""
        ...

    @property
    def most_mtu(self) -> int:
        """The largest ATT MTU that it takes."""
        ...

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        ...

    def connected(self, peer: str, now: float) -> list[Effect]:
        """A central has connected; ``peer`` is its address."""
        ...

    def disconnected(self, now: float) -> list[Effect]:
        """The connection has ended, from either side."""
        ...

    def bonded(self, now: float) -> list[Effect]:
        """The peer and the board have paired and share a key now."""
        ...

    def encrypted(self, now: float) -> list[Effect]:
        """The connection is encrypted with a key from before."""
        ...

    def subscribe(self, characteristic: str, on: bool, now: float) -> list[Effect]:
        """The peer switches notifications or indications on or off. Raises AttError where it may not."""
        ...

    def read(self, characteristic: str, now: float) -> bytes:
        """The value. Raises AttError where it may not be read."""
        ...

    def write(self, characteristic: str, data: bytes, *, response: bool, now: float) -> list[Effect]:
        """The peer writes. The response to a write with response goes before the effects. Raises AttError."""
        ...

    def power(self, on: bool, now: float) -> list[Effect]:
        """Switch it on or off: its flash stays, its RAM is lost, and a connection just vanishes."""
        ...
