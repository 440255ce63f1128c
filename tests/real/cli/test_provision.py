"""``enmctl provision`` without a running gateway, against a simulated Supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.simulator.world import any_application
from enmctl.store.reading import read_attempts, read_devices
from tests.real.cli.outside import QUICK, Outside, outside
from tests.real.cli.rig import Run, lines


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    """A Supervisor and two boards."""
    with outside(boards_per_application=2) as made:
        yield made


@pytest.fixture(autouse=True)
def _in_that_world(world: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**world.world.environment(tmp_path), **QUICK}.items():
        monkeypatch.setenv(name, value)


def test_boards_become_devices_once_and_nothing_else_happens_to_them(
    enmctl: Run, world: Outside, database: Path
) -> None:
    words = list(world.world.boards)
    inserted = world.world.supervisor.inserted
    events = lines(enmctl("provision", *words, "--json"))
    assert {event["board"] for event in events} == set(words)
    assert all("is now device" in event["note"] for event in events)
    assert {device.local_id for device in read_devices(database)} == set(words)
    assert world.world.supervisor.inserted == inserted + 2
    again = enmctl("provision", words[0])
    assert again.exit_code == 0, again.stderr
    assert "already" in again.stderr
    assert world.world.supervisor.inserted == inserted + 2
    assert all(not board.uploads for board in world.world.boards.values())
    assert read_attempts(database) == []


def device_of(database: Path, local_id: str) -> str:
    """The uuid of the device that this board is."""
    return next(device.uuid for device in read_devices(database) if device.local_id == local_id)


def test_a_deleted_device_comes_back_as_itself(enmctl: Run, world: Outside, database: Path) -> None:
    word = next(iter(world.world.boards))
    assert enmctl("provision", word).exit_code == 0
    before = device_of(database, word)
    assert enmctl("devices", "delete", word, "--local").exit_code == 0
    inserted = world.world.supervisor.inserted
    assert "again" in enmctl("provision", word).stderr
    assert device_of(database, word) == before
    assert world.world.supervisor.inserted == inserted


def test_a_lost_database_makes_no_second_device(enmctl: Run, world: Outside, database: Path) -> None:
    words = list(world.world.boards)
    assert enmctl("provision", *words).exit_code == 0
    inserted = world.world.supervisor.inserted
    for file in database.parent.iterdir():
        file.unlink()
    assert enmctl("provision", *words).exit_code == 0
    assert {device.local_id for device in read_devices(database)} == set(words)
    assert world.world.supervisor.inserted == inserted


def test_a_board_that_is_not_there_exits_3(enmctl: Run) -> None:
    assert enmctl("provision", "4711000", "--timeout", "0.5s").exit_code == ExitCode.UNKNOWN


def test_without_a_supervisor_it_exits_8_and_leaves_the_database_as_it_was(
    enmctl: Run, world: Outside, database: Path, unused_port: int
) -> None:
    word = next(iter(world.world.boards))
    result = enmctl("provision", word, env={"BALENA_SUPERVISOR_ADDRESS": f"http://127.0.0.1:{unused_port}"})
    assert result.exit_code == ExitCode.SOURCE
    assert read_devices(database) == []


def test_bluetooth_boards_become_devices_too(enmctl: Run, tmp_path: Path, database: Path) -> None:
    applications = [any_application("badges", "microbit"), any_application("kits", "nrf51822dk")]
    with outside(applications=applications, boards_per_application=1) as made:
        words = list(made.world.bluetooth_boards)
        env = {**made.world.environment(tmp_path), "ENM_BLUETOOTH_LONG_TIMEOUT": "3"}
        result = enmctl("provision", *words, env=env)
        assert result.exit_code == 0, result.stderr
        assert {device.local_id: device.application_id for device in read_devices(database)} == dict(
            zip(words, [application.id for application in applications], strict=True)
        )
