"""A scripted board with a secure bootloader."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from enmctl.dfu.gatt import SECURE_CONTROL, SECURE_PACKET
from enmctl.dfu.link import Notification, Opened, Request, Write
from tests.logic.dfu.scripted import IMAGE, Scripted


@dataclass
class SecureBoard(Scripted):
    """A secure bootloader that takes everything at once; ``lost`` are the numbers of data packets that it drops."""

    command_most: int = 512
    command: bytes = b""
    data: bytes = b""
    objects: list[int] = field(default_factory=list)
    drops: Callable[[int, bytes], bool] = lambda _number, _data: False
    packets: list[bytes] = field(default_factory=list)
    most: int = 244
    announced: int = len(IMAGE)
    _kind: int = 1
    _executed: int = 0
    _every: int = 0
    _until: int = 0

    def __post_init__(self) -> None:
        self.opened = Opened(frozenset({SECURE_CONTROL, SECURE_PACKET}), self.most, 3)

    def say(self, data: bytes) -> None:
        self.said.append(Notification(SECURE_CONTROL, data))

    def take(self, operation: Write | Request) -> None:
        data = operation.data
        if isinstance(operation, Write):
            assert operation.characteristic == SECURE_PACKET
            self._take_packet(data)
            return
        assert operation.characteristic == SECURE_CONTROL
        rest = b""
        match data[0]:
            case 1:
                self._create(data[1])
                self.objects += [int.from_bytes(data[2:6], "little")] if self._kind == 2 else []
            case 2:
                self._every = self._until = int.from_bytes(data[1:3], "little")
            case 3:
                rest = self.counted
            case 4:
                self._executed = len(self.data)
                self.gone = self._kind == 2 and len(self.data) == self.announced
            case 6:
                self._kind = data[1]
                rest = struct.pack("<I", self.command_most if self._kind == 1 else 4096) + self.counted
        self.say(bytes((0x60, data[0], 1)) + rest)

    @property
    def counted(self) -> bytes:
        data = self.command if self._kind == 1 else self.data
        return struct.pack("<2I", len(data), crc32(data))

    def _create(self, kind: int) -> None:
        self._kind, self._until = kind, self._every
        if kind == 1:
            self.command = self.data = b""
            self._executed = 0
        else:
            self.data = self.data[: self._executed]

    def _take_packet(self, data: bytes) -> None:
        self.packets.append(data)
        if self.drops(len(self.packets) - 1, data):
            return
        if self._kind == 1:
            self.command += data
        else:
            self.data += data
        self._until -= 1
        if not self._until:
            self._until = self._every
            self.say(b"\x60\x03\x01" + self.counted)
