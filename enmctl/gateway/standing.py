"""Where work on a device begins and ends: the device and its board as they are now, and how it stands afterwards."""

from __future__ import annotations

import asyncio
import logging
import random

from enmctl.errors import EnmError, OfflineError, SourceGoneError, UnknownError
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import full_report
from enmctl.models import BoardKey, Device, DiscoveredBoard, short
from enmctl.store import Store

LOG = logging.getLogger(__name__)

JITTER = 0.25
"""Share by which a wait after a failure varies, so that boards that failed together do not come back together."""


async def device_of(crew: Crew, uuid: str) -> Device:
    """The device as it is now. Raises UnknownError where it was deleted meanwhile."""
    device = await crew.store.call(Store.device, uuid)
    if device is None or device.deleted:
        raise UnknownError(f"device {uuid[:8]} is not known any more", reason="deleted")
    return device


def board_of(crew: Crew, key: BoardKey) -> DiscoveredBoard:
    """Where the board is. Raises OfflineError where it is not heard."""
    board = crew.discovery.locate(key)
    if board is None:
        raise OfflineError(f"board {key.local_id} is not heard", remedy="power it and bring it into range")
    return board


async def settle(crew: Crew, uuid: str) -> None:
    """Tell the source how the device stands after work on it."""
    device = await crew.store.call(Store.device, uuid)
    if device is None or device.deleted or device.key is None:
        return
    here = crew.discovery.boards.get(device.key)
    online = here is not None and here.online
    crew.teller.tell(uuid, full_report(device, online=online), full=True)


async def set_back(crew: Crew, uuid: str, commit: str | None, error: EnmError) -> None:
    """Have the device wait: longer with each failure, or for another target where trying again is useless."""
    device = await crew.store.call(Store.device, uuid)
    if device is None or device.deleted:
        return
    if isinstance(error, SourceGoneError):
        crew.signals.refetch()
    failures = (device.failures if device.failed_target == commit else 0) + 1
    now = crew.now()
    delay = backoff(failures, first=crew.settings.retry_delay, most=crew.settings.retry_delay_most)
    await crew.store.call(
        Store.change,
        uuid,
        failures=failures,
        failed_target=commit,
        failed_permanently=error.permanent,
        failed_at=now,
        retry_at=now + delay,
    )
    LOG.warning(
        "%s (%s) is not on %s: %s; %s",
        device.name or device.local_id,
        uuid[:8],
        short(commit) or "its configuration",
        error,
        "it waits for another target" if error.permanent else f"it is tried again in {delay:.0f} s",
    )
    await settle(crew, uuid)
    asyncio.get_running_loop().call_later(delay, crew.signals.wake)


def backoff(failures: int, *, first: float, most: float) -> float:
    """Seconds to wait after so many failures: doubling from ``first`` to at most ``most``, with jitter."""
    delay = min(most, first * 2.0 ** min(failures - 1, 32))
    return delay * (1 + JITTER * random.random())  # noqa: S311 - spreads load, guards nothing
