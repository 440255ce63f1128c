"""Running a gateway: for months as a daemon, or one bounded pass."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enmctl.boards.installed import board_types, drivers
from enmctl.errors import BusyError, ExitCode, SourceError
from enmctl.gateway.actions import Configure, Meet, Provision, Record, Restart, Update
from enmctl.gateway.api.server import ApiServer, check_exposure
from enmctl.gateway.assembly import assembled
from enmctl.gateway.decide import is_on_target, needs_configuring
from enmctl.gateway.gateway import Gateway
from enmctl.gateway.instance import Instance
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.gateway.rollout import has_failed
from enmctl.gateway.service_manager import told_to_service_manager
from enmctl.gateway.steward import Steward, pause_left
from enmctl.models import BoardKey, Device, short
from enmctl.settings import Settings
from enmctl.sources.installed import open_source
from enmctl.store import Store

LOG = logging.getLogger(__name__)

QUIET = 1.5
"""Seconds without a newly heard board after which a one-off pass stops listening for more, once all known are there."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that turns, with its HTTP API."""

    gateway: Gateway
    steward: Steward
    api: ApiServer


@asynccontextmanager
async def running(settings: Settings, *, reach: Reach = OUTSIDE) -> AsyncGenerator[Running]:
    """A whole gateway at work; leaving ends it in order.

    Raises:
        BusyError: another gateway has the database, or the API's port is taken.
        FleetError: desired state is in a file, and that is broken.
        SettingError: the API would be open to the network.
        StoreError: the database cannot be used.
    """
    check_exposure(settings)
    with Instance.hold(settings.database) as instance:
        source = open_source(settings, board_types())
        async with assembled(settings, source, drivers(settings), reach=reach) as gateway:
            steward = Steward(gateway)
            async with ApiServer(steward, settings) as api:
                steward.api_address = api.address
                instance.announce(api.address)
                LOG.info("gateway runs; its HTTP API is at %s", api.address)
                await steward.begin()
                try:
                    async with _turned(gateway):
                        yield Running(gateway, steward, api)
                finally:
                    await steward.end()


@asynccontextmanager
async def _turned(gateway: Gateway) -> AsyncGenerator[None]:
    """Within, the gateway listens to its source and turns; after, it has stopped working and said farewell."""
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(gateway.listening.run(), name="listening"),
        loop.create_task(gateway.run(), name="loop"),
    ]
    try:
        yield
    finally:
        gateway.crew.gate.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway.crew.workers.finish(gateway.crew.settings.stop_timeout)
        await gateway.say_farewell()


async def run(settings: Settings, *, reach: Reach = OUTSIDE) -> None:
    """Run until SIGTERM, SIGHUP or Ctrl-C, then end at a safe point.

    What is there by then is kept from the garbage collector, which else walks it again and again for nothing: it stays
    until the end. This is for a process that does nothing else.
    """
    async with (
        _stop_asked() as stop,
        running(settings, reach=reach) as there,
        told_to_service_manager(there.gateway.turning),
    ):
        gc.collect()
        gc.freeze()
        await stop.wait()
        LOG.info("stopping: running transfers get %g s", settings.stop_timeout)


