"""``enmctl devices`` on a real database, without a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.store.reading import read_devices
from tests.real.cli.outside import outside
from tests.real.cli.rig import NEW, Run, document


@pytest.mark.usefixtures("fleet")
def test_devices_are_listed_as_json(enmctl: Run) -> None:
    found = document(enmctl("devices", "--json"))
    assert [device["name"] for device in found] == ["gone", "held", "holy-sunset", "late-moon"]
    assert found[2] == {
        "uuid": "64a1ae375b213d7e",
        "name": "holy-sunset",
        "local_id": "1265892",
        "application_id": 511898,
        "board_type": "esp8266",
        "status": None,
        "progress": None,
        "commit": NEW,
        "target_commit": NEW,
        "pinned_commit": None,
        "state": "on-target",
        "failures": 0,
        "retry_at": None,
        "restart_wanted": False,
    }


@pytest.mark.usefixtures("fleet")
def test_the_list_has_a_line_a_device_and_the_words_of_its_state(enmctl: Run) -> None:
    for words in (("devices",), ("devices", "list")):
        result = enmctl(*words)
        head, *rows = result.stdout.splitlines()
        assert head.split() == ["name", "id", "type", "application", "status", "commit", "target", "state", "uuid"]
        assert [row.split()[0] for row in rows] == ["gone", "held", "holy-sunset", "late-moon"]
        assert "on target" in result.stdout
        assert "held by hand" in result.stdout
        assert result.stderr == ""


def test_no_device_at_all_is_no_error(enmctl: Run, database: Path) -> None:
    assert document(enmctl("devices", "--json")) == []
    result = enmctl("devices")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no device yet" in result.stderr
    assert not database.exists(), "reading makes no database"


@pytest.mark.parametrize("word", ["holy-sunset", "HOLY-SUNSET", "1265892", "64a1ae375b213d7e", "64a1"])
@pytest.mark.usefixtures("fleet")
def test_one_device_is_shown_by_any_of_its_names(enmctl: Run, word: str) -> None:
    shown = document(enmctl("devices", "show", word, "--json"))
    assert (shown["uuid"], shown["held_target"]) == ("64a1ae375b213d7e", None)
    assert "on target" in enmctl("devices", "show", word).stdout


@pytest.mark.parametrize("words", [("show", "nix"), ("delete", "nix"), ("release", "nix"), ("show", "buried")])
@pytest.mark.usefixtures("fleet")
def test_an_unknown_device_exits_3(enmctl: Run, words: tuple[str, ...]) -> None:
    result = enmctl("devices", *words)
    assert result.exit_code == ExitCode.UNKNOWN
    assert "no device is called" in result.stderr


def test_a_device_that_the_supervisor_lists_is_not_deleted_but_told_where_to(enmctl: Run, database: Path) -> None:
    with outside(boards_per_application=0) as world:
        world.call(lambda: world.world.fill(database, 2))
        supervisor = world.world.supervisor
        listed, dropped = (device.uuid for device in read_devices(database))
        world.call(lambda: supervisor.delete_device(dropped))
        there = {"BALENA_SUPERVISOR_ADDRESS": supervisor.url, "BALENA_SUPERVISOR_API_KEY": supervisor.api_key or ""}
        result = enmctl("devices", "delete", listed, env=there)
        assert result.exit_code == ExitCode.USAGE
        assert "dashboard" in result.stderr
        assert "--local" in result.stderr
        assert document(enmctl("devices", "delete", dropped, "--json", env=there)) == {"uuid": dropped, "deleted": True}
    assert [device.uuid for device in read_devices(database)] == [listed]


def test_a_device_is_not_deleted_while_the_supervisor_cannot_be_asked(
    enmctl: Run, fleet: Path, unused_port: int
) -> None:
    away = {"BALENA_SUPERVISOR_ADDRESS": f"http://127.0.0.1:{unused_port}"}
    result = enmctl("devices", "delete", "holy-sunset", env=away)
    assert result.exit_code == ExitCode.SOURCE
    assert "--local" in result.stderr
    assert "holy-sunset" in {device.name for device in read_devices(fleet)}


def test_with_local_it_is_deleted_here_and_leaves_a_tombstone(enmctl: Run, fleet: Path) -> None:
    assert enmctl("devices", "delete", "holy-sunset", "--local").exit_code == 0
    assert "holy-sunset" not in {device.name for device in read_devices(fleet)}
    assert {device.name for device in read_devices(fleet, deleted=True)} == {"buried", "holy-sunset"}


@pytest.mark.usefixtures("fleet")
def test_a_device_that_the_supervisor_dropped_is_deleted_without_more_words(enmctl: Run) -> None:
    assert enmctl("devices", "delete", "gone").exit_code == 0
    assert enmctl("devices", "delete", "gone").exit_code == ExitCode.UNKNOWN


def test_a_held_device_is_released(enmctl: Run, fleet: Path) -> None:
    assert enmctl("devices", "release", "held").exit_code == 0
    assert next(device for device in read_devices(fleet) if device.name == "held").held_target is None
    assert "is not held" in enmctl("devices", "release", "held").stderr
    assert document(enmctl("devices", "release", "held", "--json"))["was_held"] is False


def test_a_damaged_database_is_one_line_with_what_to_do(enmctl: Run, database: Path) -> None:
    database.parent.mkdir(parents=True)
    database.write_bytes(b"not a database" * 100)
    result = enmctl("devices")
    assert result.exit_code == ExitCode.FILE
    assert result.stderr.count("\n") == 2
    assert "enmctl run" in result.stderr


@pytest.mark.usefixtures("fleet")
def test_completion_asks_for_the_words_that_name_devices(enmctl: Run) -> None:
    words = enmctl("completion", "devices").stdout.splitlines()
    assert {"holy-sunset", "1265892", "late-moon"} <= set(words)
    assert "buried" not in words
