"""Commands beside a running gateway: they go through it, and each sees what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway import at_work
from enmctl.gateway.instance import RunningGateway, running
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.store.reading import read_attempts, read_devices
from tests.real.cli.outside import QUICK, VERSION, WITHIN, Outside, image, outside
from tests.real.cli.rig import Run, document, lines, whole_environment

Set = Callable[[str, str], None]


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    """A Supervisor and three boards."""
    with outside(boards_per_application=3, hook_throttle=0.2) as made:
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateway keeps all it has."""
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def gateway(world: Outside, place: Path) -> Iterator[subprocess.Popen[str]]:
    """``enmctl run`` in a process of its own, with every board on target."""
    environment = {**whole_environment(place), **world.world.environment(place), **QUICK}
    with (place / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, "-m", "enmctl", "run"], env=environment, stderr=log, text=True)
        try:
            world.all_on_target()
            yield process
        finally:
            process.terminate()
            assert process.wait(WITHIN) == 0, "SIGTERM is an orderly end"


@pytest.fixture(autouse=True)
def _with_its_settings(
    world: Outside, place: Path, gateway: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gateway.poll() is None, (place / "log").read_text(encoding="utf-8")
    for name, value in {**world.world.environment(place), **QUICK}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def database(place: Path) -> Path:
    """The gateway's database."""
    return place / "database" / "enm.db"


@pytest.fixture
def board(world: Outside) -> SimulatedEsp8266:
    """One of the boards, with nothing amiss."""
    first = next(iter(world.world.boards.values()))
    world.call(first.mend)
    return first


@pytest.fixture
def firmware(folder: Path) -> Path:
    """A good image in the working directory."""
    file = folder / "firmware.bin"
    file.write_bytes(image())
    return file


def name_of(database: Path, board: SimulatedEsp8266) -> str:
    """What the device of this board is called."""
    return next(device.name for device in read_devices(database) if device.local_id == board.local_id)


def test_devices_have_their_live_status(enmctl: Run, world: Outside) -> None:
    found = document(enmctl("devices", "--json"))
    assert {device["local_id"] for device in found} == set(world.world.boards)
    assert {device["status"] for device in found} == {"Idle"}


def test_status_tells_how_the_gateway_stands(
    enmctl: Run, gateway: subprocess.Popen[str], world: Outside, place: Path
) -> None:
    facts = document(enmctl("status", "--json"))
    assert facts["gateway"]["running"] is True
    assert facts["gateway"]["pid"] == gateway.pid
    assert (facts["current_status"], facts["target_status"]) == ("Running", "Running")
    assert facts["source"] == {
        "name": "supervisor",
        "address": world.world.supervisor.url,
        "heard": True,
        "reachable": True,
        "problem": None,
    }
    assert facts["database"] == str(place / "database" / "enm.db")
    elsewhere = document(enmctl("status", "--json", env={"ENM_ASSETS_DIRECTORY": "/elsewhere"}))
    assert elsewhere["assets_directory"] == str(place / "assets"), "the gateway's own"
    assert facts["update_lock"] is None
    assert facts["radios"] == {"wifi": None}
    assert facts["devices"]["total"] == 3
    assert facts["problems"] == []
    text = enmctl("status").stdout
    assert f"runs as process {gateway.pid}" in text
    assert "Wi-Fi is listened on" in text
    assert str(world.world.supervisor.api_key) not in text


def test_what_is_only_to_be_said_is_not_sent_by_the_gateway_either(
    enmctl: Run, board: SimulatedEsp8266, firmware: Path
) -> None:
    uploads = len(board.uploads)
    result = enmctl("flash", firmware, board.local_id, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "nothing was sent; it would be ESP8266 image" in result.stderr
    assert len(board.uploads) == uploads


def test_a_flash_goes_through_the_gateway_which_puts_the_target_back(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path, database: Path
) -> None:
    result = enmctl("flash", firmware, name_of(database, board))
    assert result.exit_code == 0, result.stderr
    assert "--hold keeps it from that" in result.stderr.splitlines()[-1]
    assert any(attempt.kind == "flash" for attempt in read_attempts(database))
    world.do(board.wait_for(lambda it: it.fw not in ("", VERSION), WITHIN))
    world.all_on_target()


def test_a_held_flash_stays_until_it_is_released(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path
) -> None:
    events = lines(enmctl("flash", firmware, board.local_id, "--hold", "--json"))
    assert [events[-1]["stage"], events[-1]["proof"]] == ["done", "version-read-back"]
    (held,) = [device for device in document(enmctl("devices", "--json")) if device["state"] == "held"]
    assert held["local_id"] == board.local_id
    assert board.fw == VERSION
    assert enmctl("devices", "release", board.local_id).exit_code == 0
    world.do(board.wait_for(lambda it: it.fw not in ("", VERSION), WITHIN))
    world.all_on_target()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_the_waiting_and_says_that_the_gateway_goes_on(
    world: Outside, board: SimulatedEsp8266, firmware: Path, database: Path
) -> None:
    done = len(read_attempts(database))
    words = [sys.executable, "-m", "enmctl", "flash", str(firmware), board.local_id, "--hold"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stderr
        assert "queued" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        talk = process.communicate(timeout=WITHIN)[1]
    assert process.returncode == ExitCode.INTERRUPTED
    assert "the gateway goes on with it" in talk
    assert "Traceback" not in talk
    world.do(board.wait_for(lambda it: it.fw == VERSION, WITHIN))
    wait_until(lambda: len([each for each in read_attempts(database) if each.ended_at]) > done)
    wait_until(lambda: any(device.held_target for device in read_devices(database)))
    subprocess.run([*words[:3], "devices", "release", board.local_id], check=True, env=dict(os.environ))
    world.all_on_target()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds of the database, which tells nobody of its changes."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_empty_file_never_gets_as_far_as_the_gateway(enmctl: Run, board: SimulatedEsp8266, folder: Path) -> None:
    (folder / "firmware.bin").touch()
    result = enmctl("flash", "firmware.bin", board.local_id)
    assert result.exit_code == ExitCode.FILE
    assert "firmware.bin is empty" in result.stderr


def test_without_a_board_one_of_several_must_be_named(enmctl: Run, firmware: Path) -> None:
    result = enmctl("flash", firmware, "--timeout", "1s")
    assert result.exit_code == ExitCode.USAGE
    assert "boards are heard" in result.stderr


def test_errors_come_back_as_what_they_are(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path, folder: Path
) -> None:
    assert enmctl("flash", firmware, "nix").exit_code == ExitCode.UNKNOWN
    (folder / "bad.bin").write_bytes(b"#!/bin/sh\n" * 100)
    assert enmctl("flash", "bad.bin", board.local_id).exit_code == ExitCode.FILE
    world.call(lambda: board.break_with("flash-write"))
    result = enmctl("flash", firmware, board.local_id)
    assert result.exit_code == ExitCode.BOARD
    assert result.stderr.splitlines()[-2].startswith("enmctl: ")
    world.call(board.mend)
    world.all_on_target()


def test_a_password_by_hand_is_for_a_paused_gateway(enmctl: Run, firmware: Path, board: SimulatedEsp8266) -> None:
    result = enmctl("flash", firmware, board.local_id, "--user", "admin", env={"ENM_OTA_PASSWORD": "x"})
    assert result.exit_code == ExitCode.BUSY
    assert "enmctl pause" in result.stderr


def test_restart_and_identify_go_through_the_gateway(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, database: Path
) -> None:
    restarts, identified = board.restarts, board.identified
    assert enmctl("restart", name_of(database, board)).exit_code == 0
    assert board.restarts == restarts + 1
    assert enmctl("identify", *world.world.boards).exit_code == 0
    assert board.identified == identified + 1
    world.all_on_target()


def test_a_paused_gateway_leaves_boards_to_us_and_goes_on_when_told(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path
) -> None:
    assert "radios are free" in enmctl("pause").stderr
    assert document(enmctl("status", "--json"))["current_status"] == "Paused"
    commit = world.call(lambda: world.world.push(world.app))
    result = enmctl("flash", firmware, board.local_id)
    assert result.exit_code == 0, result.stderr
    assert "goes directly to the board" in result.stderr
    assert board.fw == VERSION, "nothing is updated while it is paused"
    refused = enmctl("provision", board.local_id)
    assert refused.exit_code == ExitCode.BUSY
    assert "enmctl resume" in refused.stderr
    assert "directly" not in refused.stderr
    assert "goes on" in enmctl("resume").stderr
    world.do(board.wait_for(lambda it: it.fw == commit, WITHIN))
    world.all_on_target()


def test_a_pause_waits_for_a_gateway_that_is_only_starting(enmctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter([RunningGateway(), RunningGateway(os.getpid())])
    monkeypatch.setattr(at_work, "running", lambda database: next(starts, None) or running(database))
    assert "radios are free" in enmctl("pause").stderr
    assert next(starts, None) is None
    assert "goes on" in enmctl("resume").stderr


def test_a_pause_may_have_an_end(enmctl: Run, place: Path) -> None:
    result = enmctl("pause", "--for", "1s", "--json")
    assert document(result) == {"target_status": "Paused", "seconds": 1.0, "gateway_running": True}
    deadline = time.monotonic() + WITHIN
    while document(enmctl("status", "--json"))["current_status"] != "Running":
        assert time.monotonic() < deadline, (place / "log").read_text(encoding="utf-8")


def test_a_scan_works_beside_the_gateway(enmctl: Run, world: Outside) -> None:
    found = document(enmctl("scan", "--timeout", "1.5s", "--json"))
    ours = [board for board in found if board["application_id"] == world.app]
    assert len(ours) == 3
    assert all(board["uuid"] for board in ours)


def test_a_deleted_device_stays_deleted_until_it_is_provisioned(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, database: Path
) -> None:
    name = name_of(database, board)
    assert enmctl("devices", "delete", name).exit_code == ExitCode.USAGE
    assert enmctl("devices", "delete", name, "--local").exit_code == 0
    assert board.local_id not in {device["local_id"] for device in document(enmctl("devices", "--json"))}
    inserted = world.world.supervisor.inserted
    (event,) = lines(enmctl("provision", board.local_id, "--json"))
    assert "again" in event["note"]
    assert name_of(database, board) == name
    assert world.world.supervisor.inserted == inserted, "it was not asked for a second time"


def test_a_second_gateway_exits_9_and_names_the_first(gateway: subprocess.Popen[str], place: Path) -> None:
    environment = {**whole_environment(place), "ENM_DB_DIRECTORY": str(place / "database")}
    for words in (["run"], ["run", "--once"]):
        second = subprocess.run(
            [sys.executable, "-m", "enmctl", "--json", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert second.returncode == ExitCode.BUSY
        assert f"process {gateway.pid}" in json.loads(second.stderr.splitlines()[-1])["error"]


def test_history_and_logs_tell_what_happened(enmctl: Run, world: Outside, database: Path) -> None:
    kinds = {attempt["kind"] for attempt in document(enmctl("history", "--limit", "100", "--json"))}
    assert "update" in kinds
    assert "Update to" in enmctl("logs", read_devices(database)[0].name).stdout
    assert running(database) is not None
    assert world.world.supervisor.listening
