"""What a board driver gets from whoever runs it: the radios that are open, and a memory that lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from enmctl.dfu.link import Memory
from enmctl.models import BoardKey, DiscoveredBoard

if TYPE_CHECKING:
    from enmctl.radio.bluetooth import BluetoothRadio

Locate = Callable[[BoardKey], DiscoveredBoard | None]
"""Tells where a board is heard now."""


AskPasskey = Callable[[DiscoveredBoard], Awaitable[int | None]]
"""Asks a person for the six digits that a board shows; None where nobody will say."""


class Memories(Protocol):
    """What is known of transfers that were begun, by the board's address."""

    async def load(self, address: str) -> Memory:
        """What is known of a board; an empty memory where nothing is."""
        ...

    async def keep(self, address: str, memory: Memory) -> None:
        """Write down what is known now, and return once it is safe."""
        ...


class PassingMemories:
    """Memories that last as long as the program: for a driver that nobody gave a store."""

    def __init__(self) -> None:
        self._kept: dict[str, Memory] = {}

    async def load(self, address: str) -> Memory:
        """See Memories."""
        return self._kept.setdefault(address, Memory())

    async def keep(self, address: str, memory: Memory) -> None:
        """See Memories."""
        self._kept[address] = memory


@dataclass(slots=True)
class Surroundings:
    """What a driver may use; whoever runs the driver fills it in before it is asked to do anything.

    Attributes:
        locate: where a board is heard now, None where nobody listens.
        bluetooth: the open Bluetooth radio, None where there is none.
        memories: what is known of transfers that were begun.
        may_pair: whether a board that wants a bond may be paired with: only where a person asked for this very board.
        ask_passkey: asks that person for the six digits that a board shows, None where nobody can be asked.
    """

    locate: Locate | None = None
    bluetooth: BluetoothRadio | None = None
    memories: Memories = field(default_factory=PassingMemories)
    may_pair: bool = False
    ask_passkey: AskPasskey | None = None
