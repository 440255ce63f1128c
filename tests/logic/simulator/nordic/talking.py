"""Talk to a simulated board without a link: what is written, read and waited for is at once and in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.contract import AttError, Changed, Disconnect, Effect, Notify
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, LEGACY_PACKET

PEER: Final = "C0:00:00:00:00:01"


class Talk:
    """A central that is told everything at once. ``said`` are the notifications in hex that were not looked at yet."""

    def __init__(self, board: NordicBoard, *, control: str = LEGACY_CONTROL, packet: str = LEGACY_PACKET) -> None:
        self.board = board
        self.now = 0.0
        self.said: list[str] = []
        self.ended: list[int] = []
        self._control = control
        self._packet = packet

    def take(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Notify):
                self.said.append(effect.data.hex(" "))
            elif isinstance(effect, Disconnect):
                self.ended.append(effect.reason)
                self.take(self.board.disconnected(self.now))
            else:
                assert isinstance(effect, Changed)

    def heard(self) -> list[str]:
        said, self.said = self.said, []
        return said

    def wait(self, seconds: float) -> list[str]:
        """Let so much time pass; what was said until then."""
        until = self.now + seconds
        while (due := self.board.due) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.board.tick(self.now))
        self.now = until
        return self.heard()

    def on(self) -> Talk:
        self.take(self.board.power(on=True, now=self.now))
        self.wait(1.0)
        return self

    def connect(self, *, subscribe: bool = True, peer: str = PEER) -> Talk:
        self.take(self.board.connected(peer, self.now))
        if subscribe:
            self.subscribe()
        return self

    def subscribe(self, characteristic: str | None = None) -> None:
        self.take(self.board.subscribe(characteristic or self._control, on=True, now=self.now))

    def leave(self) -> None:
        self.take(self.board.disconnected(self.now))

    def request(self, characteristic: str, data: bytes) -> list[str]:
        self.take(self.board.write(characteristic, data, response=True, now=self.now))
        return self.heard()

    def command(self, characteristic: str, data: bytes) -> list[str]:
        self.take(self.board.write(characteristic, data, response=False, now=self.now))
        return self.heard()

    def control(self, text: str) -> list[str]:
        """Write to the control point, in hex; what is said at once."""
        return self.request(self._control, bytes.fromhex(text))

    def packet(self, data: bytes, *, after: float = 0.0) -> list[str]:
        """Write a packet; what is said at once."""
        self.take([])
        said = self.wait(after) if after else []
        return said + self.command(self._packet, data)

    def code(self, text: str) -> int | None:
        """The ATT error that a write to the control point gets."""
        try:
            self.control(text)
        except AttError as error:
            return error.code
        return None
