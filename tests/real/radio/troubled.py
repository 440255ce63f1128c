"""An adapter that fails as it is told, and otherwise is a simulated one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from enmctl.radio.bluetooth import Advert
from enmctl.simulator.bluetooth.virtual import VirtualRadio, radio_on
from tests.real.simulator.bluetooth.rig import Rig


def at(address: str) -> Callable[[Advert], bool]:
    return lambda advert: advert.address == address


class Troubled:
    """An adapter whose classes fail as they are told, in the order given; then they work.

    Connections to the addresses that ``hangs`` has never come about, nor fail.
    """

    def __init__(self, rig: Rig, **options: Any) -> None:
        self.backend: VirtualRadio = radio_on(rig.air, **options)
        self.starts: list[Exception] = []
        self.connects: list[Exception] = []
        self.hangs: set[str] = set()
        self.started = self.connected = self.cycled = 0
        self.is_scanning = self.scanned_while_connecting = False
        troubled, scanner, client = self, self.backend.scanner, self.backend.client

        class Scanner(scanner):  # type: ignore[valid-type,misc]
            async def start(self) -> None:
                troubled.started += 1
                if troubled.starts:
                    raise troubled.starts.pop(0)
                await super().start()
                troubled.is_scanning = True

            async def stop(self) -> None:
                troubled.is_scanning = False
                await super().stop()

        class Client(client):  # type: ignore[valid-type,misc]
            async def connect(self, pair: bool, **named: Any) -> None:
                troubled.connected += 1
                troubled.scanned_while_connecting |= troubled.is_scanning
                if troubled.connects:
                    raise troubled.connects.pop(0)
                if self.address in troubled.hangs:
                    await asyncio.Event().wait()
                await super().connect(pair, **named)

        async def power_cycle() -> bool:
            self.cycled += 1
            return True

        self.backend.scanner, self.backend.client = Scanner, Client
        self.backend.power_cycle = power_cycle  # type: ignore[method-assign]
