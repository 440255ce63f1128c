"""edge-node-manager's own database at our path: its devices come over once, and its file is never lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.models import Device
from enmctl.store import Store
from enmctl.store.reading import read_devices

DATA = Path(__file__).parent / "data"
THREE = (DATA / "three.bolt").read_bytes()
COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"
DEVICES = [
    Device(
        uuid="64a1ae375b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df1",
        application_id=511898,
        board_type="esp8266",
        local_id="1265892",
        name="holy-sunset",
        commit=COMMIT,
        target_commit=COMMIT,
        target_config={"RESIN_HOST_TYPE": "esp8266", "RESIN_SUPERVISOR_DELTA": "1"},
        target_environment={},
    ),
    Device(
        uuid="8a0b3f6c2d1e4f5a9b8c7d6e5f40312233445566778899aabbccddeeff0011",
        application_id=511898,
        board_type="esp8266",
        local_id="99120",
        name="späte-wolke",
        target_commit=COMMIT,
        config={"RESIN_HOST_TYPE": "esp8266", "LIMIT": "5", "ON": "true"},
        target_config={"RESIN_HOST_TYPE": "esp8266"},
        target_environment={"GREETING": "grüße"},
        restart_wanted=True,
    ),
    Device(
        uuid="f00dfeed5b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df3",
        application_id=511899,
        board_type="microbit",
        local_id="C0:FF:EE:00:11:22",
        name="old-stone",
        commit="a" * 40,
        deleted=True,
    ),
]


@pytest.fixture
def bolt(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(THREE)
    return path


def beside(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file != path}


def test_its_devices_are_imported_and_its_file_is_kept(bolt: Path) -> None:
    with Store.open(bolt) as store:
        assert store.fresh
        assert store.notes == ["imported 3 devices of edge-node-manager; its file is kept as enm.db.bolt"]
        assert store.devices(deleted=None) == DEVICES
    assert beside(bolt) == {"enm.db.bolt": THREE}
    with Store.open(bolt) as store:
        assert (store.fresh, store.notes) == (False, [])
        assert store.devices(deleted=None) == DEVICES


def test_a_fleet_over_many_pages_comes_over_whole(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes((DATA / "fleet.bolt").read_bytes())
    with Store.open(path) as store:
        devices = store.devices()
        assert "imported 120 devices" in store.notes[0]
    assert [device.local_id for device in devices] == [str(number) for number in range(1000, 1120)]
    assert [device.environment for device in devices[6:9]] == [None, {"LONG": "x" * 9000}, None]


@pytest.mark.parametrize(
    "damaged", [THREE[:100], THREE[:20_000], THREE[:-140_000], THREE[:8192] + b"\xff" * (len(THREE) - 8192)]
)
def test_a_truncated_or_damaged_one_imports_nothing_and_is_kept(path: Path, damaged: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damaged)
    with Store.open(path) as store:
        assert store.fresh
        assert store.devices(deleted=None) == []
        (note,) = store.notes
        assert note.startswith("nothing was imported of edge-node-manager: the BoltDB file is damaged")
        assert note.endswith("it is kept as enm.db.bolt")
    assert beside(path) == {"enm.db.bolt": damaged}


def test_a_file_kept_earlier_is_never_written_over(bolt: Path) -> None:
    bolt.with_name("enm.db.bolt").write_bytes(b"an older one")
    bolt.with_name("enm.db.bolt.2").mkdir()
    with Store.open(bolt) as store:
        assert "enm.db.bolt.3" in store.notes[0]
    assert bolt.with_name("enm.db.bolt").read_bytes() == b"an older one"
    assert bolt.with_name("enm.db.bolt.3").read_bytes() == THREE


def test_while_edge_node_manager_still_runs_nothing_is_touched(bolt: Path) -> None:
    script = """
import fcntl, sys
file = open(sys.argv[1], "rb+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script, str(bolt)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="stop edge-node-manager") as raised:
            Store.open(bolt)
        other.stdin.close()
    assert raised.value.reason == "locked"
    assert (bolt.read_bytes(), beside(bolt)) == (THREE, {})
    Store.open(bolt).close()


def test_whoever_only_reads_is_told_how_to_import(bolt: Path) -> None:
    with pytest.raises(StoreError, match="edge-node-manager") as raised:
        read_devices(bolt)
    assert (raised.value.reason, "enmctl run" in raised.value.remedy) == ("older-schema", True)
    assert (bolt.read_bytes(), beside(bolt)) == (THREE, {})


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("template", ["three.bolt", "damaged"])
def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path: Path, template: str) -> None:
    content = THREE
    if template == "damaged":
        with Store.open(tmp_path / "damaged.db") as store:
            store.add_many(DEVICES)
        content = (tmp_path / "damaged.db").read_bytes()[:-4096] + b"\xff" * 4096
    (tmp_path / "template").write_bytes(content)
    script = Path(__file__).parent / "killed_at.py"
    command = [sys.executable, str(script), str(tmp_path / "template"), str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [run["killed"] for run in runs] == [True] * (len(runs) - 1) + [False]
    assert len(runs) > 8
    kept = ".bolt" if template == "three.bolt" else ".damaged-"
    for run in runs:
        assert run["devices"] == [device.uuid for device in DEVICES], run
        left = {name: size for name, size in run["files"].items() if name != "enm.db"}
        assert [kept in name for name in left] == [True], run
        assert list(left.values()) == [len(content)], run
