"""``enmctl demo`` as a newcomer runs it: a process of its own, piped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


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
