"""One simulated board with a Nordic chip: its flash, and whichever of bootloader and application runs on it now.

Pure: see ``contract.BluetoothBoard``. What runs after a reset is read from the flash alone, so that flashing a board
decides what it is from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    Bonding,
    Changed,
    Characteristic,
    Disconnect,
    Effect,
    Property,
    Service,
)
from enmctl.simulator.nordic.program import KEY_MISSING, MTU, VANISHED, Boot, Machine, Program, Restart

BOOT_SECONDS: Final = 0.2
"""From a reset until it advertises."""

ATT_OVERHEAD: Final = 3
INSUFFICIENT_AUTHENTICATION, INSUFFICIENT_ENCRYPTION = 0x05, 0x0F
READ_NOT_PERMITTED, WRITE_NOT_PERMITTED, NOT_SUPPORTED, NOT_FOUND, INVALID_LENGTH = 0x02, 0x03, 0x06, 0x0A, 0x0D
"""ATT errors (Bluetooth Core Specification, Vol 3, Part F, 3.4.1.1)."""

NOTHING: Final[tuple[Service, ...]] = ()


class Loader(Protocol):
    """The bootloader in a board's flash, as it decides at each start what runs."""

    def __hash__(self) -> int:
        """Equal ones make equal boards."""
        ...

    def application_is_valid(self, machine: Machine) -> bool:
        """Whether there is an application that it would start."""
        ...

    def application_size(self, machine: Machine) -> int:
        """How long it knows the application to be, 0 where it does not."""
        ...

    def install(self, machine: Machine, size: int, crc: int) -> None:
        """Mark what is in the flash a valid application."""
        ...

    def activate(self, machine: Machine, boot: Boot, now: float) -> float:
        """Finish what was left to do when the chip reset; returns when that is done."""
        ...

    def start(self, machine: Machine, now: float) -> Program:
        """Run the bootloader."""
        ...


class Applications(Protocol):
    """What is known of the programs that run on a kind of board."""

    def start(self, machine: Machine, boot: Boot, now: float, *, known_size: int) -> Program | None:
        """Start what is in the flash; None where that is no program that runs."""
        ...

    def size(self, machine: Machine, *, known_size: int) -> int:
        """Bytes of the program in the flash, 0 where they do not tell."""
        ...


@dataclass(frozen=True, slots=True)
class Return:
    """How the board comes back from its next reset: elsewhere, under another name, late or not at all."""

    address_step: int = 0
    name: str | None = None
    seconds: float = 0.0
    never: bool = False


