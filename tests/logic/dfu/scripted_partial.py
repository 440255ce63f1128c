"""A scripted micro:bit with the partial flashing service."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from enmctl.dfu.gatt import PARTIAL
from enmctl.dfu.link import LinkError, Opened, Request, Write
from tests.logic.dfu.scripted import Answer, Scripted


@dataclass
class PartialBoard(Scripted):
    """A micro:bit's partial flashing service; ``regions`` are start, end and hash of the runtime's and the user's."""

    regions: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    mode: int = 0
    blocks: list[tuple[int, bytes]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    words: Sequence[Answer] = ()
    _block: bytes = b""
    _address: int = 0

    def __post_init__(self) -> None:
        self.opened = Opened(frozenset({PARTIAL}), 20, 5)

    def is_control(self, operation: Write | Request) -> bool:
        return operation.data[0] != 1

    def say(self, data: bytes) -> None:
        self.notify(PARTIAL, data)

    def take(self, operation: Write | Request) -> None:
        assert isinstance(operation, Write)
        data = operation.data
        match data[0]:
            case 0:
                self._block = b""
                self.say(struct.pack(">BBII8s", 0, data[1], *self.regions.get(data[1], (0, 0, bytes(8)))))
            case 1:
                self._take_quarter(data)
            case 0xEE:
                self.say(bytes((0xEE, 1, self.mode)))

    def _take_quarter(self, data: bytes) -> None:
        place = len(self._block) // 16
        self.numbers.append(data[3])
        half = int.from_bytes(data[1:3], "big")
        self._address = half if place == 0 else self._address | half << 16 if place == 1 else self._address
        self._block += data[4:]
        if len(self._block) < 64:
            return
        block, self._block = self._block, b""
        words = self.words = list(self.words)
        word = words.pop(0) if words else b"\x01\xff"
        if isinstance(word, LinkError):
            raise word
        if word == b"\x01\xff":
            self.blocks.append((self._address, block))
        if isinstance(word, bytes):
            self.say(word)
