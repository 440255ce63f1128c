"""``enmctl history`` and ``enmctl logs`` on a real database."""

from __future__ import annotations

import pytest

from enmctl.errors import ExitCode
from tests.real.cli.rig import Run, document, lines


@pytest.mark.usefixtures("fleet")
def test_the_newest_attempt_comes_first(enmctl: Run) -> None:
    found = document(enmctl("history", "--json"))
    assert [attempt["local_id"] for attempt in found] == ["4711", "1265893", "1265892"]
    assert found[2]["stages"] == {"transferring": 0.5}
    assert (found[2]["outcome"], found[2]["proof"], found[2]["device_name"]) == (
        "succeeded",
        "version-read-back",
        "holy-sunset",
    )


@pytest.mark.usefixtures("fleet")
def test_the_table_tells_why_an_attempt_failed(enmctl: Run) -> None:
    head, *rows = enmctl("history").stdout.splitlines()
    known = ["began", "took", "what", "board", "commit", "outcome", "known", "by", "bytes", "stages", "reason", "why"]
    assert head.split() == known
    assert len(rows) == 3
    assert "no-space" in rows[1]
    assert "version-read-back" in rows[2]
    assert "transferring 9.5s" in rows[2], "a stage lasts until the next one, or the end"
    assert "no room" in rows[1]
    assert "10s" in rows[1]


@pytest.mark.usefixtures("fleet")
def test_the_list_can_be_bounded(enmctl: Run) -> None:
    assert len(document(enmctl("history", "--limit", "1", "--json"))) == 1
    assert enmctl("history", "--limit", "0").exit_code == ExitCode.USAGE


@pytest.mark.usefixtures("fleet")
def test_one_device_or_board_can_be_asked_for(enmctl: Run) -> None:
    assert [attempt["local_id"] for attempt in document(enmctl("history", "late-moon", "--json"))] == ["1265893"]
    assert [attempt["local_id"] for attempt in document(enmctl("history", "4711", "--json"))] == ["4711"]
    assert document(enmctl("history", "buried", "--json")) == []
    assert enmctl("history", "nix").exit_code == ExitCode.UNKNOWN


def test_without_any_attempt_it_says_so(enmctl: Run) -> None:
    result = enmctl("history")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "yet" in result.stderr
    assert document(enmctl("history", "--json")) == []


@pytest.mark.usefixtures("fleet")
def test_log_lines_come_in_their_order(enmctl: Run) -> None:
    first, second = enmctl("logs").stdout.splitlines()
    assert first.endswith("holy-sunset  Update begins")
    assert second.endswith("late-moon  Update failed")


@pytest.mark.usefixtures("fleet")
def test_log_lines_of_one_device_as_json_lines(enmctl: Run) -> None:
    (event,) = lines(enmctl("logs", "late-moon", "--json"))
    assert (event["level"], event["message"]) == ("error", "Update failed")
    assert enmctl("logs", "nix").exit_code == ExitCode.UNKNOWN


def test_no_log_line_at_all_says_so(enmctl: Run) -> None:
    result = enmctl("logs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing was logged" in result.stderr