class NordicBoard:
    """A board, off at first. It keeps the contract of ``contract.BluetoothBoard``.

    Args:
        kind: what to call it, like "microbit-v1".
        machine: its chip.
        loader: its bootloader.
        applications: what runs on such boards.
    """

    def __init__(self, kind: str, machine: Machine, loader: Loader, applications: Applications) -> None:
        self.kind = kind
        self.machine = machine
        self.loader = loader
        self._applications = applications
        self._system = machine.flash.read(0, machine.layout.application)
        self._program: Program | None = None
        self._starting: Restart | None = None
        self._table: dict[str, Characteristic] = {}
        self._commands: frozenset[str] = frozenset()
        self._most = MTU - ATT_OVERHEAD
        self._return = Return()
        self._next_return = Return()
        self.on = False
        self.boots = 0
        self.overlong = 0

    @property
    def program(self) -> Program | None:
        """What runs now, None while nothing does."""
        return self._program

    @property
    def due(self) -> float | None:
        """When it does something by itself next."""
        if self._starting is not None:
            return self._starting.at
        program = self._program
        if program is None:
            return None
        if program.restart is None:
            return program.due
        due = program.due
        return program.restart.at if due is None else min(due, program.restart.at)

    @property
    def advertisement(self) -> Advertisement | None:
        """What it advertises; nothing while it is connected."""
        if self._program is None or self.machine.peer is not None:
            return None
        said = self._program.advertisement
        if said is None or self._return == Return():
            return said
        name = said.name if self._return.name is None or not said.name else self._return.name
        return replace(said, address=_moved(said.address, self._return.address_step), name=name)

    @property
    def services(self) -> Sequence[Service]:
        """What it offers now."""
        return NOTHING if self._program is None else self._program.services

    @property
    def bonding(self) -> Bonding:
        """How it pairs now."""
        return Bonding.NONE if self._program is None else self._program.bonding

    @property
    def passkey(self) -> str:
        """The six digits that it shows for pairing now, "" where it shows none."""
        return "" if self._program is None else self._program.passkey

    @property
    def most_mtu(self) -> int:
        """The largest ATT MTU that it takes now."""
        return MTU if self._program is None else self._program.most_mtu

    @property
    def mode(self) -> str:
        """What it is at, in a word."""
        if not self.on:
            return "off"
        if self._program is not None:
            return self._program.mode
        return "starting" if self._starting is not None else "dead"

    @property
    def stays_away(self) -> bool:
        """Whether it was made not to come back from its last reset."""
        return self._return.never

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        self.machine.flash.settle(now)
        if self._starting is not None:
            return self._start(self._starting.boot, now) if now >= self._starting.at else []
        program = self._program
        if program is None:
            return []
        before = self.advertisement
        effects = program.tick(now) if program.due is not None and now >= program.due else []
        if program.restart is not None and now >= program.restart.at:
            return [*effects, *self._reset(now, program.restart.boot)]
        return [*effects, Changed()] if self.advertisement != before else effects

    def connected(self, peer: str, now: float) -> list[Effect]:
        """Somebody has connected; see the contract."""
        self.machine.flash.settle(now)
        self.machine.let_go()
        if self._program is None:
            return [Disconnect(VANISHED)]
        self.machine.peer = peer.upper()
        self._recount()
        return [*self._program.connected(now), Changed()]

    def disconnected(self, now: float) -> list[Effect]:
        """The connection has ended; see the contract."""
        if self.machine.peer is None:
            return []
        self.machine.flash.settle(now)
        self.machine.let_go()
        self._recount()
        return [] if self._program is None else [*self._program.disconnected(now), Changed()]

    def bonded(self, now: float) -> list[Effect]:
        """Both have paired; see the contract."""
        machine, program = self.machine, self._program
        if program is None or machine.peer is None or program.bonding is Bonding.NONE:
            return []
        machine.flash.settle(now)
        machine.bonds.add(machine.peer, now)
        machine.encrypted = True
        self._recount()
        return program.bonded(now)

    def encrypted(self, now: float) -> list[Effect]:
        """The peer has a key from before; a board that lost its own ends the connection."""
        machine, program = self.machine, self._program
        if program is None or machine.peer is None:
            return []
        machine.flash.settle(now)
        if not program.knows(machine.peer):
            secret = any(known.encrypted for known in self._table.values())
            return [Disconnect(KEY_MISSING)] if secret else []
        machine.encrypted = True
        self._recount()
        return []

    def subscribe(self, characteristic: str, on: bool, now: float) -> list[Effect]:
        """The peer wants notifications or wants no more; see the contract."""
        self.machine.flash.settle(now)
        self._allow(characteristic, Property.NOTIFY | Property.INDICATE, NOT_SUPPORTED)
        if on:
            self.machine.subscribed.add(characteristic)
        else:
            self.machine.subscribed.discard(characteristic)
        return []

    def read(self, characteristic: str, now: float) -> bytes:
        """The peer reads; see the contract."""
        self.machine.flash.settle(now)
        return self._allow(characteristic, Property.READ, READ_NOT_PERMITTED).read(characteristic, now)

    def write(self, characteristic: str, data: bytes, *, response: bool, now: float) -> list[Effect]:
        """The peer writes; see the contract. What is too long without response the stack drops, and says nothing."""
        if not response:
            if characteristic not in self._commands or self._program is None:
                return []
            if len(data) > self._most:
                self.overlong += 1
                return []
            return self._program.write(characteristic, data, now)
        program = self._allow(characteristic, Property.WRITE, WRITE_NOT_PERMITTED)
        if len(data) > self._most:
            raise AttError(INVALID_LENGTH)
        self.machine.flash.settle(now)
        before = self.advertisement
        effects = program.write(characteristic, data, now)
        return [*effects, Changed()] if self.advertisement != before else effects

    def power(self, on: bool, now: float) -> list[Effect]:
        """Switch it on or off; see the contract."""
        if on == self.on:
            return []
        self.on = on
        if on:
            self._starting = Restart(now + BOOT_SECONDS)
            return []
        self._return = self._next_return = Return()
        self.machine.caller = None
        return self._stop(now)

    def reset(self, now: float, boot: Boot = Boot.NORMAL) -> list[Effect]:
        """Press its reset button; held with A and B it starts a micro:bit for pairing."""
        return self._reset(now, boot) if self.on else []

    def come_back(self, how: Return) -> None:
        """Let it come back from its next reset in such a way, until its power is switched or it resets again."""
        self._next_return = how

    def lose_bonds(self, now: float) -> None:
        """Take away the keys that it shares with its peers, as flashing it over USB does; they do not learn of it."""
        self.machine.bonds.forget(now)
        self.machine.flash.settle(self.machine.flash.free_at)

    def holds(self, image: bytes) -> bool:
        """Whether its application's place starts with exactly these bytes,."""
        return self.machine.flash.read(self.machine.layout.application, len(image)) == image

    def describe(self) -> dict[str, object]:
        """How it is, ready for JSON."""
        said = self.advertisement
        image = self.image()
        return {
            "kind": self.kind,
            "address": self.machine.address,
            "mode": self.mode,
            "advertised": None if said is None else said.name,
            "advertisedAddress": None if said is None else said.address,
            "connected": self.machine.peer,
            "sha256": hashlib.sha256(image).hexdigest() if image else None,
            "size": len(image),
            "written": self.machine.flash.written,
            "boots": self.boots,
            "bonds": list(self.machine.bonds),
            "overlong": self.overlong,
            "program": {} if self._program is None else self._program.describe(),
        }

    def image(self) -> bytes:
        """The application in the flash, b"" where there is none that the bootloader would start."""
        if not self.loader.application_is_valid(self.machine):
            return b""
        layout, flash = self.machine.layout, self.machine.flash
        size = self._applications.size(self.machine, known_size=self.loader.application_size(self.machine))
        if not size:
            used = flash.read(layout.application, layout.data_end - layout.application).rstrip(b"\xff")
            size = (len(used) + 3) // 4 * 4
        return flash.read(layout.application, size)

    def _allow(self, characteristic: str, properties: Property, refusal: int) -> Program:
        known = self._table.get(characteristic)
        if known is None or self._program is None:
            raise AttError(NOT_FOUND)
        if not known.properties & properties:
            raise AttError(refusal)
        if known.encrypted and not self.machine.encrypted:
            has_key = self.machine.peer is not None and self._program.knows(self.machine.peer)
            raise AttError(INSUFFICIENT_ENCRYPTION if has_key else INSUFFICIENT_AUTHENTICATION)
        return self._program

    def _recount(self) -> None:
        """See anew what is there and what may be written without a response."""
        self._table = {known.uuid: known for service in self.services for known in service.characteristics}
        self._commands = frozenset(
            known.uuid
            for known in self._table.values()
            if known.properties & Property.WRITE_WITHOUT_RESPONSE and (self.machine.encrypted or not known.encrypted)
        )
        self._most = self.most_mtu - ATT_OVERHEAD

    def _stop(self, now: float) -> list[Effect]:
        connected = self.machine.peer is not None
        self.machine.flash.cut(now)
        self.machine.let_go()
        self._program = self._starting = None
        self._recount()
        return [Disconnect(VANISHED), Changed()] if connected else [Changed()]

    def _reset(self, now: float, boot: Boot) -> list[Effect]:
        effects = self._stop(now)
        if boot is not Boot.BOOTLOADER:
            self.machine.caller = None
        self._return, self._next_return = self._next_return, Return()
        if not self._return.never:
            self._starting = Restart(now + BOOT_SECONDS + self._return.seconds, boot)
        return effects

    def _start(self, boot: Boot, now: float) -> list[Effect]:
        machine = self.machine
        done = self.loader.activate(machine, boot, now)
        if done > now:
            self._starting = Restart(done, boot)
            return []
        self._starting = None
        self.boots += 1
        if machine.flash.read(0, machine.layout.application) != self._system:
            return []
        if boot is not Boot.BOOTLOADER and self.loader.application_is_valid(machine):
            size = self.loader.application_size(machine)
            self._program = self._applications.start(machine, boot, now, known_size=size)
        else:
            self._program = self.loader.start(machine, now)
        self._recount()
        return [Changed()]


def _moved(address: str, step: int) -> str:
    return f"{address[:-2]}{(int(address[-2:], 16) + step) & 0xFF:02X}"
