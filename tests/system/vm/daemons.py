"""In the virtual machine: the system's daemons, and commands that end. Nothing here is for a machine that is real."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

from enmctl.radio.hotspot.network_manager import SERVICE
from enmctl.radio.system_bus import SystemBus
from enmctl.settings import Settings

WITHIN = 90.0
"""Seconds that anything may take on an emulated processor."""

LOOK_AGAIN = 0.2
"""Seconds between two looks at what tells nobody that it changed."""

LOGS = Path("/tmp")  # noqa: S108 - a machine of its own, and memory

NETWORK_MANAGER = """[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
[device]
wifi.scan-rand-mac-address=no
"""


class Said(NamedTuple):
    """How a command ended, and all that it said."""

    code: int
    text: str


async def run(*words: str | Path, within: float = WITHIN) -> Said:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode or 0, output.decode(errors="replace"))


async def must(*words: str | Path) -> str:
    """Run a command that has to succeed; what it said."""
    said = await run(*words)
    assert said.code == 0, f"{words}: {said.text}"
    return said.text


async def until(holds: Callable[[], Awaitable[bool]], within: float = WITHIN) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_AGAIN)


class Daemon:
    """A daemon in the foreground, for as long as the context lasts, or from ``start`` to ``end``.

    Args:
        words: its command.
        log: the file that is added to by what it says.
        ready: whether it does its work; one that has started is waited for.
        environment: variables beside those of this program.
    """

    def __init__(
        self,
        *words: str | Path,
        log: str,
        ready: Callable[[], Awaitable[bool]] | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.log = LOGS / log
        self._words = words
        self._ready = ready
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end(signal.SIGKILL)

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as file:
            self._process = await asyncio.create_subprocess_exec(
                *map(str, self._words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self._environment},
            )
        if self._ready is not None:
            await until(self._ready)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Have it end, if it runs; how it did."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(how)
        async with asyncio.timeout(WITHIN):
            return await process.wait()

    @property
    def said(self) -> str:
        """All that it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def network_manager() -> Daemon:
    """NetworkManager, not started yet."""
    Path("/etc/NetworkManager/NetworkManager.conf").write_text(NETWORK_MANAGER)
    words = ("NetworkManager", "--no-daemon")
    return Daemon(*words, log="NetworkManager.log", ready=lambda: is_on_the_bus(SERVICE))


async def is_on_the_bus(name: str) -> bool:
    """Whether a service runs."""
    async with SystemBus.opened(Settings()) as bus:
        return await bus.is_there(name)
