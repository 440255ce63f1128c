"""A D-Bus daemon of a test's own: the real one, where nobody else is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    {policy}
  </policy>
</busconfig>
"""

needs_a_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="there is no dbus-daemon here")


@dataclass
class PrivateBus:
    """A running daemon; ``address`` is where."""

    address: str
    process: asyncio.subprocess.Process

    async def end(self) -> None:
        """Have it over, as when the machine's own is restarted."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def private_bus(folder: Path, policy: str = "") -> AsyncGenerator[PrivateBus]:
    """A daemon that listens in ``folder``; ``policy`` adds rules for everybody."""
    config = folder / "bus.conf"
    config.write_text(CONFIG.format(socket=folder / "bus", policy=policy))
    (folder / "bus").unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    bus = PrivateBus(f"unix:path={folder / 'bus'}", process)
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield bus
    finally:
        await bus.end()
