"""Making devices of boards: as many devices as boards, whatever gets lost on the way.

A request for a device cannot be repeated safely, for it carries nothing that tells which board it is for, and its
answer can get lost. So it is journalled before it leaves, with the number of the source's last list. A device of that
application that a later list shows for the first time, and that is no board yet, is what came of it, and is adopted
before another is asked for. A database that was lost knows no boards: then the devices of the very first list are
adopted too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from enmctl.errors import EnmError, LostAnswerError, SourceAwayError, StoreError
from enmctl.gateway.crew import Crew
from enmctl.models import Application, BoardKey, Device, DiscoveredBoard, ListedDevice, Pending
from enmctl.store import Store

LOG = logging.getLogger(__name__)

FIRST_LIST = 1
"""The serial number of the first list that a new database sees."""

REQUESTS_AT_ONCE = 4
"""So many devices of one application are asked for at the same time."""


@dataclass(slots=True)
class _Desk:
    """Where one application's devices are asked for; looking for a lost one needs it empty."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REQUESTS_AT_ONCE))
    search: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Within, no request for a device of this application is under way."""
        async with self.search, AsyncExitStack() as held:
            for _ in range(REQUESTS_AT_ONCE):
                await held.enter_async_context(self.places)
            yield


class Provisioning:
    """Makes a device of a board, once.

    Args:
        crew: what work shares.
        list_serial: the number of the source's last list.
        relist: asks the source for a new list and takes it up; raises the source's errors.
    """

    def __init__(self, crew: Crew, *, list_serial: Callable[[], int], relist: Callable[[], Awaitable[None]]) -> None:
        self._crew = crew
        self._list_serial = list_serial
        self._relist = relist
        self._desks: dict[int, _Desk] = {}
        self._searched_since: dict[BoardKey, float] = {}
        self._not_before: dict[BoardKey, float] = {}

    def may_try(self, key: BoardKey) -> bool:
        """Whether a board whose provisioning failed has waited long enough."""
        return asyncio.get_running_loop().time() >= self._not_before.get(key, 0.0)

    async def provision(self, application_id: int, board: DiscoveredBoard) -> None:
        """Make a device of a board; what fails is tried again in a later pass. Never raises but on cancellation."""
        application = self._crew.desired.applications.get(application_id)
        if application is None:
            return
        try:
            await self.make_device(application, board)
        except EnmError as error:
            LOG.warning("board %s could not be provisioned: %s", board.local_id, error)
            self._try_again_in(BoardKey(application_id, board.local_id), self._pause(error))

    def _try_again_in(self, key: BoardKey, seconds: float) -> None:
        """Have a board wait; it is forgotten that it had to once that is over, for it may never come again."""
        loop = asyncio.get_running_loop()
        moment = self._not_before[key] = loop.time() + seconds

        def waited() -> None:
            if self._not_before.get(key) == moment:
                del self._not_before[key]
            self._crew.signals.wake()

        loop.call_later(seconds, waited)

    def _pause(self, error: EnmError) -> float:
        """Seconds before the board may be tried again."""
        settings = self._crew.settings
        if error.permanent:
            return settings.retry_delay_most
        if isinstance(error, LostAnswerError):
            return min(settings.retry_delay, settings.provision_settle / 4)
        return min(settings.retry_delay, settings.supervisor_check_delay)

    async def make_device(self, application: Application, board: DiscoveredBoard) -> Device:
        """The device that the board is from now on.

        Raises:
            LostAnswerError: asked, and not known yet what came of it.
            SourceError: the source could not or would not.
        """
        key = BoardKey(application.id, board.local_id)
        desk = self._desks.setdefault(application.id, _Desk())
        if found := await self._claim_listed(desk, key, board):
            return found
        async with desk.places:
            await self._crew.store.call(
                Store.begin_provisioning,
                Pending(key, board.board_type, self._list_serial(), self._crew.now(), asked=True),
            )
            try:
                made = await self._crew.source.provision(application, board.local_id)
            except LostAnswerError:
                raise
            except EnmError:
                await self._crew.store.call(Store.drop_pending, key)
                raise
            device = Device(
                uuid=made.uuid,
                application_id=application.id,
                board_type=board.board_type,
                local_id=board.local_id,
                name=made.name,
                target_commit=application.commit,
            )
            return await self._finish(key, _as_listed(device, made.listed))

    async def _claim_listed(self, desk: _Desk, key: BoardKey, board: DiscoveredBoard) -> Device | None:
        """A listed device that this board must be, where there is one; None where one may be asked for."""
        pending = await self._crew.store.call(_pending_of, key)
        if pending is None:
            orphans = await self._crew.store.call(_orphans, key.application_id, FIRST_LIST - 1)
            if all(orphan.first_listed != FIRST_LIST for orphan in orphans):
                return None
        async with desk.alone():
            if pending is not None:
                await self._relist()
            newer_than = self._list_serial() if pending is None else pending.list_serial
            for orphan in await self._crew.store.call(_orphans, key.application_id, newer_than):
                if await self._crew.source.listed(orphan.uuid):
                    LOG.info("board %s is device %s, which was made for it before", key.local_id, orphan.uuid[:8])
                    claimed = Device(
                        uuid=orphan.uuid,
                        application_id=key.application_id,
                        board_type=board.board_type,
                        local_id=key.local_id,
                        name=orphan.name,
                    )
                    return await self._finish(key, claimed)
            if pending is not None:
                await self._give_up_waiting(key)
        return None

    async def _give_up_waiting(self, key: BoardKey) -> None:
        """Drop the journalled request once it was looked for long enough; until then, raise.

        The time is counted from this process's first look: a clock that steps at boot must not cut it short.
        """
        now = asyncio.get_running_loop().time()
        since = self._searched_since.setdefault(key, now)
        if now - since < self._crew.settings.provision_settle:
            raise LostAnswerError(
                f"a device was asked for board {key.local_id}, and the answer got lost",
                remedy="the source's list is watched for it before another is asked for",
            )
        await self._crew.store.call(Store.drop_pending, key)
        del self._searched_since[key]

    async def _finish(self, key: BoardKey, device: Device) -> Device:
        try:
            await self._crew.store.call(Store.finish_provisioning, key, device)
        except StoreError as error:
            if error.reason == "claimed":
                raise SourceAwayError(
                    f"the source gave board {key.local_id} a device that is another board's",
                    remedy="another is asked for in a moment",
                ) from error
            raise
        self._searched_since.pop(key, None)
        self._not_before.pop(key, None)
        LOG.info("board %s is now device %s (%s)", key.local_id, device.uuid[:8], device.name)
        self._crew.device_log.write(device.uuid, f"Provisioned as {device.name or device.uuid[:8]}")
        return device


def _as_listed(device: Device, listed: ListedDevice | None) -> Device:
    """A new device with what the source already says of it."""
    if listed is None:
        return device
    return replace(
        device,
        target_commit=listed.target_commit,
        target_config=listed.target_config,
        target_environment=listed.target_environment,
    )


def _pending_of(store: Store, key: BoardKey) -> Pending | None:
    return next((pending for pending in store.pending() if pending.key == key), None)


def _orphans(store: Store, application_id: int, newer_than: int) -> list[Device]:
    """Devices of the application that are no board, first listed after a list or in the very first, oldest first."""
    orphans = [
        device
        for device in store.devices()
        if device.local_id is None
        and device.application_id == application_id
        and device.first_listed is not None
        and (device.first_listed > newer_than or device.first_listed == FIRST_LIST)
    ]
    return sorted(orphans, key=lambda device: device.first_listed or 0)
