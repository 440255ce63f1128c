"""enmctl in processes of its own, as people and service managers start it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from enmctl.settings import variables
from tests.real.gateway.rig import WITHIN

Process = asyncio.subprocess.Process


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    output: str
    talk: str


def whole_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: the machine's without what would change enmctl, and ours."""
    names = {name for variable in variables().values() for name in variable.names} | {"ENM_OTA_PASSWORD", "COLUMNS"}
    return {**{name: value for name, value in os.environ.items() if name not in names}, **ours}


async def enmctl(environment: Mapping[str, str], *words: str | Path, within: float = WITHIN) -> Ended:
    """Run one command to its end, which comes within so many seconds or is a TimeoutError."""
    pipe = asyncio.subprocess.PIPE
    process = await _started(environment, words, out=pipe, err=pipe)
    try:
        async with asyncio.timeout(within):
            output, talk = await process.communicate()
    finally:
        await end(process)
    return Ended(process.returncode or 0, output.decode(), talk.decode())


@asynccontextmanager
async def running_process(
    environment: Mapping[str, str], *words: str | Path, log: Path, output: Path | None = None
) -> AsyncGenerator[Process]:
    """A command that goes on until it is told to end, or within at the latest; what it says is added to ``log``."""
    with log.open("ab") as err, (output or Path(os.devnull)).open("ab") as out:
        process = await _started(environment, words, out=out, err=err)
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Have it over, whatever it is at."""
    if process.returncode is None:
        process.kill()
        await process.wait()


async def _started(
    environment: Mapping[str, str], words: tuple[str | Path, ...], *, out: object, err: object
) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "enmctl",
        *map(str, words),
        env=whole_environment(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,  # type: ignore[arg-type] # a file or a constant, which typeshed has no public name for
        stderr=err,  # type: ignore[arg-type] # likewise
    )