@asynccontextmanager
async def _stop_asked() -> AsyncGenerator[asyncio.Event]:
    """An event that SIGTERM, SIGINT and SIGHUP set; the last not where it is ignored (nohup)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = [signal.SIGTERM, signal.SIGINT]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    handled = []
    for number in signals:
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            handled.append(number)
    try:
        yield stop
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def run_once(settings: Settings, *, reach: Reach = OUTSIDE) -> ExitCode:
    """One bounded pass from nothing: listen, decide, carry it all out, report. It ends by the signals that end ``run``.

    Returns:
        DONE where all is on target, BOARD where an update failed, REMAINS where something is still to be done,
        INTERRUPTED where it was told to stop.

    Raises:
        SourceError: the source was not reached.
        BusyError: paused, or another gateway runs.
    """
    loop = asyncio.get_running_loop()
    async with _stop_asked() as stop:
        working = loop.create_task(_pass(settings, reach), name="pass")
        stopping = loop.create_task(stop.wait(), name="stop-asked")
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            LOG.info("stopping: running transfers get %g s", settings.stop_timeout)
            return ExitCode.INTERRUPTED
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)


async def _pass(settings: Settings, reach: Reach) -> ExitCode:
    with Instance.hold(settings.database):
        source = open_source(settings, board_types())
        async with assembled(settings, source, drivers(settings), reach=reach) as gateway:
            if await gateway.crew.store.call(pause_left, gateway.crew.now()):
                raise BusyError("the gateway is paused", remedy="go on with: enmctl resume", reason="paused")
            if (locked := gateway.crew.lock.foreign()) is not None:
                raise BusyError(f"somebody else holds the update lock {locked}", remedy="try again when it is gone")
            await gateway.crew.store.call(_let_all_try)
            await gateway.crew.discovery.start()
            await _hear_source(gateway)
            gateway.want_hotspot()
            await gateway.crew.hotspot.tried()
            await gateway.begin_to_hear()
            await _hear_boards(gateway)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.update_timeout):
                    await _carry_out(gateway)
            return await _verdict(gateway)


async def _hear_source(gateway: Gateway) -> None:
    """Ask the source, again while it is away, for as long as boards are listened for."""
    settings = gateway.crew.settings
    deadline = asyncio.get_running_loop().time() + settings.avahi_timeout
    while True:
        try:
            await gateway.listening.ask()
        except SourceError:
            if asyncio.get_running_loop().time() + settings.supervisor_check_delay > deadline:
                raise
            await asyncio.sleep(settings.supervisor_check_delay)
        else:
            return


async def _hear_boards(gateway: Gateway) -> None:
    """Listen until every known board is there and no further one came for a moment, at most ENM_AVAHI_TIMEOUT."""
    crew = gateway.crew
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(crew.settings.avahi_timeout):
            while True:
                crew.signals.turn.clear()
                devices = await crew.store.call(Store.devices)
                awaited = {device.key for device in devices if device.key is not None}
                online = {key for key, seen in crew.discovery.boards.items() if seen.online}
                try:
                    async with asyncio.timeout(QUIET):
                        await crew.signals.turn.wait()
                except TimeoutError:
                    if awaited <= online and online:
                        return


async def _carry_out(gateway: Gateway) -> None:
    """Work and tell until nothing is left to do that can be done now.

    The source is asked again afterwards: what config and environment a new device should have stands in no list before.
    """
    crew = gateway.crew
    while True:
        await _work_off(gateway)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(crew.settings.supervisor_timeout):
                await crew.teller.drained()
        with contextlib.suppress(SourceError):
            await gateway.listening.ask()
        if not any(isinstance(action, (Meet, Record)) or _is_work(gateway, action) for action in await gateway.plan()):
            return


async def _work_off(gateway: Gateway) -> None:
    """Turn until no work is under way, none is decided, and nothing has happened since."""
    crew = gateway.crew
    while True:
        crew.signals.turn.clear()
        actions = await gateway.turn()
        is_work = any(_is_work(gateway, action) for action in actions)
        if not (is_work or crew.workers.busy or crew.signals.turn.is_set()):
            return
        await crew.signals.turn.wait()


def _is_work(gateway: Gateway, action: object) -> bool:
    if isinstance(action, Provision):
        return gateway.provisioning.may_try(action.key)
    return isinstance(action, (Update, Configure, Restart))


async def _verdict(gateway: Gateway) -> ExitCode:
    """How the pass went, with a line for each device that is not as it should be."""
    crew = gateway.crew
    devices = await crew.store.call(Store.devices)
    failed = [device for device in devices if _has_failed(device)]
    for device in failed:
        name = device.name or device.local_id
        LOG.error("%s could not be brought to %s; why, tells: enmctl history %s", name, _target(device), name)
    remaining = [device for device in devices if device.local_id is not None and device not in failed]
    remaining = [device for device in remaining if not is_on_target(device) or needs_configuring(device)]
    for device in remaining:
        what = "has not its config and environment of" if is_on_target(device) else "is not on"
        LOG.warning("%s %s target %s", device.name or device.local_id, what, _target(device))
    strangers = _strangers(gateway, devices)
    for key in strangers:
        LOG.warning("board %s of application %d is no device yet", key.local_id, key.application_id)
    if not crew.teller.is_idle:
        LOG.warning("the source was not told of all devices; the next run tells it")
    if failed:
        return ExitCode.BOARD
    if remaining or strangers or not crew.teller.is_idle:
        return ExitCode.REMAINS
    LOG.info("all is on target (devices: %d)", sum(device.local_id is not None for device in devices))
    return ExitCode.DONE


def _strangers(gateway: Gateway, devices: Sequence[Device]) -> list[BoardKey]:
    """The boards of known applications that are here and are no devices."""
    known = {device.key for device in devices}
    applications = gateway.crew.desired.applications
    boards = gateway.crew.discovery.boards.items()
    return [key for key, seen in boards if seen.online and key not in known and key.application_id in applications]


def _target(device: Device) -> str:
    return short(device.target_commit) or "none"


def _has_failed(device: Device) -> bool:
    """Whether a device could not be brought to what it should run, or went back from there."""
    if device.failures > 0 and device.failed_target == device.wanted_commit and not is_on_target(device):
        return True
    return has_failed(device, device.target_commit) and not (is_on_target(device) and device.pin is None)


def _let_all_try(store: Store) -> None:
    """A person who says "now" has no device wait out an earlier failure."""
    store.change_many([(device.uuid, {"retry_at": None}) for device in store.devices() if device.retry_at is not None])
