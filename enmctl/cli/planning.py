"""``enmctl plan``: what a pass would do, by the running gateway or worked out here; nothing is touched."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from enmctl.boards.installed import board_types, drivers
from enmctl.cli.shell import Call
from enmctl.errors import ExitCode
from enmctl.gateway.actions import Tell
from enmctl.gateway.claiming import claimed
from enmctl.gateway.decide import Seen, Stored, decide
from enmctl.gateway.planning import planned
from enmctl.gateway.remaining import Around
from enmctl.models import BoardKey, Desired, Device, DiscoveredBoard, Radio, short
from enmctl.sources.installed import open_source
from enmctl.store.reading import read_devices

if TYPE_CHECKING:
    from enmctl.boards.contract import BoardDriver

PLAN_COLUMNS = ("do", "device", "board", "application", "commit", "why")
SPARE_PLAN_COLUMNS = ("application", "board")

LEFT_SHOWN = 10
"""So many boards that are left alone are named."""

LISTEN = 3.0
"""Seconds for which boards are listened for where nothing else is said; all that are known end it sooner."""


def show_plan(call: Call, *, seconds: float | None) -> int:
    """Print the plan; the exit code tells whether something is to be done."""
    gc.disable()  # a short life with much data, of which nothing goes before its end
    try:
        actions = _actions(call, seconds)
    finally:
        gc.enable()
    todo = sum(bool(action.get("todo")) for action in actions)
    if call.output.as_json:
        call.output.document({"actions": list(actions), "todo": todo})
    else:
        _draw(call, actions)
    return ExitCode.REMAINS if todo else ExitCode.DONE


def _actions(call: Call, seconds: float | None) -> Sequence[Mapping[str, Any]]:
    if call.simulate:
        return asyncio.run(_worked_out_in_its_world(call, seconds))
    by_gateway = _by_gateway(call)
    return asyncio.run(_worked_out(call, seconds)) if by_gateway is None else by_gateway


def _draw(call: Call, actions: Sequence[Mapping[str, Any]]) -> None:
    reports = sum(action["action"] == "report" for action in actions)
    shown = [action for action in actions if action["action"] != "report"]
    if shown:
        rows = [
            (
                action["action"],
                action["name"] or (action["uuid"] or "")[:8],
                action["board"],
                action["application"],
                short(action["commit"]),
                action["why"],
            )
            for action in shown
        ]
        call.output.table(PLAN_COLUMNS, rows, spare=SPARE_PLAN_COLUMNS)
    else:
        call.output.say("nothing is to be done")
    if reports:
        call.output.say(f"and the source would be told how {reports} device{'s are' if reports > 1 else ' is'}")


def _by_gateway(call: Call) -> Sequence[Mapping[str, Any]] | None:
    """What the running gateway says; None where none runs, or another fleet file is asked about."""
    from enmctl.gateway.at_work import client_of_running

    if call.fleet_file is not None:
        return None
    client = client_of_running(call.settings)
    return None if client is None else client.plan()


async def _worked_out_in_its_world(call: Call, seconds: float | None) -> Sequence[Mapping[str, Any]]:
    async with call.world():
        return await _worked_out(call, seconds)


async def _worked_out(call: Call, seconds: float | None) -> Sequence[Mapping[str, Any]]:
    """What a gateway would do that starts now and finds the boards that are heard."""
    import time

    settings = call.settings
    async with open_source(settings, board_types()) as source:
        desired = await source.fetch() or Desired()
    devices = await asyncio.to_thread(read_devices, settings.database, deleted=None)
    seen = _all_there(devices) if seconds == 0 else await _heard(call, desired, devices, seconds or LISTEN)
    now = time.time()
    work = [action for action in decide(desired, seen, Stored(devices), now) if not isinstance(action, Tell)]
    return [one.fields() for one in planned(work, devices, desired, Around(seen, now))]


async def _heard(call: Call, desired: Desired, devices: Sequence[Device], seconds: float) -> Mapping[BoardKey, Seen]:
    """The boards that are advertised now, each as its application's; none of them is asked anything."""
    from enmctl.gateway.lookout import Bench, look_around, with_bluetooth  # what a plan without listening does without

    bench = Bench(
        call.settings,
        _wanted_drivers(call, desired),
        devices,
        reach=call.reach,
        simulated_application=call.simulated_application,
    )
    awaited = {device.key for device in devices if device.key is not None and not device.deleted}

    def all_known_are_there(boards: Sequence[DiscoveredBoard]) -> bool:
        return bool(awaited) and awaited <= _claimed(boards, desired).keys()

    async with with_bluetooth(bench):
        boards = await look_around(bench, seconds, heard=all_known_are_there)
    _say_who_is_left_alone(call, boards, desired)
    return _claimed(boards, desired)


def _say_who_is_left_alone(call: Call, boards: Sequence[DiscoveredBoard], desired: Desired) -> None:
    left = []
    for board in boards:
        mine, problem = claimed(board, desired)
        if problem:
            call.output.say(f"{board.local_id}: {problem}")
        elif mine.application_id not in desired.applications:
            left.append(board.local_id)
    if left:
        shown = ", ".join(left[:LEFT_SHOWN]) + (f" and {len(left) - LEFT_SHOWN} more" if len(left) > LEFT_SHOWN else "")
        call.output.say(f"heard, and of no application here: {shown}; enmctl scan shows by what they could be taken")


def _wanted_drivers(call: Call, desired: Desired) -> Mapping[str, BoardDriver]:
    """The drivers of the boards that applications are for: no radio is opened for others."""
    types = {application.board_type for application in desired.applications.values()}
    return {name: driver for name, driver in drivers(call.settings).items() if name in types}


def _claimed(boards: Sequence[DiscoveredBoard], desired: Desired) -> dict[BoardKey, Seen]:
    mine = (claimed(board, desired)[0] for board in boards)
    return {board.key: Seen(board, online=True) for board in mine if board.application_id is not None}


def _all_there(devices: Sequence[Device]) -> Mapping[BoardKey, Seen]:
    """Every device's board as if it were heard."""
    return {
        key: Seen(
            DiscoveredBoard(device.board_type, *key, radio=Radio.WIFI, name=device.name, addresses=()), online=True
        )
        for device in devices
        if (key := device.key) is not None and not device.deleted
    }
