"""The gateway: the loop that turns what should be into what is, and everything that runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from enmctl.errors import EnmError, RadioError
from enmctl.gateway.actions import (
    Action,
    Complain,
    Configure,
    Hold,
    Inquire,
    Meet,
    Pin,
    Provision,
    Record,
    Restart,
    Tell,
    Update,
)
from enmctl.gateway.claiming import claimed
from enmctl.gateway.configuring import configure_and_tell, restart
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import Stored, decide
from enmctl.gateway.handed_over import clear_leftovers
from enmctl.gateway.hotspot import is_for_wifi
from enmctl.gateway.left_behind import settle_left
from enmctl.gateway.listening import Listening
from enmctl.gateway.news import let_reconfigured_try, write_news
from enmctl.gateway.presence import Presence
from enmctl.gateway.provisioning import Provisioning
from enmctl.gateway.saying import Complaints, Saying
from enmctl.gateway.updating import update
from enmctl.models import Desired, Device, DeviceStatus, DiscoveredBoard, PinnedBy, Radio, Report, short
from enmctl.store import Store

LOG = logging.getLogger(__name__)

AFTER_A_FAULT = 1.0
"""Seconds before the loop turns again after a turn that failed."""

REST_MOST = 1.0
"""Seconds that the loop rests at most after a turn, and as long as the turn took otherwise."""

OPENING_MOST = 60.0
"""Seconds that whoever wants to know first which boards are there waits for the radios."""

TURNING_LIMIT = 30.0
"""Seconds after which a loop that has not turned counts as stuck (or three ENM_CONFIG_LOOP_DELAY, if longer)."""

INQUIRIES_A_TURN = 16
"""So many devices that the list left out are asked for in one turn."""


class Gateway:
    """One gateway over one database and one source.

    ``enmctl.gateway.assembly`` puts it together; ``run`` turns it.
    """

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.listening = Listening(
            crew.source, crew.settings, crew.signals, heard=self._heard, unchanged=self._unchanged
        )
        self.provisioning = Provisioning(crew, list_serial=lambda: self._list_serial, relist=self.relist)
        self.presence = Presence()
        crew.discovery.claim = self._claim
        self.hooked: dict[str, float] = {}
        self._list_serial = 0
        self._stored_types: Collection[str] = ()
        self._unread: Desired | None = None
        self._cache_has_grown = True
        self._turned_at = asyncio.get_running_loop().time()
        self._turning = asyncio.Lock()
        self._complaints, self._list_complaints = Complaints(LOG), Complaints(LOG)
        self._failing = Saying(LOG)
        self._inquiring: set[str] = set()
        self._chores: set[asyncio.Task[None]] = set()

    def turning(self) -> bool:
        """Whether the loop turns, whatever the outside does."""
        age = asyncio.get_running_loop().time() - self._turned_at
        return age < max(TURNING_LIMIT, 3 * self.crew.settings.loop_delay)

    async def run(self) -> None:
        """Turn for ever; ends by cancellation alone.

        However often it is woken, it turns for half of the time at most: a thousand boards that come at once take a
        pass now and then, and not one each.
        """
        loop = asyncio.get_running_loop()
        while True:
            delay = self.crew.settings.loop_delay
            self.crew.signals.turn.clear()
            self._turned_at = loop.time()
            try:
                await (self.turn() if self.crew.gate.is_open else self._take_up_news())
            except EnmError as error:
                self._failing.say(logging.ERROR, error, "a pass failed: %s", error)
                delay = AFTER_A_FAULT
            except Exception:
                LOG.exception("a pass failed unexpectedly; this is a bug in enmctl")
                delay = AFTER_A_FAULT
            await asyncio.sleep(min(loop.time() - self._turned_at, REST_MOST))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self.crew.signals.turn.wait()

    async def turn(self) -> Sequence[Action]:
        """One pass: look, decide, and have it carried out; returns what was decided."""
        async with self._turning:
            await settle_left(self.crew)
            self._want_radios()
            self.want_hotspot()
            while self.crew.signals.gone:
                self._inquire(self.crew.signals.gone.pop())
            await self._let_reconfigured_try()
            actions = await self.plan()
            await self._take_up(actions)
            await self._send_back([action for action in actions if isinstance(action, Pin)])
            for action in actions:
                self._start(action)
            self._complaints.end_round()
            if self._cache_has_grown and not self.crew.workers.busy:
                self._cache_has_grown = False
                self.chore(self._tidy_cache())
            return actions

    async def _take_up_news(self) -> None:
        """Note what the source says and do nothing about it, so that devices are shown as they are in a pause too."""
        async with self._turning:
            await self._take_up(await self.plan())

    def _want_radios(self) -> None:
        """Have the radios opened that reach the applications' boards, and say which could not be.

        Without one, all else goes on. A pause keeps them closed.
        """
        if self.crew.gate.is_open:
            wanted = self._wanted_radios()
            self.crew.discovery.want(wanted)
            for radio, problem in self.crew.discovery.problems.items():
                if radio in wanted:
                    self._complaints.say("radio", str(problem))

    def _wanted_radios(self) -> Collection[Radio]:
        types = {application.board_type for application in self.crew.desired.applications.values()}
        return self.crew.discovery.wanted(types)

    def want_hotspot(self) -> None:
        """Have the hotspot up where some board is reached over Wi-Fi; until the source is heard, by what is stored."""
        listed = (application.board_type for application in self.crew.desired.applications.values())
        board_types = listed if self.listening.has_heard else self._stored_types
        if self.crew.gate.is_open:
            self.crew.hotspot.want(is_for_wifi(board_types, self.crew.drivers))

    async def begin_to_hear(self) -> None:
        """Open the radios ahead of the first pass, for whoever wants to know first which boards are there.

        One that is not open after a while is said to be not, and goes on being opened.
        """
        self.crew.discovery.know(await self.crew.store.call(Store.devices, deleted=None))
        wanted = self._wanted_radios()
        try:
            async with asyncio.timeout(OPENING_MOST):
                await self.crew.discovery.start(wanted)
        except RadioError as error:
            self._complaints.say("radio", str(error))
        except TimeoutError:
            late = " and ".join(sorted(set(wanted) - set(self.crew.discovery.open_radios)))
            self._complaints.say("radio", f"{late} could not be opened within {OPENING_MOST:g} s")

    async def plan(self) -> list[Action]:
        """What a pass would do now; touches nothing.

        A board whose worker ends while the devices are read is left to the next pass: what was read of it is old.
        """
        crew = self.crew
        if crew.discovery.is_listening:
            self.presence.note(crew.discovery.boards, asyncio.get_running_loop().time())
        else:
            self.presence.forget()
        in_hand_before = crew.workers.busy
        devices = await crew.store.call(Store.devices, deleted=None)
        crew.discovery.know(devices)
        self.presence.keep({device.key for device in devices if device.key is not None})
        stored = Stored(
            devices=devices,
            busy=in_hand_before | crew.workers.busy,
            hooked=self.hooked,
            told=crew.teller.told,
            settled=crew.discovery.is_settled,
            heard=self.listening.has_heard,
            list_serial=self._list_serial,
            report_interval=crew.settings.report_interval,
            there_since=self.presence.there_since,
            lost_at=self.presence.lost_at,
            came_at=crew.came_at,
            moment=asyncio.get_running_loop().time(),
        )
        return decide(crew.desired, crew.discovery.boards, stored, crew.now())

    async def _let_reconfigured_try(self) -> None:
        """Forget the failures of the devices whose application has another config now: it may be what they wanted."""
        if (heard := self._unread) is not None:
            await self.crew.store.call(let_reconfigured_try, list(heard.applications.values()))
            self._unread = None if self._unread is heard else self._unread

    def _heard(self, desired: Desired) -> None:
        self._unread = desired
        self.crew.desired = desired
        self.crew.discovery.reclaim()
        self._list_serial += 1
        self._drop_old_hooks()
        for complaint in getattr(self.crew.source, "complaints", ()):
            self._list_complaints.say("the source's answer", complaint)
        self._list_complaints.end_round()
        self.crew.signals.wake()

    def _unchanged(self, asked_at: float) -> None:
        """The same answer, asked for later: what hooks said before gives way to it."""
        self.crew.desired = replace(self.crew.desired, asked_at=asked_at)
        if self._drop_old_hooks():
            self.crew.signals.wake()

    def _drop_old_hooks(self) -> int:
        old = [uuid for uuid, hooked_at in self.hooked.items() if hooked_at < self.crew.desired.asked_at]
        for uuid in old:
            del self.hooked[uuid]
        return len(old)

    async def relist(self) -> None:
        """A new list, with its strangers noted."""
        await self.listening.ask()
        await self._take_up_news()

    async def _take_up(self, actions: Sequence[Action]) -> None:
        """Write the source's news to the database, in two transactions."""
        met = [
            Device(
                uuid=action.device.uuid,
                application_id=action.device.application_id,
                board_type=action.board_type,
                name=action.device.name or "",
                target_commit=action.device.target_commit,
                target_config=action.device.target_config,
                target_environment=action.device.target_environment,
                first_listed=self._list_serial,
            )
            for action in actions
            if isinstance(action, Meet)
        ]
        changes = [(action.uuid, action.changes) for action in actions if isinstance(action, Record)]
        if met or changes:
            await self.crew.store.call(write_news, met, changes, self._list_serial)

    async def _send_back(self, pins: Sequence[Pin]) -> None:
        """Note which devices are to go back to their last good commit, unless their target has changed meanwhile."""
        for pin in pins:
            noted = await self.crew.store.call(
                Store.change_where,
                pin.uuid,
                {"target_commit": pin.target},
                pinned_commit=pin.commit,
                pinned_target=pin.target,
                pinned_by=PinnedBy.POLICY,
                held_target=None,
            )
            if noted:
                device = await self.crew.store.call(Store.device, pin.uuid)
                name = "a device" if device is None else device.name or device.local_id
                LOG.warning("%s (%s) goes back to %s: %s", name, pin.uuid[:8], short(pin.commit), pin.why)
                message = f"Goes back to {short(pin.commit)} until its target changes: {pin.why}"
                self.crew.device_log.write(pin.uuid, message, level="warning")

    def _claim(self, board: DiscoveredBoard) -> DiscoveredBoard:
        """The board as its application's."""
        board, problem = claimed(board, self.crew.desired)
        if problem:
            self._list_complaints.say(f"board {board.local_id} ({board.name})", problem)
        return board

    def _start(self, action: Action) -> None:
        crew, workers = self.crew, self.crew.workers
        match action:
            case Provision(application_id, board) if self.provisioning.may_try(action.key):
                workers.start(action.key, lambda: self.provisioning.provision(application_id, board))
            case Update(uuid, key, commit):
                self._cache_has_grown = True
                workers.start(key, lambda: update(crew, uuid, key, commit))
            case Configure(uuid, key):
                workers.start(key, lambda: configure_and_tell(crew, uuid, key))
            case Restart(uuid, key):
                workers.start(key, lambda: restart(crew, uuid, key))
            case Tell(uuid, report):
                crew.teller.tell(uuid, report, full=report.status is not None and report.is_online is not None)
            case Inquire(uuid):
                self._inquire(uuid)
            case Complain(about, problem):
                self._complaints.say(about, problem)
            case Meet() | Record() | Provision() | Pin() | Hold():
                pass

    async def _tidy_cache(self) -> None:
        """Remove the firmware that no device runs or should run, so that months of releases do not fill the disk."""
        devices = await self.crew.store.call(Store.devices)
        keep = {(each.id, each.commit) for each in self.crew.desired.applications.values() if each.commit}
        keep |= {(each.application_id, each.commit) for each in devices if each.commit}
        keep |= {(each.application_id, each.target_commit) for each in devices if each.target_commit}
        keep |= {(each.application_id, each.good_commit) for each in devices if each.good_commit}
        keep |= {(each.application_id, each.pin) for each in devices if each.pin}
        for folder in await asyncio.to_thread(self.crew.cache.prune, keep):
            LOG.debug("removed firmware that nothing needs any more: %s", folder)

    def _inquire(self, uuid: str) -> None:
        if uuid in self._inquiring or len(self._inquiring) >= INQUIRIES_A_TURN:
            return
        self._inquiring.add(uuid)
        self.chore(self._ask_for(uuid))

    async def _ask_for(self, uuid: str) -> None:
        try:
            if not await self.crew.source.listed(uuid):
                await self._forget(uuid)
        except EnmError as error:
            LOG.debug("could not ask for %s: %s", uuid[:8], error)
            await asyncio.sleep(self.crew.settings.supervisor_check_delay)
        finally:
            self._inquiring.discard(uuid)

    async def _forget(self, uuid: str) -> None:
        """Stop looking after a device that the source dropped; its board gets no new one by itself.

        One that is marked for deletion is listed like any other: it stays deleted until a list leaves it out.
        """
        device = await self.crew.store.call(Store.device, uuid)
        if device is None or device.deleted:
            return
        self.crew.teller.forget(uuid)
        if device.local_id is None:
            await self.crew.store.call(Store.remove_device, uuid)
        else:
            unlisted = uuid not in self.crew.desired.devices
            await self.crew.store.call(Store.change, uuid, deleted=True, unlisted=unlisted)
            LOG.info("device %s (%s) is gone from the source and not looked after any more", uuid[:8], device.name)

    def chore(self, work: Any) -> None:
        """Run a small coroutine beside the loop; what goes wrong is logged."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_ended)

    def _chore_ended(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("beside the loop: %s", error)

    async def begin(self) -> None:
        """Settle what the last run left: its interrupted attempts, its files, the number of its last list."""
        crew = self.crew
        await asyncio.to_thread(clear_leftovers, crew.settings.assets_directory)
        for note in crew.store.notes:
            LOG.warning("%s", note)
        await settle_left(crew, at_start=True)
        self._list_serial = await crew.store.call(_last_serial)
        self._stored_types = {device.board_type for device in await crew.store.call(Store.devices)}

    async def end(self) -> None:
        """Stop in order: work to a safe point, radios and chores let go."""
        crew = self.crew
        crew.gate.close()
        await crew.workers.finish(crew.settings.stop_timeout)
        await crew.discovery.stop()
        await crew.hotspot.let_go()
        for task in self._chores:
            task.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def say_farewell(self) -> None:
        """Tell the source that the devices are out of reach, as long as this gateway is stopped."""
        teller = self.crew.teller
        online = [uuid for uuid, told in teller.told.items() if told.report.is_online]
        await teller.farewell(online, Report(status=DeviceStatus.OFFLINE, is_online=False))


def _last_serial(store: Store) -> int:
    """The number of the last list that anything in the database refers to, so that the next one's is higher."""
    numbers = [int(store.meta("list_serial") or 0)]
    numbers += [pending.list_serial for pending in store.pending()]
    numbers += [device.first_listed or 0 for device in store.devices(deleted=None)]
    return max(numbers)
