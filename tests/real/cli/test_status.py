"""``status``, ``pause`` and ``resume`` where no gateway runs."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from enmctl.cli import pausing
from enmctl.errors import ExitCode
from enmctl.gateway.instance import Instance
from enmctl.settings import Variable, variables
from enmctl.store.reading import read_meta
from tests.real.cli.rig import FLEET, Run, document

WRONG = {
    "api_token": "short",
    "supervisor_api_key": "has space",
    "system_bus_address": "has space",
    "hotspot_interface": "a/b",
}
"""Values that are wrong for variables whose kind takes nearly everything."""

TAKE_ANY = {
    "assets_directory",
    "db_directory",
    "lock_file",
    "balena_lock_file",
    "fleet_file",
    "hotspot_ssid",
    "hotspot_password",
}
"""Variables that every value suits: an environment cannot hold what a path cannot, and a hotspot that cannot be keeps
nothing else from working."""


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    monkeypatch.setenv("RESIN_SUPERVISOR_ADDRESS", f"http://127.0.0.1:{unused_port}")


def test_without_a_gateway_status_says_so_and_where_all_is_kept(
    enmctl: Run, fleet: Path, tmp_path: Path, unused_port: int
) -> None:
    facts = document(enmctl("status", "--json"))
    assert facts["gateway"] == {"running": False, "pid": None, "started_at": None, "api": None}
    assert (facts["current_status"], facts["target_status"]) == (None, "Running")
    assert facts["source"]["address"] == f"http://127.0.0.1:{unused_port}"
    assert facts["source"]["reachable"] is False
    assert facts["database"] == str(fleet)
    assert facts["assets_directory"] == str(tmp_path / "assets")
    assert facts["devices"]["total"] == sum(not device.deleted for device in FLEET)
    text = enmctl("status").stdout
    assert "does not run here" in text
    assert "not reachable" in text
    assert str(fleet) in text


def test_a_lock_of_somebody_else_is_shown_and_a_left_over_of_ours_is_not(enmctl: Run, tmp_path: Path) -> None:
    lock = tmp_path / "resin.lock"
    lock.write_text("")
    assert document(enmctl("status", "--json"))["update_lock"] == str(lock)
    assert "transfers wait" in enmctl("status").stdout
    lock.write_text("enmctl 0123456789abcdef")
    assert document(enmctl("status", "--json"))["update_lock"] is None


def test_a_damaged_database_is_a_problem_that_status_tells(enmctl: Run, database: Path) -> None:
    database.parent.mkdir(parents=True)
    database.write_bytes(b"not a database" * 100)
    facts = document(enmctl("status", "--json"))
    assert facts["devices"] is None
    assert len(facts["problems"]) == 1
    assert "damaged" in enmctl("status").stdout


def test_status_makes_nothing(enmctl: Run, database: Path) -> None:
    assert enmctl("status").exit_code == 0
    assert not database.parent.exists()


def test_a_pause_without_a_gateway_is_kept_for_the_next(enmctl: Run, database: Path) -> None:
    assert "the next one starts paused" in enmctl("pause").stderr
    assert read_meta(database, "target_status") == "Paused"
    assert read_meta(database, "paused_until") is None
    assert document(enmctl("status", "--json"))["target_status"] == "Paused"
    assert "the next run starts paused" in enmctl("status").stdout
    assert "starts working" in enmctl("resume").stderr
    assert document(enmctl("status", "--json"))["target_status"] == "Running"


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_beside_one_pass_it_is_not_said_that_no_gateway_runs(
    enmctl: Run, database: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(pausing, "STARTS_WITHIN", 0.1)
    with Instance.hold(database):
        result = enmctl(word)
    assert result.exit_code == ExitCode.BUSY
    assert "takes no commands" in result.stderr
    assert not database.exists()


def test_a_pause_beside_a_gateway_that_ends_is_kept_for_the_next(
    enmctl: Run, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as holding:
        holding.enter_context(Instance.hold(database))
        monkeypatch.setattr(time, "sleep", lambda _: holding.close())
        assert "the next one starts paused" in enmctl("pause").stderr
    assert read_meta(database, "target_status") == "Paused"


def test_a_pause_with_an_end_keeps_the_end(enmctl: Run, database: Path) -> None:
    before = time.time()
    assert document(enmctl("pause", "--for", "10m", "--json"))["gateway_running"] is False
    until = float(read_meta(database, "paused_until") or 0)
    assert before + 600 <= until <= time.time() + 600
    assert document(enmctl("status", "--json"))["paused_until"] == until
    enmctl("resume")
    assert read_meta(database, "paused_until") is None


def test_a_pause_whose_time_is_over_is_none(enmctl: Run) -> None:
    enmctl("pause", "--for", "0.001s")
    time.sleep(0.002)
    assert document(enmctl("status", "--json"))["target_status"] == "Running"


def test_run_once_exits_9_while_paused(enmctl: Run) -> None:
    enmctl("pause")
    result = enmctl("run", "--once")
    assert result.exit_code == ExitCode.BUSY
    assert "enmctl resume" in result.stderr


@pytest.mark.parametrize("text", ["10x", "0", "-1m"])
def test_a_span_that_is_none_is_a_usage_error(enmctl: Run, database: Path, text: str) -> None:
    result = enmctl("pause", f"--for={text}")
    assert result.exit_code == ExitCode.USAGE
    assert "1h30m" in result.stderr
    assert not database.exists()


def test_work_on_boards_beside_a_gateway_that_takes_no_commands_exits_9(enmctl: Run, database: Path) -> None:
    with Instance.hold(database):
        result = enmctl("identify", "holy-sunset")
    assert result.exit_code == ExitCode.BUSY
    assert "takes no commands" in result.stderr


def test_a_gateway_whose_api_does_not_answer_leaves_the_list_to_the_database(
    enmctl: Run, fleet: Path, unused_port: int
) -> None:
    with Instance.hold(fleet) as instance:
        instance.announce(f"http://127.0.0.1:{unused_port}")
        listed = enmctl("devices", "--json")
        worked = enmctl("restart", "holy-sunset")
        facts = document(enmctl("status", "--json"))
        words = enmctl("status").stdout
    assert len(document(listed)) == 4
    assert "not running" not in words, "one line must not say that it runs and another that it does not"
    assert "what the database remembers" in listed.stderr
    assert worked.exit_code == ExitCode.SOURCE
    assert facts["gateway"]["running"] is True
    assert facts["problems"]


@pytest.mark.parametrize(
    ("name", "variable"), [pair for pair in variables().items() if pair[0] not in TAKE_ANY], ids=lambda it: str(it)[:40]
)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_allowed(
    enmctl: Run, name: str, variable: Variable
) -> None:
    for spelling in variable.names:
        value = WRONG.get(name, "\t/wrong value/")
        result = enmctl("status", env={spelling: value})
        assert result.exit_code == ExitCode.USAGE, variable.name
        assert result.stderr.startswith(f"enmctl: {spelling} is ")
        assert variable.kind.allowed in result.stderr
        assert (value in result.stderr or repr(value) in result.stderr) is not variable.secret
        error = json.loads(enmctl("status", "--json", env={spelling: value}).stderr)
        assert error["reason"] == "setting"
