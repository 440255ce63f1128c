"""What a board driver is: the contract that every board type keeps, built in or from a plug-in package.

A driver is found through the entry-point group ``enmctl.boards``: the entry's name is the board type and its value the
driver's class. One driver object serves all boards of its type; what differs from board to board comes as arguments.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from enmctl.boards.surroundings import Surroundings
from enmctl.models import DiscoveredBoard, Radio, Step
from enmctl.radio.bluetooth import Advert
from enmctl.radio.mdns import MdnsService
from enmctl.settings import Settings

Heard = MdnsService | Advert
"""What a radio heard, as a driver gets it to recognise: a service on the network, or a Bluetooth advertisement."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """A checked image, ready for one board type.

    ``data`` is exactly what goes over the air; ``sha256`` is its hash in hex; ``describe`` is one line for people.
    ``commit`` is what the source calls this version, None for a file given by hand.
    """

    board_type: str
    data: bytes
    sha256: str
    describe: str
    commit: str | None = None

    @property
    def size(self) -> int:
        """Bytes that go over the air."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a board said when asked how it is: None where its firmware does not tell."""

    version: str | None = None
    local_id: str | None = None
    application_id: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """Which of the two a board really took; a board without a channel for one has it as False."""

    config: bool
    environment: bool


class BoardDriver(Protocol):
    """How enmctl deals with boards of one type.

    ``config`` is the application's config with the device's own over it: access data and limits live there.
    Every method raises only errors of ``enmctl.errors`` and bounds every wait by a setting.
    """

    board_type: ClassVar[str]
    radio: ClassVar[Radio]
    surroundings: Surroundings
    """Filled in by whoever runs the driver, before it is asked to do anything."""

    def __init__(self, settings: Settings) -> None: ...

    def recognise(self, heard: Heard) -> DiscoveredBoard | None:
        """The board behind what a radio heard, or None where it is none of this type. Never raises."""
        ...

    def at_address(self, address: str) -> DiscoveredBoard | None:
        """The board that a person names by address, or None where the address is not of this driver's kind."""
        ...

    def read_firmware(self, path: Path, config: Mapping[str, str]) -> Firmware:
        """Read and check what is to be sent: a firmware file, or the folder of an unpacked asset.

        Raises:
            FirmwareError: with the reason, when it cannot be sent to any board of this type.
        """
        ...

    async def alive(self, board: DiscoveredBoard) -> bool:
        """Whether the board answers at all; the cheapest question there is."""
        ...

    async def ask(self, board: DiscoveredBoard, config: Mapping[str, str]) -> Answer:
        """Ask the board how it is.

        Raises:
            OfflineError: nothing answers.
            RefusedError: it answers, but is not what it should be.
        """
        ...

    def update(
        self, board: DiscoveredBoard, firmware: Firmware, config: Mapping[str, str]
    ) -> AsyncGenerator[Step, None]:
        """Put the firmware on the board and wait until it is back.

        Yields steps in the order TRANSFERRING (many), ACTIVATING (the board has it all and goes down), RETURNING, and
        DONE with its proof. From ACTIVATING on the radio is free for others. Closing the generator ends the transfer
        at a safe point and leaves no socket open.

        Raises:
            RefusedError: the board said no.
            TransferError: the transfer broke before its end.
            UnsettledError: all was sent, and the board did not come back in time, or came back with another version.
            OfflineError: nothing answers.
        """
        ...

    async def left_with(self, board: DiscoveredBoard) -> str:
        """What a board is left with whose update was stopped or failed, and how to go on; "" where it runs what it ran.

        By "" the gateway goes on believing what it knows of the board, so whoever is not sure says something else.
        """
        ...

    async def restart(self, board: DiscoveredBoard, config: Mapping[str, str]) -> str:
        """Restart the board and wait until it is back. Raises RefusedError where its firmware cannot.

        Returns:
            what else people should know of it, "" where there is nothing.
        """
        ...

    async def identify(self, board: DiscoveredBoard, config: Mapping[str, str]) -> None:
        """Make the board show itself to a person. Raises RefusedError where its firmware cannot."""
        ...

    async def configure(
        self,
        board: DiscoveredBoard,
        config: Mapping[str, str],
        *,
        new_config: Mapping[str, str] | None,
        new_environment: Mapping[str, str] | None,
    ) -> Applied:
        """Hand the board its config and environment; None leaves one alone."""
        ...


@runtime_checkable
class Rehearsing(Protocol):
    """What a driver may offer besides: to ask a board what it would be sent, where that differs from board to board."""

    async def rehearse(self, board: DiscoveredBoard, firmware: Firmware, config: Mapping[str, str]) -> str:
        """What ``update`` would send this very board, as a clause for people; the board stays as it is.

        Where it cannot be asked without being changed, the clause says so. Raises what ``update`` does before it sends
        anything.
        """
        ...
