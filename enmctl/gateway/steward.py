"""The running gateway as its HTTP API sees it: pause, devices, hooks and jobs."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from enmctl import __version__
from enmctl.errors import BusyError, EnmError, StoreError, UnknownError
from enmctl.gateway.control import DeviceView, Hook, Job
from enmctl.gateway.crew import Live
from enmctl.gateway.decide import is_remedied
from enmctl.gateway.gateway import Gateway
from enmctl.gateway.jobs import find_target, work_of
from enmctl.gateway.naming import find_device
from enmctl.gateway.planning import Planned, planned
from enmctl.gateway.remaining import Around
from enmctl.gateway.rolling_back import asked_for
from enmctl.models import Device, DeviceStatus, GatewayStatus, Stage, Step
from enmctl.store import Store
from enmctl.store.rows import NO_FAILURES, DeviceColumns

LOG = logging.getLogger(__name__)

STEPS_WAITING = 1000
"""So many steps of a job may wait for a listener; a slow one misses steps, never the end."""


class Steward:
    """Keeps the contract ``enmctl.gateway.control.Control`` over a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._crew = gateway.crew
        self._current = GatewayStatus.PAUSED
        self._target = GatewayStatus.RUNNING
        self._paused_by = ""
        self._changing = asyncio.Lock()
        self._pausing: asyncio.Task[None] | None = None
        self._resume_at: asyncio.TimerHandle | None = None
        self._started_at = self._crew.now()
        self.api_address: str | None = None

    @property
    def current_status(self) -> GatewayStatus:
        """Paused only once the radios are free."""
        return self._current

    @property
    def target_status(self) -> GatewayStatus:
        """What was asked for last."""
        return self._target

    @property
    def paused_by(self) -> str:
        """Who asked for the pause."""
        return self._paused_by if self._target is GatewayStatus.PAUSED else ""

    async def begin(self) -> None:
        """Take up where the last run was: paused or not. A radio that cannot be used is logged."""
        if (left := await self._crew.store.call(pause_left, self._crew.now())) > 0:
            self._crew.gate.close("paused")
            self._target = GatewayStatus.PAUSED
            self._paused_by = await self._crew.store.call(_kept_name)
            self._resume_in(None if left == math.inf else left)
            LOG.info("paused, as it was before; go on with: enmctl resume")
            return
        await self._take_up_work()

    async def end(self) -> None:
        """Let go of what waits."""
        if self._resume_at is not None:
            self._resume_at.cancel()
        if self._pausing is not None:
            self._pausing.cancel()
            await asyncio.gather(self._pausing, return_exceptions=True)

    async def set_target_status(self, status: GatewayStatus, *, seconds: float | None = None, by: str = "") -> None:
        """Pause (for so many seconds, or until told otherwise) or go on; survives a restart."""
        async with self._changing:
            await self._crew.store.call(_keep_status, status, self._crew.now(), seconds, by)
            self._paused_by = by
            self._resume_in(seconds if status is GatewayStatus.PAUSED else None)
            self._target = status
            if status is GatewayStatus.PAUSED:
                self._crew.gate.close("paused")
                if self._pausing is None or self._pausing.done():
                    self._pausing = asyncio.get_running_loop().create_task(self._pause())
            else:
                await self._go_on()

    async def _go_on(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
            await asyncio.gather(self._pausing, return_exceptions=True)
        self._crew.lock.had_another = True  # whoever had the radios meanwhile may have been killed
        await self._take_up_work()
        LOG.info("the gateway goes on")

    async def _pause(self) -> None:
        """Let running transfers end, let the radios go, then say Paused."""
        await self._crew.workers.all_ended(self._crew.settings.pause_delay)
        await self._crew.discovery.stop()
        await self._crew.hotspot.let_go()
        self._current = GatewayStatus.PAUSED
        LOG.info("paused: no transfer runs and the radios are free")

    async def _take_up_work(self) -> None:
        self._target = self._current = GatewayStatus.RUNNING
        self._crew.gate.open()
        self._crew.signals.wake()

    def _resume_in(self, seconds: float | None) -> None:
        if self._resume_at is not None:
            self._resume_at.cancel()
            self._resume_at = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._resume_at = loop.call_later(seconds, lambda: self._gateway.chore(self._end_timed(self._resume_at)))

    async def _end_timed(self, timer: asyncio.TimerHandle | None) -> None:
        """Go on after a pause whose time is over, unless another one was asked for meanwhile.

        A database that cannot take note of it holds nothing up: a start finds there that the time is over.
        """
        async with self._changing:
            if timer is not self._resume_at:
                return
            LOG.info("the time of the pause is over")
            self._resume_at = None
            try:
                await self._crew.store.call(_keep_status, GatewayStatus.RUNNING, self._crew.now(), None, "")
            except StoreError as error:
                LOG.warning("the database keeps a pause that is over: %s", error)
            await self._go_on()

    async def devices(self) -> list[DeviceView]:
        """Every device that is a board and was not deleted."""
        devices = await self._crew.store.call(Store.devices)
        return [self._view(device) for device in devices if device.local_id is not None]

    async def device(self, word: str) -> DeviceView:
        """The device of this uuid or local id."""
        return self._view(await self._find(word))

    async def _find(self, word: str) -> Device:
        return find_device(await self._crew.store.call(Store.devices), word)

    def _view(self, device: Device) -> DeviceView:
        key = device.key
        if key is not None and (live := self._crew.live.get(key)) is not None:
            return DeviceView(device, live.status, live.progress)
        here = None if key is None else self._crew.discovery.boards.get(key)
        if here is not None and here.online:
            return DeviceView(device, DeviceStatus.IDLE)
        told = self._crew.teller.told.get(device.uuid)
        if not self._crew.discovery.is_settled and told is not None and told.report.status is not None:
            return DeviceView(device, told.report.status)
        return DeviceView(device, DeviceStatus.OFFLINE)

    async def take_hook(self, uuid: str, hook: Hook) -> None:
        """Store what the hook says, and wake the loop."""
        device = await self._crew.store.call(Store.device, uuid) or await self._find(uuid)
        if device.deleted:
            raise UnknownError(f"device {uuid[:8]} was deleted here", remedy="enmctl provision brings it back")
        columns: DeviceColumns = {}
        if hook.commit is not None:
            columns["target_commit"] = hook.commit
        if hook.config is not None:
            columns["target_config"] = dict(hook.config)
        if hook.environment is not None:
            columns["target_environment"] = dict(hook.environment)
        if is_remedied(device, device.changed(columns), self._crew.application_of(device).config):
            columns.update(NO_FAILURES)
        self._gateway.hooked[device.uuid] = asyncio.get_running_loop().time()
        if columns:
            await self._crew.store.call(Store.change, device.uuid, **columns)
        self._crew.signals.wake()

    async def delete(self, word: str) -> bool:
        """Stop looking after a device; False where it was not known."""
        try:
            device = await self._find(word)
        except UnknownError:
            return False
        await self._crew.store.call(Store.change, device.uuid, deleted=True, unlisted=False)
        self._crew.teller.forget(device.uuid)
        LOG.info("device %s (%s) is deleted", device.uuid[:8], device.name)
        return True

    async def want_restart(self, word: str) -> None:
        """Store that the device is to be restarted, and wake the loop."""
        device = await self._find(word)
        await self._crew.store.call(Store.change, device.uuid, restart_wanted=True)
        self._crew.signals.wake()

    async def work(self, job: Job) -> AsyncGenerator[Step, None]:
        """Do the job through the same queue and journal as everything else, and tell how it goes."""
        self._crew.gate.check()
        target = await find_target(self._crew, job)
        news: asyncio.Queue[Step | EnmError] = asyncio.Queue(STEPS_WAITING)

        def listen(step: Step) -> None:
            if not news.full() or step.stage is Stage.DONE:
                _put(news, step)

        do = work_of(self._crew, self._gateway.provisioning, job, target, listen)

        async def worker() -> None:
            try:
                await do()
            except EnmError as error:
                _put(news, error)
            except asyncio.CancelledError:
                how = "was paused" if self._crew.gate.closed_by == "paused" else "stopped"
                _put(news, BusyError(f"the gateway {how} before it was done", remedy="try again when it runs"))
                raise
            except BaseException as error:
                remedy = "this is a bug in enmctl: report it with what the gateway's log says of it"
                _put(news, EnmError(f"the work on {target.board.name} failed, {error!r}", remedy=remedy, reason="bug"))
                raise

        if not self._crew.workers.start(target.key, worker):
            raise BusyError(
                f"{target.board.name} is being worked on", remedy="try again when it is done: enmctl devices shows it"
            )
        async for step in _told(news):
            yield step

    async def plan(self) -> list[Planned]:
        """What a pass would do now or has to leave for later, and why; touches nothing."""
        crew = self._crew
        actions = await self._gateway.plan()
        devices = await crew.store.call(Store.devices, deleted=None)
        around = Around(
            crew.discovery.boards,
            crew.now(),
            in_hand={key: _how_far(crew.live.get(key)) for key in crew.workers.busy},
            settled=crew.discovery.is_settled,
            paused=self._target is GatewayStatus.PAUSED,
        )
        return planned(actions, devices, crew.desired, around)

    async def roll_back(self, word: str, *, application: bool, clear: bool) -> list[str]:
        """Have a device, or all of an application, go back to the last good firmware, or come forward again."""
        devices = await self._crew.store.call(Store.devices)
        changes = asked_for(devices, word, self._application_called(word) if application else None, clear=clear)
        columns = [(change.device.uuid, change.columns) for change in changes]
        await self._crew.store.call(Store.change_many, columns)
        for change in changes:
            self._crew.device_log.write(change.device.uuid, change.told)
        self._crew.signals.wake()
        return [change.told for change in changes]

    def _application_called(self, word: str) -> int:
        for application in self._crew.desired.applications.values():
            if word in (str(application.id), application.name):
                return application.id
        raise UnknownError(f"the source has no application {word!r}", remedy="name it as the source does, or by its id")

    def turning(self) -> bool:
        """Whether the loop turns; says nothing of the outside."""
        return self._gateway.turning()

    def summary(self) -> dict[str, Any]:
        """What ``enmctl status`` shows of a running gateway."""
        crew = self._crew
        problem = self._gateway.listening.problem
        settings = crew.settings
        statuses = Counter(told.report.status for told in crew.teller.told.values() if told.report.status)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "startedAt": self._started_at,
            "api": self.api_address,
            "currentStatus": self._current,
            "targetStatus": self._target,
            "pausedBy": self.paused_by or None,
            "source": {
                "name": crew.source.name,
                "address": getattr(crew.source, "address", None),
                "heard": self._gateway.listening.has_heard,
                "problem": None if problem is None else str(problem),
            },
            "database": str(settings.database),
            "assetsDirectory": str(settings.assets_directory),
            "updateLock": crew.lock.foreign(),
            "hotspot": crew.hotspot.facts(),
            "radios": {
                **dict.fromkeys(map(str, crew.discovery.open_radios)),
                **{str(radio): str(problem) for radio, problem in crew.discovery.problems.items()},
            },
            "boards": {
                "heard": len(crew.discovery.boards),
                "online": sum(seen.online for seen in crew.discovery.boards.values()),
                "inHand": len(crew.workers.busy),
            },
            "devices": {str(status): count for status, count in sorted(statuses.items())},
        }


