"""What a program of this gateway left that was killed in the middle of its work: its update lock and its attempts."""

from __future__ import annotations

import logging

from enmctl.gateway.crew import Crew
from enmctl.store import Store

LOG = logging.getLogger(__name__)


async def settle_left(crew: Crew, *, at_start: bool = False) -> None:
    """End the attempts that nobody is at any more, and have their boards looked at again.

    As long as a command still holds the update lock its attempts run, and all waits for a later pass.
    """
    lock = crew.lock
    if await lock.clear_leftovers(at_start=at_start) or not lock.had_another:
        return
    interrupted = await crew.store.call(Store.interrupt_running, crew.now(), crew.workers.busy)
    lock.had_another = False
    for attempt in interrupted:
        if attempt.uuid is not None:
            crew.device_log.write(attempt.uuid, "The last attempt was interrupted; the board is looked at again")
    if interrupted:
        LOG.info("%d attempts were left interrupted; their boards are looked at again", len(interrupted))
