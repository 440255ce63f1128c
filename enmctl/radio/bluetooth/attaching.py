"""The Bluetooth of a Raspberry Pi 3 hangs on a serial line, and is no adapter until a program attaches it.

Raspberry Pi OS does that when it starts; balenaOS left it to the gateway's container. The line, its speed and the
kind of chip are those that images for the Raspberry Pi 3 use. What attaches stays when this program ends, for the
adapter goes with it, and other programs use it too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from enmctl.errors import RadioError

ADAPTERS: Final = Path("/sys/class/bluetooth")
"""Where the kernel lists adapters; connections too, with a colon in their names."""

DEVICE_TYPE: Final = "raspberrypi3"
"""How the name of the device type begins; that of 64 bits has ``-64`` behind it."""

LINE, SPEED = "/dev/ttyAMA0", "921600"

PROGRAMS: Final[Sequence[tuple[str, ...]]] = (
    ("btattach", "-B", LINE, "-P", "bcm", "-S", SPEED, "-N"),
    ("hciattach", "-n", LINE, "bcm43xx", SPEED, "noflow", "-"),
)
"""What can attach it, the newer one first; each stays in the foreground for as long as the adapter is to be there."""

TRIES: Final = 3
"""The chip now and then does not take its firmware at once."""

LIMIT: Final = 20.0
"""Seconds for one try; the firmware takes about 3."""

INTERVAL: Final = 0.1
"""Seconds between two looks at the kernel's list."""

_log = logging.getLogger(__name__)


def is_needed(device_type: str) -> bool:
    """Whether this machine is a Raspberry Pi 3 without an adapter."""
    return device_type.startswith(DEVICE_TYPE) and not has_adapter()


def has_adapter() -> bool:
    """Whether the kernel has an adapter."""
    return any(":" not in path.name for path in ADAPTERS.glob("hci*"))


async def attach() -> None:
    """Have the adapter there.

    Raises:
        RadioError: it does not come.
    """
    command = next((words for words in PROGRAMS if shutil.which(words[0])), None)
    if command is None:
        raise _failed("neither btattach nor hciattach is installed")
    why = ""
    for _ in range(TRIES):
        why = await _try(command)
        if not why:
            _log.info("the Bluetooth adapter of this Raspberry Pi 3 was attached by %s", command[0])
            return
        _log.debug("%s: %s", command[0], why)
    raise _failed(f"{command[0]} was tried {TRIES} times: {why}")


async def _try(command: Sequence[str]) -> str:
    """One try; why it failed, or nothing."""
    process = _start(command)
    ended = None
    try:
        async with asyncio.timeout(LIMIT):
            while not has_adapter():
                ended = _ended(process)
                if ended is not None:
                    return f"it ended with {ended}"
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        return f"there was no adapter within {LIMIT:g} s"
    finally:
        if ended is None and not has_adapter():
            _kill(process)
    return ""


def _start(command: Sequence[str]) -> int:
    """Start a program that goes on when this one ends, as asyncio's would not; its process id."""
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    return os.posix_spawnp(command[0], list(command), os.environ, file_actions=nothing, setsid=True)


def _ended(process: int) -> int | None:
    """With which code a program has ended, None for as long as it runs."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _failed(why: str) -> RadioError:
    return RadioError(
        f"the Bluetooth adapter of this Raspberry Pi 3 could not be attached ({why})",
        remedy=f"install bluez, let this program have {LINE}, and see that no console or overlay uses it",
        reason="no-adapter",
    )
