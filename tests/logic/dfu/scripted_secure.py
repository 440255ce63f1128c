"""A scripted board with a secure bootloader."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from zlib import crc32

import pytest

from enmctl.dfu.gatt import SECURE_CONTROL, SECURE_PACKET
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Memory, Opened, Request, Write
from enmctl.dfu.secure import Secure
from enmctl.dfu.setbacks import StartOverError
from enmctl.errors import RefusedError
from enmctl.firmware.nordic import Protocol
from enmctl.firmware.payload import Payload
from tests.logic.dfu.scripted import Scripted, payload

LIMITS = Limits()
INIT = bytes(range(100, 156))
IMAGE = Random(1).randbytes(9216)
"""Two whole objects, and one of a quarter of a page."""
OBJECTS = [4096, 4096, 1024]


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
    kind: int = 1
    executed: int = 0
    _every: int = 0
    _until: int = 0

    def __post_init__(self) -> None:
        self.opened = Opened(frozenset({SECURE_CONTROL, SECURE_PACKET}), self.most, 3)

    def say(self, data: bytes) -> None:
        self.notify(SECURE_CONTROL, data)

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
                self.objects += [int.from_bytes(data[2:6], "little")] if self.kind == 2 else []
            case 2:
                self._every = self._until = int.from_bytes(data[1:3], "little")
            case 3:
                rest = self.counted
            case 4 if self.kind == 2:
                self.executed = len(self.data)
                self.gone = len(self.data) == self.announced
            case 6:
                self.kind = data[1]
                rest = struct.pack("<I", self.command_most if self.kind == 1 else 4096) + self.counted
        self.say(bytes((0x60, data[0], 1)) + rest)

    @property
    def counted(self) -> bytes:
        data = self.command if self.kind == 1 else self.data
        return struct.pack("<2I", len(data), crc32(data))

    def _create(self, kind: int) -> None:
        self.kind, self._until = kind, self._every
        if kind == 1:
            self.command = self.data = b""
            self.executed = 0
        else:
            self.data = self.data[: self.executed]

    def _take_packet(self, data: bytes) -> None:
        self.packets.append(data)
        if self.drops(len(self.packets) - 1, data):
            return
        if self.kind == 1:
            self.command += data
        else:
            self.data += data
        self._until -= 1
        if not self._until:
            self._until = self._every
            self.say(b"\x60\x03\x01" + self.counted)


def sent(init: bytes = INIT, image: bytes = IMAGE) -> Payload:
    return payload(image, init=init, protocol=Protocol.SECURE)


def board_of(**how: object) -> SecureBoard:
    return SecureBoard(announced=len(IMAGE), **how)  # type: ignore[arg-type]  # whatever a test wants


def passed(board: SecureBoard, what: Payload | None = None) -> Secure:
    secure = Secure(what or sent(), board.memory, LIMITS, board.clock)
    board.run(secure.run(board.opened))
    return secure


def begun_anew(board: SecureBoard) -> StartOverError:
    with pytest.raises(StartOverError) as raised:
        passed(board)
    return raised.value


def refused(board: SecureBoard, what: Payload | None = None) -> RefusedError:
    with pytest.raises(RefusedError) as raised:
        passed(board, what)
    return raised.value


def under_way(**others: object) -> Memory:
    memory = Memory(sha256=sent().sha256, size=len(IMAGE), begun="dfu")
    return replace(memory, **others)  # type: ignore[arg-type]


def with_part(offset: int, **how: object) -> SecureBoard:
    """A board that took the init packet and some of the image, in an earlier connection."""
    board = board_of(command=INIT, data=IMAGE[:offset], memory=under_way(sent=offset), **how)
    board.executed = offset // 4096 * 4096
    return board


def take_executions(board: SecureBoard) -> None:
    """Have a board end objects though what it says of it is scripted."""
    write = board.write

    def taking(operation: Write | Request) -> None:
        if operation.data == b"\4" and board.kind == 2:
            board.executed = len(board.data)
        write(operation)

    board.write = taking  # type: ignore[method-assign]


def last(answer: str) -> Callable[[SecureBoard], None]:
    def scripted(board: SecureBoard) -> None:
        board.answers = {"04": [b"\x60\x04\x01", b"\x60\x04\x01", b"\x60\x04\x01", bytes.fromhex(answer)]}
        take_executions(board)

    return scripted
