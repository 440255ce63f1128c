"""Making devices of boards without a running gateway: the parts of one, put together for as long as that takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

from enmctl.boards.installed import board_types, drivers
from enmctl.errors import UnknownError
from enmctl.gateway.assembly import assembled
from enmctl.gateway.control import Job, JobKind
from enmctl.gateway.gateway import Gateway
from enmctl.gateway.instance import Instance
from enmctl.gateway.jobs import find_target
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.gateway.steward import Steward
from enmctl.models import Step
from enmctl.settings import Settings
from enmctl.sources.installed import open_source

Provision = Callable[[str, float], AsyncGenerator[Step, None]]
"""Makes a device of the board that a word names, listening for it so many seconds."""


@asynccontextmanager
async def provisioner(settings: Settings, *, reach: Reach = OUTSIDE) -> AsyncGenerator[Provision]:
    """What makes devices of boards while the context lasts; nothing is updated meanwhile.

    Raises:
        SourceError: the source does not answer, or not in a way that makes sense.
        BusyError: a gateway has the database.
    """
    with Instance.hold(settings.database):
        source = open_source(settings, board_types())
        async with assembled(settings, source, drivers(settings), reach=reach) as gateway:
            await gateway.relist()
            gateway.crew.gate.open()
            await gateway.begin_to_hear()
            steward = Steward(gateway)

            async def provision(word: str, seconds: float) -> AsyncGenerator[Step, None]:
                job = Job(JobKind.PROVISION, word)
                await _heard(gateway, job, seconds)
                async with aclosing(steward.work(job)) as steps:
                    async for step in steps:
                        yield step

            yield provision


async def _heard(gateway: Gateway, job: Job, seconds: float) -> None:
    """Return once the board that a job names is heard, or after so many seconds."""
    crew = gateway.crew
    try:
        async with asyncio.timeout(seconds):
            while True:
                crew.signals.turn.clear()
                try:
                    await find_target(crew, job)
                except UnknownError:
                    await crew.signals.turn.wait()
                else:
                    return
    except TimeoutError:
        return
