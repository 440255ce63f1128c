"""Gateways to measure: each in a process of its own, against a simulated world in this one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from enmctl.simulator.supervisor import RequestRecord

STOP_LIMIT = 15.0
"""Seconds that a gateway gets to end in order."""

LONGEST_LINE = 1 << 16
"""Bytes of a line that an observed gateway prints."""

RUN = ("-m", "enmctl", "run")
"""What Python is to do for a gateway."""

OBSERVED = ("-m", "benchmarks.observed")
"""The same for one that tells what its passes cost."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What an observed gateway tells of one pass.

    ``turned`` and ``asked`` are the seconds that the pass took, and the question for the list before it, 0 where there
    was none. ``resident`` is bytes of memory; ``actions`` is how much was decided.
    """

    turned: float
    asked: float
    actions: int
    resident: int
    descriptors: int
    tasks: int


@asynccontextmanager
async def gateway(
    environment: Mapping[str, str], folder: Path, words: Sequence[str] = RUN
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A gateway that runs within; what it logs goes to ``gateway.log`` in the folder."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    with (folder / "gateway.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env={**kept, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=LONGEST_LINE,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class Passes:
    """The passes of an observed gateway, as they come."""

    def __init__(self) -> None:
        self.made: list[Pass] = []
        self._more = asyncio.Event()

    async def listen(self, stream: asyncio.StreamReader) -> None:
        """Take in what the gateway prints, until it ends."""
        while line := await stream.readline():
            self.made.append(Pass(**json.loads(line)))
            self._more.set()

    async def reach(self, count: int, within: float) -> None:
        """Wait until there are so many. Raises TimeoutError after so many seconds."""
        async with asyncio.timeout(within):
            while len(self.made) < count:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def observed_gateway(environment: Mapping[str, str], folder: Path) -> AsyncGenerator[Passes]:
    """A gateway that tells of its passes."""
    passes = Passes()
    async with gateway(environment, folder, OBSERVED) as process:
        assert process.stdout is not None
        listening = asyncio.create_task(passes.listen(process.stdout))
        try:
            yield passes
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def resident(process_id: int | str) -> int:
    """The resident memory (VmRSS) of a process, in bytes."""
    for line in Path(f"/proc/{process_id}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {process_id} has no memory")


def asks_for_list(request: RequestRecord) -> bool:
    """Whether a request to the Supervisor is the one for its list of devices, of which a pass makes one."""
    return (request.method, request.path) == ("GET", "/v1/devices")


def lists_asked(requests: Iterable[RequestRecord]) -> int:
    """How often the list was asked for."""
    return sum(asks_for_list(request) for request in requests)
