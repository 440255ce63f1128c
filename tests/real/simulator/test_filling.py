"""Stores can be filled with any number of devices, from nothing or from what a Supervisor lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enmctl.simulator.filling import fill, fill_from
from enmctl.store import Store


def test_store_is_filled_with_devices_on_target(tmp_path: Path) -> None:
    path = tmp_path / "enm.db"
    assert fill(path, 300) == 300
    assert fill(path, 5, application_id=17) == 5
    with Store.open(path) as store:
        devices = store.devices()
    assert len(devices) == 305
    assert all(device.commit == device.target_commit for device in devices)
    assert sum(device.application_id == 17 for device in devices) == 5


async def test_store_and_supervisor_hold_the_same_devices_at_rest(supervise: Any, tmp_path: Path) -> None:
    supervised = await supervise()
    commit = supervised.supervisor.push(supervised.app, {"firmware.bin": b"x"})
    rows = supervised.supervisor.add_devices(supervised.app, 50)
    assert supervised.supervisor.hooks_at_rest()
    assert supervised.supervisor.inserted == 0
    assert fill_from(tmp_path / "enm.db", rows, board_type="esp8266") == 50
    with Store.open(tmp_path / "enm.db") as store:
        stored = {device.uuid: device for device in store.devices()}
    listed = {device["uuid"]: device for device in (await supervised.client.get("/v1/devices")).json()}
    assert set(stored) == set(listed)
    for uuid, device in stored.items():
        shown = listed[uuid]
        assert (device.name, device.commit, device.target_commit) == (shown["name"], commit, shown["targetCommit"])
        assert device.target_config == shown["targetConfig"] == shown["config"]


async def test_no_two_devices_are_called_alike(supervise: Any) -> None:
    supervised = await supervise()
    rows = supervised.supervisor.add_devices(supervised.app, 500)
    assert len({row.name for row in rows}) == 500
