"""A scripted board with a legacy bootloader, and passes of the protocol over it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET, LEGACY_VERSION
from enmctl.dfu.legacy import Legacy
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Memory, Opened, Request, Write
from enmctl.dfu.setbacks import StartOverError
from enmctl.errors import RefusedError
from enmctl.firmware.payload import Payload
from tests.logic.dfu.scripted import IMAGE, Scripted, payload

LIMITS = Limits()
RESET = "06"
MICROBIT = 4
PACKETS = [IMAGE[at : at + 20] for at in range(0, len(IMAGE), 20)]


@dataclass
class LegacyBoard(Scripted):
    """A legacy bootloader that takes everything at once; ``version`` None has no such characteristic."""

    version: int | None = 8
    received: int = 0
    announced: int = 0
    packets: list[bytes] = field(default_factory=list)
    init: bytes = b""
    drops: Callable[[int], bool] = lambda _: False
    silent: bool = False
    _expects: str = ""
    _every: int = 0
    _until: int = 0

    def __post_init__(self) -> None:
        versioned = {LEGACY_VERSION} if self.version is not None else set()
        self.opened = Opened(frozenset({LEGACY_CONTROL, LEGACY_PACKET, *versioned}), 244, 3)

    @property
    def image(self) -> bytes:
        return b"".join(self.packets)

    def read(self) -> bytes:
        assert self.version is not None
        return self.version.to_bytes(2, "little")

    def say(self, data: bytes) -> None:
        self.notify(LEGACY_CONTROL, data)

    def take(self, operation: Write | Request) -> None:
        data = operation.data
        if isinstance(operation, Write):
            assert operation.characteristic == LEGACY_PACKET
            self._take_packet(data)
            return
        assert operation.characteristic == LEGACY_CONTROL
        match data[0]:
            case 1 | 3:
                self._expects = "size" if data[0] == 1 else "data"
            case 2 if data[1:] == b"\1":
                self.say(b"\x10\x02\x01")
            case 2:
                self._expects = "init"
            case 4:
                self.say(b"\x10\x04\x01")
            case 5 | 6:
                self.gone = True
                self.received = 0
            case 7:
                self.say(b"\x10\x07\x01" + self.received.to_bytes(4, "little"))
            case 8:
                self._every = self._until = int.from_bytes(data[1:3], "little")

    def _take_packet(self, data: bytes) -> None:
        if self._expects == "size":
            self.announced = sum(struct.unpack(f"<{len(data) // 4}I", data))
            self.packets.clear()
            self.say(b"\x10\x01\x01")
        elif self._expects == "init":
            self.init += data
            if len(data) == 2:
                self.say(b"\x10\x02\x01")
        elif self._expects == "data" and not self.drops(len(self.packets)):
            self._take_data(data)

    def _take_data(self, data: bytes) -> None:
        self.packets.append(data)
        self.received += len(data)
        if self.received == self.announced:
            if not self.silent:
                self.say(b"\x10\x03\x01")
            return
        self._until -= 1
        if not self._until:
            self._until = self._every
            if not self.silent:
                self.say(b"\x11" + self.received.to_bytes(4, "little"))


def passed(board: LegacyBoard, sent: Payload | None = None) -> Legacy:
    legacy = Legacy(sent or payload(), board.memory, LIMITS, board.clock)
    board.run(legacy.run(board.opened))
    return legacy


def begun_anew(board: LegacyBoard, sent: Payload | None = None) -> StartOverError:
    with pytest.raises(StartOverError) as raised:
        passed(board, sent)
    return raised.value


def refused(board: LegacyBoard, sent: Payload | None = None) -> RefusedError:
    with pytest.raises(RefusedError) as raised:
        passed(board, sent)
    return raised.value


def under_way(sent: int = 200, **others: object) -> Memory:
    """The memory of a transfer of the very image that broke."""
    memory = Memory(sha256=payload().sha256, size=len(IMAGE), sent=sent, proven=sent, begun="dfu")
    return replace(memory, **others)  # type: ignore[arg-type]  # whatever a test wants


def writes(board: LegacyBoard) -> list[bytes]:
    return [write.data for write in board.of(Write)]


def answer_start(board: LegacyBoard, answer: bytes) -> None:
    """Have the board say this when it was told the sizes."""
    take = board.take

    def answering(operation: Write | Request) -> None:
        if isinstance(operation, Write) and len(writes(board)) == 1:
            board.say(answer)
        else:
            take(operation)

    board.take = answering  # type: ignore[method-assign]
