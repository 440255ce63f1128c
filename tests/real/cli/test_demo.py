"""``enmctl demo`` as a newcomer runs it: a process of its own, piped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from enmctl.cli.demo import _tell
from enmctl.cli.output import Output
from enmctl.gateway.control import DeviceView
from enmctl.models import Device, DeviceStatus

if TYPE_CHECKING:
    from enmctl.simulator.world import World


def test_the_demo_updates_every_board_twice_and_leaves_a_real_gateways_variables_alone(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "RESIN_SUPERVISOR_ADDRESS": "http://192.0.2.1:48484",
        "BALENA_SUPERVISOR_ADDRESS": "http://192.0.2.1:48484",
        "ENM_DB_DIRECTORY": f"{tmp_path}/real/database",
        "ENM_ASSETS_DIRECTORY": f"{tmp_path}/real/assets",
        "ENM_LOCK_FILE_LOCATION": f"{tmp_path}/real/lock",
        "ENM_MDNS_INTERFACES": "192.0.2.1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "enmctl", "demo", "--boards", "2"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    title, *rows = done.stdout.splitlines()
    assert title.split() == ["name", "board", "commit", "runs", "status"]
    assert len(rows) == 2 + 3, "besides, one of each kind with Bluetooth"
    for row in rows:
        _, _, commit, runs, status = row.split()
        assert (commit, status) == (runs, "Idle")
    assert "refused" in done.stderr, "one board fails first"
    assert not (tmp_path / "real").exists()


def test_as_json_the_devices_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    nothing_runs = cast("World", SimpleNamespace(boards={}, bluetooth_boards={}))
    views = [DeviceView(Device("u1", 1, "esp8266", "7", "lamp", commit="a" * 40), DeviceStatus.IDLE)] * 2
    _tell(Output(as_json=True), nothing_runs, views)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"name": "lamp", "board": "7", "commit": "a" * 8, "runs": "", "status": "Idle"}] * 2
