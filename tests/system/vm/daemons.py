"""In the virtual machine: the system's daemons, and commands that end. Nothing here is for a machine that is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

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


@asynccontextmanager
async def daemon(*words: str | Path, log: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A daemon in the foreground, which is killed at the end; what it says is added to a file."""
    with (LOGS / log).open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *map(str, words), stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def network_manager() -> AsyncGenerator[asyncio.subprocess.Process]:
    """NetworkManager, on the bus and started."""
    Path("/etc/NetworkManager/NetworkManager.conf").write_text(NETWORK_MANAGER)  # noqa: ASYNC240 - a few bytes
    async with daemon("NetworkManager", "--no-daemon", log="NetworkManager.log") as process:
        await until(lambda: is_on_the_bus(SERVICE))
        yield process


async def is_on_the_bus(name: str) -> bool:
    """Whether a service runs."""
    async with SystemBus.opened(Settings()) as bus:
        return await bus.is_there(name)
