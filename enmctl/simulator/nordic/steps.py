"""At which step of its protocol a transfer is, as told by nothing but what passes over the link."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from enmctl.dfu.link import Request, Write
from enmctl.simulator.nordic import legacy_rules as legacy
from enmctl.simulator.nordic import partial_flashing as partial
from enmctl.simulator.nordic import secure_rules as secure
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.link_model import Downstream
from enmctl.simulator.nordic.uuids import (
    LEGACY_CONTROL,
    LEGACY_PACKET,
    PARTIAL_FLASHING,
    SECURE_CONTROL,
    SECURE_PACKET,
)


class Way(StrEnum):
    """How a program gets onto a board."""

    LEGACY = "legacy"
    SECURE = "secure"
    PARTIAL = "partial"


class Point(StrEnum):
    """A step: from the write that begins it until the write that begins the next."""

    ENTER = "enter"
    """Connected to the program that runs, to bring the bootloader up."""
    CONNECT = "connect"
    """Connected to the bootloader."""
    RETURN = "return"
    """Not connected, after the board ended the connection."""

    START = "start"
    ERASE = "erase"
    INIT = "init"
    RECEIPTS = "receipts"
    RECEIVE = "receive"
    DATA = "data"
    RECEIVED = "received"
    """All data was sent, and the answer to it is awaited."""
    REPORT = "report"
    VALIDATE = "validate"
    ACTIVATE = "activate"
    RESET = "reset"

    SELECT_COMMAND = "select-command"
    CREATE_COMMAND = "create-command"
    CRC_COMMAND = "crc-command"
    EXECUTE_COMMAND = "execute-command"
    SELECT_DATA = "select-data"
    CREATE_DATA = "create-data"
    CRC_DATA = "crc-data"
    EXECUTE_DATA = "execute-data"
    EXECUTE_LAST = "execute-last"

    MODE = "mode"
    REGION = "region"
    BLOCK = "block"
    END = "end"


AROUND: Final = (Point.ENTER, Point.CONNECT, Point.RETURN)
POINTS: Final[dict[Way, tuple[Point, ...]]] = {
    Way.LEGACY: (
        *AROUND,
        Point.START,
        Point.ERASE,
        Point.INIT,
        Point.RECEIPTS,
        Point.RECEIVE,
        Point.DATA,
        Point.RECEIVED,
        Point.REPORT,
        Point.VALIDATE,
        Point.ACTIVATE,
        Point.RESET,
    ),
    Way.SECURE: (
        *AROUND,
        Point.RECEIPTS,
        Point.SELECT_COMMAND,
        Point.CREATE_COMMAND,
        Point.INIT,
        Point.CRC_COMMAND,
        Point.EXECUTE_COMMAND,
        Point.SELECT_DATA,
        Point.CREATE_DATA,
        Point.DATA,
        Point.CRC_DATA,
        Point.EXECUTE_DATA,
        Point.EXECUTE_LAST,
    ),
    Way.PARTIAL: (Point.ENTER, Point.RETURN, Point.MODE, Point.REGION, Point.BLOCK, Point.END),
}

LEGACY_POINTS: Final = {
    legacy.START: Point.START,
    legacy.INIT: Point.INIT,
    legacy.RECEIVE: Point.RECEIVE,
    legacy.VALIDATE: Point.VALIDATE,
    legacy.ACTIVATE: Point.ACTIVATE,
    legacy.RESET: Point.RESET,
    legacy.REPORT: Point.REPORT,
    legacy.RECEIPTS: Point.RECEIPTS,
}
PARTIAL_POINTS: Final = {
    partial.REGION: Point.REGION,
    partial.BLOCK: Point.BLOCK,
    partial.END: Point.END,
    partial.STATUS: Point.MODE,
    partial.RESET: Point.MODE,
}
COMMAND_POINTS: Final = {
    secure.SELECT: Point.SELECT_COMMAND,
    secure.CREATE: Point.CREATE_COMMAND,
    secure.CRC: Point.CRC_COMMAND,
    secure.EXECUTE: Point.EXECUTE_COMMAND,
    secure.RECEIPTS: Point.RECEIPTS,
}
DATA_POINTS: Final = {
    secure.SELECT: Point.SELECT_DATA,
    secure.CREATE: Point.CREATE_DATA,
    secure.CRC: Point.CRC_DATA,
    secure.EXECUTE: Point.EXECUTE_DATA,
    secure.RECEIPTS: Point.RECEIPTS,
}


class Watch:
    """Follows one board; ``seen`` are the steps that were reached, ``bytes`` counts bytes of images that reached it."""

    def __init__(self, board: NordicBoard) -> None:
        self._board = board
        self.seen: set[Point] = set()
        self.point = Point.RETURN
        self.bytes = 0
        self._data = False
        self._left_at_least = 0

    @property
    def point(self) -> Point:
        """The step that is under way."""
        return self._point

    @point.setter
    def point(self, point: Point) -> None:
        self._point = point
        self.seen.add(point)

    def connected(self) -> None:
        """There is a connection."""
        self.point = Point.CONNECT if self._board.mode == "bootloader" else Point.ENTER

    def ended(self) -> None:
        """The connection has ended."""
        self.point = Point.RETURN

    def see(self, sent: Downstream) -> None:
        """Something is about to reach the board."""
        if isinstance(sent, (Write, Request)) and sent.data:
            self._see_write(sent)

    def _see_write(self, sent: Write | Request) -> None:
        uuid, operation = sent.characteristic, sent.data[0]
        if uuid == PARTIAL_FLASHING:
            self.point = PARTIAL_POINTS.get(operation, self.point)
            self.bytes += partial.PACKET_DATA if operation == partial.BLOCK else 0
        elif self._board.mode != "bootloader":
            self.point = Point.ENTER
        elif uuid == LEGACY_CONTROL:
            self.point = LEGACY_POINTS.get(operation, self.point)
        elif uuid == SECURE_CONTROL:
            self._see_secure(sent.data)
        elif uuid == LEGACY_PACKET:
            self._see_legacy_packet(len(sent.data))
        elif uuid == SECURE_PACKET:
            self.point = Point.DATA if self._data else Point.INIT
            self.bytes += len(sent.data) if self._data else 0

    def _see_legacy_packet(self, size: int) -> None:
        if self.point in (Point.RECEIVE, Point.DATA):
            self.bytes += size
            self._left_at_least -= size
            if self.point is Point.RECEIVE or self._left_at_least <= 0:
                # The board is asked only when it may have all: it drops some, and never takes more than it is sent.
                self._left_at_least = self._left() - size
            self.point = Point.RECEIVED if self._left_at_least == 0 else Point.DATA
        elif self.point is Point.START:
            self.point = Point.ERASE

    def _see_secure(self, data: bytes) -> None:
        if data[0] in (secure.SELECT, secure.CREATE) and len(data) > 1:
            self._data = data[1] == secure.DATA
        points = DATA_POINTS if self._data else COMMAND_POINTS
        self.point = points.get(data[0], self.point)
        if self.point is Point.EXECUTE_DATA and self._left() == 0:
            self.point = Point.EXECUTE_LAST

    @property
    def received(self) -> int:
        """Bytes of the image that the bootloader says it has."""
        return self._said("received")

    def _left(self) -> int:
        """Bytes that the bootloader still has to get."""
        return self._said("announced") - self._said("received")

    def _said(self, what: str) -> int:
        program = self._board.program
        said = None if program is None else program.describe().get(what)
        return said if isinstance(said, int) else -1
