"""Handing a device its config and environment, restarting a board, and having it show itself: no image is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from enmctl.boards.contract import Applied
from enmctl.errors import EnmError, RefusedError
from enmctl.gateway.attempts import attempt
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import needs_configuring
from enmctl.gateway.showing import Listener, Showing, nobody
from enmctl.gateway.standing import board_of, set_back, settle
from enmctl.models import AttemptKind, BoardKey, DiscoveredBoard, Outcome, Stage, Step
from enmctl.store import Store
from enmctl.store.rows import DeviceColumns

LOG = logging.getLogger(__name__)


async def configure(crew: Crew, uuid: str, key: BoardKey) -> None:
    """Hand over what has not been applied yet; where that fails, the device waits before the next try.

    A board that has no channel for one counts as having it, now that its firmware is on target.
    """
    device = await crew.store.call(Store.device, uuid)
    if device is None or device.deleted or not needs_configuring(device):
        return
    new_config = device.target_config if device.target_config != device.config else None
    new_environment = device.target_environment if device.target_environment != device.environment else None
    try:
        applied = await _hand_over(crew, key, crew.config_of(device), new_config, new_environment)
    except EnmError as error:
        crew.device_log.write(uuid, f"Config and environment could not be handed over: {error}", level="warning")
        await set_back(crew, uuid, device.wanted_commit, error)
        return
    columns: DeviceColumns = {"failures": 0}
    if new_config is not None:
        columns["config"] = new_config
    if new_environment is not None:
        columns["environment"] = new_environment
    await crew.store.call(Store.change, uuid, **columns)
    _say(crew, uuid, "config", new_config, taken=applied.config, is_first=device.config is None)
    _say(crew, uuid, "environment", new_environment, taken=applied.environment, is_first=not device.environment)


async def configure_and_tell(crew: Crew, uuid: str, key: BoardKey) -> None:
    """Hand over config and environment, and tell the source."""
    await configure(crew, uuid, key)
    await settle(crew, uuid)


async def _hand_over(
    crew: Crew,
    key: BoardKey,
    config: Mapping[str, str],
    new_config: Mapping[str, str] | None,
    new_environment: Mapping[str, str] | None,
) -> Applied:
    board = board_of(crew, key)
    try:
        return await crew.drivers[board.board_type].configure(
            board, config, new_config=new_config, new_environment=new_environment
        )
    except RefusedError as error:
        if error.reason != "unsupported":
            raise
        return Applied(config=False, environment=False)


def _say(crew: Crew, uuid: str, name: str, new: Mapping[str, str] | None, *, taken: bool, is_first: bool) -> None:
    """Tell the device's log of what it has now; that its firmware takes none is told with the first it should have."""
    if taken and new:
        crew.device_log.write(uuid, f"New {name} handed over")
    elif new:
        level = "info" if is_first else "debug"
        crew.device_log.write(uuid, f"Its firmware takes no {name}: it counts as having it", level=level)


async def restart(crew: Crew, uuid: str, key: BoardKey) -> None:
    """Restart a device because somebody wanted it; tried once, and how it went is in its log and history."""
    device = await crew.store.call(Store.device, uuid)
    if device is None or device.deleted:
        return
    try:
        await restart_board(crew, uuid, key, crew.config_of(device), nobody)
    except EnmError as error:
        LOG.warning("restart of %s failed: %s", uuid[:8], error)
        crew.device_log.write(uuid, f"Restart failed: {error}", level="error")
    await crew.store.call(Store.change, uuid, restart_wanted=False)
    await settle(crew, uuid)


async def restart_board(
    crew: Crew,
    uuid: str | None,
    key: BoardKey,
    config: Mapping[str, str],
    listener: Listener,
    *,
    found: DiscoveredBoard | None = None,
) -> str:
    """Restart a board and wait until it is back; the source sees it stop and start.

    ``found`` is where it was just now, for one that may be nobody's. Brings what its driver has to say of it.
    """
    try:
        async with attempt(crew, AttemptKind.RESTART, key, uuid, None) as journal:
            board = found or board_of(crew, key)
            showing = Showing(crew, uuid, key, journal, listener)
            await showing.show(Step(Stage.ACTIVATING))
            await showing.show(Step(Stage.RETURNING))
            note = await crew.drivers[board.board_type].restart(board, config)
            await journal.end(Outcome.SUCCEEDED)
            return note
    finally:
        crew.live.pop(key, None)
