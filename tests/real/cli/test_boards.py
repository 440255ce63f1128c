"""``scan``, ``flash``, ``restart`` and ``identify`` without a gateway: simulated boards, real sockets and mDNS."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.models import Device, Outcome
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.store import Store
from enmctl.store.reading import read_attempts, read_devices
from tests.real.cli.outside import QUICK, VERSION, WITHIN, Outside, image, outside
from tests.real.cli.rig import NEW, OLD, Run, document, lines


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    """Two boards that answer to anybody."""
    with outside(boards_per_application=2) as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def board(world: Outside) -> SimulatedEsp8266:
    """The first of the boards, with nothing amiss."""
    first = next(iter(world.world.boards.values()))
    world.call(first.mend)
    return first


@pytest.fixture
def firmware(folder: Path) -> Path:
    """A good image in the working directory."""
    file = folder / "firmware.bin"
    file.write_bytes(image())
    return file


@pytest.fixture
def known(database: Path, world: Outside, board: SimulatedEsp8266) -> Path:
    """A database in which the board is the device holy-sunset."""
    with Store.open(database) as store:
        store.add_device(
            Device("64a1ae375b213d7e", world.app, "esp8266", board.local_id, "holy-sunset", OLD, target_commit=NEW)
        )
    return database


@pytest.mark.usefixtures("known")
def test_a_scan_finds_the_boards_and_says_which_are_devices(
    enmctl: Run, world: Outside, board: SimulatedEsp8266
) -> None:
    found = [b for b in document(enmctl("scan", "--timeout", "2s", "--json")) if b["application_id"] == world.app]
    assert {b["local_id"] for b in found} == set(world.world.boards)
    ours = next(b for b in found if b["local_id"] == board.local_id)
    assert (ours["device_name"], ours["addresses"], ours["port"]) == ("holy-sunset", ["127.0.0.1"], board.port)


def test_a_scan_ends_as_soon_as_enough_are_found(enmctl: Run) -> None:
    head, *rows = enmctl("--simulate", "scan", "--count", "3", "--board", "esp8266").stdout.splitlines()
    assert head.split() == ["id", "type", "application", "address", "signal", "mode", "version", "name", "device"]
    assert [row.split()[0] for row in rows] == ["1265892", "1265893", "1265894"]


def test_a_scan_for_a_type_that_is_not_installed_names_those_that_are(enmctl: Run) -> None:
    result = enmctl("scan", "--board", "toaster", "--timeout", "1s")
    assert result.exit_code == ExitCode.UNKNOWN
    assert "esp8266" in result.stderr


def test_a_scan_without_a_database_that_can_be_read_still_finds_boards(
    enmctl: Run, world: Outside, database: Path
) -> None:
    database.parent.mkdir(parents=True)
    database.write_bytes(b"not a database" * 100)
    result = enmctl("scan", "--timeout", "1s")
    assert result.exit_code == 0
    assert next(iter(world.world.boards)) in result.stdout
    assert "not known" in result.stderr


@pytest.mark.parametrize("by", ["local_id", "name", "url", "address"])
def test_a_board_is_flashed_by_id_by_instance_name_and_by_address(
    enmctl: Run, board: SimulatedEsp8266, firmware: Path, by: str, database: Path
) -> None:
    word = f"{board.address}:{board.port}" if by == "address" else getattr(board, by)
    uploads = len(board.uploads)
    result = enmctl("flash", firmware, word)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith(f"{word}: done (the board ")
    assert len(board.uploads) == uploads + 1
    assert board.fw == VERSION
    assert not database.exists(), "a laptop needs no database"


@pytest.mark.parametrize("word", ["holy-sunset", "64a1", "64a1ae375b213d7e"])
def test_a_device_is_flashed_by_any_of_its_names_and_journalled(
    enmctl: Run, board: SimulatedEsp8266, firmware: Path, known: Path, word: str
) -> None:
    events = lines(enmctl("flash", firmware, word, "--json"))
    assert events[0]["stage"] == "checking"
    assert events[-1]["stage"] == "done"
    assert NEW[:8] in events[-1]["note"]
    (attempt,) = read_attempts(known)
    assert (attempt.outcome, attempt.kind, attempt.local_id) == (Outcome.SUCCEEDED, "flash", board.local_id)
    assert attempt.size > 0
    assert "transferring" in attempt.stages
    (device,) = read_devices(known)
    assert (device.commit, device.held_target) == (VERSION, None)


def test_a_version_that_is_no_commit_leaves_open_what_the_device_runs(
    enmctl: Run, board: SimulatedEsp8266, folder: Path, known: Path
) -> None:
    file = folder / "mine.bin"
    file.write_bytes(image("1.2"))
    assert enmctl("flash", file, "holy-sunset").exit_code == 0
    assert board.fw == "1.2"
    (device,) = read_devices(known)
    assert device.commit is None, "a Supervisor would be told of a commit that it never had"


@pytest.mark.usefixtures("known")
def test_the_update_lock_is_held_while_a_gateways_board_is_flashed(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "resin.lock"

    async def watch() -> asyncio.Task[None]:
        return asyncio.create_task(board.wait_for(lambda it: it.uploading and lock.exists(), WITHIN))

    watching = world.do(watch())
    assert enmctl("flash", firmware, "holy-sunset").exit_code == 0
    assert not lock.exists()
    was_seen = world.call(watching.done)
    world.call(watching.cancel)
    assert was_seen, "a Supervisor could have stopped it half-way"


@pytest.mark.usefixtures("known")
def test_nothing_is_flashed_under_somebody_elses_update_lock(
    enmctl: Run, board: SimulatedEsp8266, firmware: Path, tmp_path: Path
) -> None:
    (tmp_path / "resin.lock").write_text("the Supervisor's")
    uploads = len(board.uploads)
    result = enmctl("flash", firmware, "holy-sunset")
    assert result.exit_code == ExitCode.BUSY
    assert "update lock" in result.stderr
    assert len(board.uploads) == uploads


def test_a_held_flash_is_noted_for_the_gateway(enmctl: Run, firmware: Path, known: Path) -> None:
    result = enmctl("flash", firmware, "holy-sunset", "--hold")
    assert "leaves it alone" in result.stderr
    (device,) = read_devices(known)
    assert device.held_target == NEW


def test_several_boards_are_flashed_and_one_that_is_not_there_stops_none(
    enmctl: Run, world: Outside, firmware: Path
) -> None:
    words = [*world.world.boards, "4711000"]
    uploads = sum(len(board.uploads) for board in world.world.boards.values())
    result = enmctl("flash", firmware, *words, "--timeout", "2s")
    assert result.exit_code == ExitCode.UNKNOWN
    assert "enmctl: 4711000: no device is called '4711000'" in result.stderr
    assert sum(len(board.uploads) for board in world.world.boards.values()) == uploads + 2


def test_one_board_named_twice_is_flashed_once(enmctl: Run, board: SimulatedEsp8266, firmware: Path) -> None:
    uploads = len(board.uploads)
    result = enmctl("flash", firmware, board.local_id, board.name)
    assert result.exit_code == ExitCode.USAGE
    assert "is the same board as" in result.stderr
    assert len(board.uploads) == uploads + 1


def test_without_a_name_several_boards_are_listed_and_none_is_touched(enmctl: Run, firmware: Path) -> None:
    result = enmctl("--simulate", "flash", firmware, "--timeout", "1s")
    assert result.exit_code == ExitCode.USAGE
    assert "name one: 1265892, 1265893, 1265894" in result.stderr


def test_a_board_that_refuses_says_why_and_the_journal_keeps_it(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path, known: Path
) -> None:
    world.call(lambda: board.break_with("flash-write"))
    result = enmctl("flash", firmware, "holy-sunset")
    assert result.exit_code == ExitCode.BOARD
    assert result.stderr.splitlines()[-2].startswith("enmctl: ")
    (attempt,) = read_attempts(known)
    assert attempt.outcome is Outcome.FAILED
    assert attempt.message
    (device,) = read_devices(known)
    assert device.commit == OLD


def test_a_failure_as_json_is_an_event_and_an_error(
    enmctl: Run, world: Outside, board: SimulatedEsp8266, firmware: Path
) -> None:
    world.call(lambda: board.break_with("flash-write"))
    result = enmctl("flash", firmware, board.local_id, "--json")
    event, error = lines(result)[-1], json.loads(result.stderr)
    assert (event["stage"], event["board"]) == ("failed", board.local_id)
    assert error["exit_code"] == result.exit_code == ExitCode.BOARD
    assert error["reason"] == event["reason"]


def test_a_file_that_is_no_firmware_is_refused_before_a_byte_is_sent(
    enmctl: Run, board: SimulatedEsp8266, folder: Path
) -> None:
    (folder / "firmware.bin").write_bytes(b"#!/bin/sh\n" * 1000)
    uploads = len(board.uploads)
    result = enmctl("flash", "firmware.bin", board.local_id)
    assert result.exit_code == ExitCode.FILE
    assert len(board.uploads) == uploads


@pytest.mark.usefixtures("firmware", "known")
def test_file_and_board_the_wrong_way_round_are_told_so(enmctl: Run) -> None:
    result = enmctl("flash", "1265892", "firmware.bin")
    assert result.exit_code == ExitCode.USAGE
    assert "the file comes first: enmctl flash firmware.bin 1265892" in result.stderr
    result = enmctl("flash", "holy-sunset")
    assert result.exit_code == ExitCode.USAGE
    assert "enmctl flash FILE holy-sunset" in result.stderr


@pytest.mark.parametrize(
    ("word", "problem"), [("nix.bin", "is not there"), (".", "is a folder"), (os.devnull, "is no file")]
)
def test_a_file_that_is_not_there_is_told(enmctl: Run, word: str, problem: str) -> None:
    result = enmctl("flash", word, "1265892")
    assert result.exit_code == ExitCode.FILE
    assert f"{word} {problem}" in result.stderr


@pytest.mark.parametrize("words", [["restart", ""], ["identify", "holy-sunset", " "], ["provision", ""]])
def test_an_empty_word_names_no_board(enmctl: Run, words: list[str]) -> None:
    result = enmctl(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "empty word" in result.stderr


def test_a_board_that_is_not_heard_exits_6_and_its_device_is_named(enmctl: Run, firmware: Path, database: Path) -> None:
    with Store.open(database) as store:
        store.add_device(Device("64a1ae375b213d7e", 1, "esp8266", "1", "far-away"))
    result = enmctl("flash", firmware, "far-away", "--timeout", "0.2s")
    assert result.exit_code == ExitCode.OFFLINE
    assert "far-away" in result.stderr


def test_nothing_at_an_address_exits_6(enmctl: Run, firmware: Path, unused_port: int) -> None:
    assert enmctl("flash", firmware, f"http://127.0.0.1:{unused_port}").exit_code == ExitCode.OFFLINE


@pytest.mark.parametrize("word", ["http://", "https://10.0.0.7", "ftp://10.0.0.7"])
def test_what_is_no_address_is_told(enmctl: Run, firmware: Path, word: str) -> None:
    assert enmctl("flash", firmware, word).exit_code == ExitCode.USAGE


def test_restart_and_identify_reach_the_board(enmctl: Run, board: SimulatedEsp8266, known: Path) -> None:
    restarts, identified = board.restarts, board.identified
    assert enmctl("restart", board.local_id).exit_code == 0
    assert board.restarts == restarts + 1
    assert enmctl("identify", "holy-sunset").exit_code == 0
    assert board.identified == identified + 1
    (attempt,) = read_attempts(known)
    assert (attempt.kind, attempt.outcome) == ("restart", Outcome.SUCCEEDED)


def test_nothing_of_a_simulated_command_leaves_loopback(enmctl: Run, firmware: Path, database: Path) -> None:
    result = enmctl("--simulate", "flash", firmware, "http://192.0.2.1")
    assert result.exit_code == ExitCode.USAGE
    assert "real address" in result.stderr
    assert not database.exists()


@pytest.fixture(scope="module")
def locked(world: Outside) -> SimulatedEsp8266:
    """A board that asks for credentials, somewhere else than at /update."""
    return world.add_board(auth=("admin", "board-word"), path="/ota", advertise=False)


def test_user_and_path_come_as_options_and_the_password_from_the_environment(
    enmctl: Run, locked: SimulatedEsp8266, firmware: Path
) -> None:
    words = ("flash", firmware, locked.url, "--user", "admin", "--path", "/ota")
    assert enmctl(*words, env={"ENM_OTA_PASSWORD": "board-word"}).exit_code == 0


def test_user_and_path_may_stand_in_the_address(enmctl: Run, locked: SimulatedEsp8266, firmware: Path) -> None:
    address = f"http://admin@127.0.0.1:{locked.port}/ota"
    assert enmctl("flash", firmware, address, env={"ENM_OTA_PASSWORD": "board-word"}).exit_code == 0


def test_a_wrong_password_is_refused_and_shown_nowhere(enmctl: Run, locked: SimulatedEsp8266, firmware: Path) -> None:
    address = f"http://admin@127.0.0.1:{locked.port}/ota"
    result = enmctl("flash", firmware, address, "--verbose", env={"ENM_OTA_PASSWORD": "wrong-word"})
    assert result.exit_code == ExitCode.BOARD
    assert "wrong-word" not in result.output


def test_without_a_terminal_a_missing_password_is_a_usage_error(
    enmctl: Run, locked: SimulatedEsp8266, firmware: Path
) -> None:
    result = enmctl("flash", firmware, f"http://admin@127.0.0.1:{locked.port}/ota")
    assert result.exit_code == ExitCode.USAGE
    assert "ENM_OTA_PASSWORD" in result.stderr


def test_a_password_in_an_address_is_refused_and_not_repeated(enmctl: Run, firmware: Path) -> None:
    result = enmctl("flash", firmware, "http://admin:board-word@127.0.0.1/")
    assert result.exit_code == ExitCode.USAGE
    assert "board-word" not in result.output


def test_all_boards_and_some_that_are_named_are_not_wanted_both(enmctl: Run, firmware: Path) -> None:
    result = enmctl("flash", firmware, "1265892", "--all")
    assert result.exit_code == ExitCode.USAGE
    assert "name boards, or say --all" in result.stderr
