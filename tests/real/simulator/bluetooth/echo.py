"""A small board for tests of the radio: it echoes, sends by itself, jumps into another program, and pairs."""

from __future__ import annotations

from collections.abc import Sequence

from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    Bonding,
    Changed,
    Characteristic,
    Disconnect,
    Effect,
    Notify,
    Property,
    Service,
)

ADDRESS = "E7:12:34:56:78:9A"

ECHO_SERVICE = "e95d0000-251d-470a-a062-fa1922dfa9a8"
ECHO = "e95d0001-251d-470a-a062-fa1922dfa9a8"
"""Written to with response or without, it is echoed as a notification; read, it is the last that was written."""
STREAM = "e95d0002-251d-470a-a062-fa1922dfa9a8"
"""Each twelfth write without response is told by a notification with the count."""
INDICATED = "e95d0003-251d-470a-a062-fa1922dfa9a8"
"""Written to, it is echoed as an indication."""
REFUSING = "e95d0004-251d-470a-a062-fa1922dfa9a8"
"""Every access is answered with the ATT error that ``refusal`` says."""
JUMP = "e95d0006-251d-470a-a062-fa1922dfa9a8"
"""Written to, the board hangs up, and comes back with another program."""
SECRET = "e95d0007-251d-470a-a062-fa1922dfa9a8"
"""For bonded peers."""

BOOTLOADER_SERVICE = "00001530-1212-efde-1523-785feabcd123"
CONTROL = "00001531-1212-efde-1523-785feabcd123"

Prop = Property

APPLICATION_TABLE = (
    Service(
        ECHO_SERVICE,
        (
            Characteristic(ECHO, Prop.READ | Prop.WRITE | Prop.WRITE_WITHOUT_RESPONSE | Prop.NOTIFY),
            Characteristic(STREAM, Prop.WRITE_WITHOUT_RESPONSE | Prop.NOTIFY),
            Characteristic(INDICATED, Prop.WRITE | Prop.INDICATE),
            Characteristic(REFUSING, Prop.READ | Prop.WRITE | Prop.NOTIFY),
            Characteristic(JUMP, Prop.WRITE),
            Characteristic(SECRET, Prop.READ | Prop.WRITE | Prop.NOTIFY, encrypted=True),
        ),
    ),
    Service(
        "0000180a-0000-1000-8000-00805f9b34fb", (Characteristic("00002a24-0000-1000-8000-00805f9b34fb", Prop.READ),)
    ),
)
BOOTLOADER_TABLE = (Service(BOOTLOADER_SERVICE, (Characteristic(CONTROL, Prop.WRITE | Prop.NOTIFY),)),)

STREAM_EVERY = 12


class EchoBoard:
    """See the module.

    Args:
        address: where it advertises; it keeps it when it jumps, unless ``moves`` is set.
        name: what it advertises as an application.
        bonding: how it pairs.
        jump_time: seconds from the jump until it advertises again.
        moves: whether its bootloader has the next higher address.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        name: str = "BBC micro:bit [echo]",
        bonding: Bonding = Bonding.NONE,
        jump_time: float = 0.02,
        moves: bool = False,
    ) -> None:
        self.address = address
        self.name = name
        self.bonding = bonding
        self.jump_time = jump_time
        self.moves = moves
        self.most_mtu = 247
        self.bonded_only = False
        self.directed_to = ""
        self.refusal = 0xFD
        self.in_bootloader = False
        self.is_on = True
        self.peer: str | None = None
        self.received: list[tuple[str, bytes]] = []
        self.subscriptions: set[str] = set()
        self.heard_of: list[str] = []
        self.count = 0
        self.times: list[float] = []
        self._back_at: float | None = None
        self._spoken: list[tuple[float, Effect]] = []

    @property
    def due(self) -> float | None:
        times = [at for at, _ in self._spoken] + ([] if self._back_at is None else [self._back_at])
        return min(times, default=None)

    @property
    def advertisement(self) -> Advertisement | None:
        if not self.is_on or self.peer is not None or self._back_at is not None:
            return None
        if self.directed_to:
            return Advertisement(self.address, directed_to=self.directed_to)
        if not self.in_bootloader:
            return Advertisement(self.address, self.name, bonded_only=self.bonded_only)
        address = self.address[:-2] + f"{int(self.address[-2:], 16) + 1:02X}" if self.moves else self.address
        return Advertisement(address, "DfuTarg", (BOOTLOADER_SERVICE,), bonded_only=self.bonded_only)

    @property
    def services(self) -> Sequence[Service]:
        return BOOTLOADER_TABLE if self.in_bootloader else APPLICATION_TABLE

    def speak_at(self, at: float, effect: Effect) -> None:
        """Do something by itself at a time; the host is to be told that something changed."""
        self._spoken.append((at, effect))

    def tick(self, now: float) -> list[Effect]:
        self.times.append(now)
        effects = [effect for at, effect in self._spoken if at <= now]
        self._spoken = [(at, effect) for at, effect in self._spoken if at > now]
        if self._back_at is not None and self._back_at <= now:
            self._back_at = None
            effects.append(Changed())
        return effects

    def connected(self, peer: str, now: float) -> list[Effect]:
        self.times.append(now)
        self.peer = peer
        return [Changed()]

    def disconnected(self, now: float) -> list[Effect]:
        self.times.append(now)
        self.peer = None
        self.subscriptions.clear()
        return [Changed()]

    def bonded(self, now: float) -> list[Effect]:
        self.times.append(now)
        self.heard_of.append("bonded")
        return []

    def encrypted(self, now: float) -> list[Effect]:
        self.times.append(now)
        self.heard_of.append("encrypted")
        return []

    def subscribe(self, characteristic: str, on: bool, now: float) -> list[Effect]:
        self.times.append(now)
        if characteristic == REFUSING:
            raise AttError(self.refusal)
        (self.subscriptions.add if on else self.subscriptions.discard)(characteristic)
        return []

    def read(self, characteristic: str, now: float) -> bytes:
        self.times.append(now)
        if characteristic == REFUSING:
            raise AttError(self.refusal)
        return next((data for uuid, data in reversed(self.received) if uuid == characteristic), b"")

    def write(self, characteristic: str, data: bytes, *, response: bool, now: float) -> list[Effect]:
        self.times.append(now)
        if characteristic == REFUSING:
            raise AttError(self.refusal)
        self.received.append((characteristic, data))
        if characteristic == STREAM:
            self.count += 1
            return [Notify(STREAM, self.count.to_bytes(4, "little"))] if self.count % STREAM_EVERY == 0 else []
        if characteristic == JUMP:
            self.in_bootloader = True
            self._back_at = now + self.jump_time
            return [Notify(ECHO, b"jumping"), Disconnect(0x13), Changed()]
        return [Notify(characteristic, data)] if response or characteristic == ECHO else []

    def power(self, on: bool, now: float) -> list[Effect]:
        self.times.append(now)
        self.is_on = on
        self.peer = self._back_at = None
        self._spoken.clear()
        self.subscriptions.clear()
        return [Changed()]
