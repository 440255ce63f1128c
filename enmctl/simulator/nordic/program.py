"""What runs on a simulated chip at a time, and what it sees of the chip: its flash, its radio, who is connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from enmctl.simulator.nordic.chips import Layout
from enmctl.simulator.nordic.contract import Advertisement, Bonding, Effect, Notify, Service
from enmctl.simulator.nordic.flash import Flash
from enmctl.simulator.nordic.records import Bonds

CCCD_OFF: Final = 0xFD
"""ATT error of a control point that cannot answer: notifications are off (Bluetooth Core Supplement, Part B)."""

VANISHED: Final = 0x08
"""HCI reason of a connection that was not ended but is gone: the other side sees it by its supervision timeout."""

KEY_MISSING: Final = 0x06
POWER_OFF: Final = 0x15
"""HCI reasons: the board does not have the key any more; the board is about to switch its radio off."""

MTU: Final = 23
"""The ATT MTU of who does not ask for another."""


class Boot(Enum):
    """What a chip is asked to start with; the word does not outlive a power cut."""

    NORMAL = "normal"
    BOOTLOADER = "bootloader"
    PAIRING = "pairing"


@dataclass(frozen=True, slots=True)
class Restart:
    """The chip resets by itself at a time."""

    at: float
    boot: Boot = Boot.NORMAL


class Machine:
    """A chip: flash, its address and serial number (DEVICEID[1]), and the one connection that it can have.

    ``caller`` is the peer whose request brought the bootloader up, None after any other start; ``caller_bonded`` says
    whether its keys were handed over.
    """

    def __init__(self, layout: Layout, address: str, serial: int, content: bytes | None = None) -> None:
        self.layout = layout
        self.flash = Flash(layout.chip, content)
        self.address = address.upper()
        self.serial = serial
        self.bonds = Bonds(self.flash, layout.bonds)
        self.peer: str | None = None
        self.encrypted = False
        self.subscribed: set[str] = set()
        self.caller: str | None = None
        self.caller_bonded = False

    def address_after(self, step: int) -> str:
        """The address with its least significant byte so much higher; there is no carry."""
        head, last = self.address[:-2], int(self.address[-2:], 16)
        return f"{head}{(last + step) & 0xFF:02X}"

    def let_go(self) -> None:
        """Nobody is connected."""
        self.peer = None
        self.encrypted = False
        self.subscribed.clear()


class Program:
    """One program that a chip runs. It asks for a reset by setting ``restart``.

    Its methods are called as those of ``contract.BluetoothBoard``; what is allowed was looked at before.
    """

    mode = ""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.restart: Restart | None = None

    @property
    def due(self) -> float | None:
        """When it does something by itself, apart from ``restart``."""
        return None

    @property
    def services(self) -> Sequence[Service]:
        """What it offers; the same for as long as it runs."""
        return ()

    @property
    def advertisement(self) -> Advertisement | None:
        """What it advertises while nobody is connected."""
        return None

    @property
    def bonding(self) -> Bonding:
        """How it pairs."""
        return Bonding.NONE

    @property
    def passkey(self) -> str:
        """The six digits that it shows for pairing, "" where it shows none."""
        return ""

    @property
    def most_mtu(self) -> int:
        """The largest ATT MTU that it takes."""
        return MTU

    def knows(self, peer: str) -> bool:
        """Whether it has a key that it shares with this peer."""
        return peer in self.machine.bonds

    def describe(self) -> dict[str, object]:
        """What is to be told of it, as plain JSON values."""
        return {}

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        del now
        return []

    def connected(self, now: float) -> list[Effect]:
        """Somebody has connected."""
        del now
        return []

    def disconnected(self, now: float) -> list[Effect]:
        """The connection has ended."""
        del now
        return []

    def bonded(self, now: float) -> list[Effect]:
        """A new bond was made, and is stored."""
        del now
        return []

    def read(self, characteristic: str, now: float) -> bytes:
        """A value."""
        del characteristic, now
        return b""

    def write(self, characteristic: str, data: bytes, now: float) -> list[Effect]:
        """Somebody writes."""
        del characteristic, data, now
        return []

    def notify(self, characteristic: str, data: bytes) -> list[Effect]:
        """A notification, where somebody is there who wants it."""
        return [Notify(characteristic, data)] if characteristic in self.machine.subscribed else []