def _how_far(live: Live | None) -> str:
    """How far the work on a board is, in words; "" where it has only begun."""
    if live is None:
        return ""
    return str(live.status) if live.progress is None else f"{live.status} {live.progress} %"


def _put(news: asyncio.Queue[Step | EnmError], item: Step | EnmError) -> None:
    """Add the end of a job's news, at the cost of the oldest step where nobody listens."""
    if news.full():
        news.get_nowait()
    news.put_nowait(item)


async def _told(news: asyncio.Queue[Step | EnmError]) -> AsyncGenerator[Step, None]:
    while True:
        item = await news.get()
        if isinstance(item, EnmError):
            raise item
        yield item
        if item.stage is Stage.DONE:
            return


def pause_left(store: Store, now: float) -> float:
    """Seconds that a pause in the database still lasts: 0 for none, infinity for one without an end.

    A clock that was set back meanwhile does not prolong it.
    """
    if store.meta("target_status") != GatewayStatus.PAUSED:
        return 0.0
    until, seconds = store.meta("paused_until"), store.meta("paused_for")
    if until is None:
        return math.inf
    return min(max(0.0, float(until) - now), math.inf if seconds is None else float(seconds))


def _kept_name(store: Store) -> str:
    return store.meta("paused_by") or ""


def _keep_status(store: Store, status: GatewayStatus, now: float, seconds: float | None, by: str) -> None:
    store.set_meta("target_status", status)
    store.set_meta("paused_by", by or None)
    store.set_meta("paused_for", None if seconds is None else str(seconds))
    store.set_meta("paused_until", None if seconds is None else str(now + seconds))
