"""Simulated Bluetooth boards as people have them: on the air of a world, and with a flash that can outlast it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from enmctl.dfu.gatt import LEGACY_PACKET, PARTIAL, SECURE_PACKET
from enmctl.errors import UsageError
from enmctl.simulator.bluetooth.air import Air
from enmctl.simulator.bluetooth.hosting import RSSI, BoardHost
from enmctl.simulator.keeping import replace
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.program import Boot

DATA: Final = frozenset({LEGACY_PACKET, SECURE_PACKET, PARTIAL})
"""Where a program comes in."""

FAULTS: Final = ("link-lost", "power-cut")
"""What can go wrong in a transfer: the connection is lost, or the board's power goes and comes back."""

SHARE: Final = 0.4
"""How much of what was announced a transfer brings before it goes wrong, so that it can do so twice."""

AFTER: Final = 1024
"""Bytes after which one goes wrong that announces nothing: a partial flash."""

OFF_SECONDS: Final = 0.5


class LivingBoard:
    """One board on the air, switched on for as long as the context lasts.

    Args:
        air: where it is heard.
        board: the board, off.
        flash_file: where its flash is kept from one life to the next; None: nowhere.
        rssi: dBm at which it is heard.
    """

    def __init__(self, air: Air, board: NordicBoard, *, flash_file: Path | None = None, rssi: int = RSSI) -> None:
        self.board = board
        self.host = BoardHost(air, board, name=board.kind, rssi=rssi)
        self._flash_file = flash_file
        self._faults: list[str] = []
        self._bytes = 0

    @property
    def local_id(self) -> str:
        """The id by which a gateway knows it: its address."""
        return self.board.machine.address

    @property
    def runs(self) -> str:
        """The version of the program that runs, "" where that tells none."""
        program = self.board.program
        return "" if program is None else str(program.describe().get("version", ""))

    async def __aenter__(self) -> Self:
        await self.host.__aenter__()
        self.host.power(on=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.power(on=False)
        await self.host.__aexit__(kind, error, trace)
        if self._flash_file is not None:
            replace(self._flash_file, self.board.machine.flash.image())

    async def power(self, on: bool) -> None:
        """Switch it on or off; its flash stays, its RAM does not."""
        self.host.power(on=on)

    def reset(self, boot: Boot = Boot.NORMAL) -> None:
        """Press its reset button; on a micro:bit with A and B held (``Boot.PAIRING``) it starts for pairing."""
        self.host.carry_out(self.board.reset(asyncio.get_running_loop().time(), boot))

    def lose_bonds(self) -> None:
        """Have it forget all that it paired with, as flashing it over USB does; the others do not hear of it."""
        self.host.forget_bonds()
        self.board.lose_bonds(asyncio.get_running_loop().time())

    def break_with(self, fault: str, times: int = 1) -> None:
        """Make the next ``times`` transfers go wrong after a while; UsageError where there is no such fault."""
        if fault not in FAULTS:
            raise UsageError(f"there is no fault {fault!r} of this board", remedy=f"take one of {', '.join(FAULTS)}")
        self._faults += [fault] * times
        self._bytes = 0
        self._listen()

    def describe(self) -> Mapping[str, Any]:
        """The board as plain JSON values."""
        return {
            "id": self.local_id,
            "radio": "bluetooth",
            "rssi": self.host.rssi,
            "passkey": self.host.passkey or None,
            "faults": list(self._faults),
            **self.board.describe(),
        }

    def _listen(self) -> None:
        self.host.on_write = self._on_write if self._faults else None

    def _on_write(self, characteristic: str, size: int) -> None:
        if characteristic not in DATA:
            return
        self._bytes += size
        announced = self.board.program.describe().get("announced") if self.board.program is not None else None
        if self._bytes >= (SHARE * announced if isinstance(announced, int) and announced else AFTER):
            self._bytes = 0
            fault = self._faults.pop(0)
            self._listen()
            asyncio.get_running_loop().call_soon(self._go_wrong, fault)

    def _go_wrong(self, fault: str) -> None:
        if fault == "link-lost":
            self.host.lose_link()
        else:
            self.host.power(on=False)
            asyncio.get_running_loop().call_later(OFF_SECONDS, lambda: self.host.power(on=True))
