"""How progress looks where there is no terminal."""

from __future__ import annotations

import io
import json
import sys

import pytest

from enmctl.cli.bars import Bars
from enmctl.cli.output import Output
from enmctl.cli.progress import Events, Lines, Progress
from enmctl.cli.showing import progress
from enmctl.errors import RefusedError
from enmctl.models import Proof, Stage, Step

STEPS = [
    Step(Stage.CHECKING),
    *(Step(Stage.TRANSFERRING, done, 1000) for done in range(0, 1001, 5)),
    Step(Stage.ACTIVATING),
    Step(Stage.RETURNING),
    Step(Stage.DONE, proof=Proof.VERSION_READ_BACK, version="1.2"),
]


def shown(how: Progress) -> None:
    with how:
        for step in STEPS:
            how.step("1265892", step)


def test_on_a_pipe_a_tenth_has_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    shown(progress(Output()))
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0] == "1265892: checking"
    assert [line for line in lines if "transferring" in line] == [
        f"1265892: transferring {share} %" for share in range(0, 101, 10)
    ]
    assert lines[-1] == "1265892: done (the board tells its version 1.2)"


def test_as_json_each_per_cent_is_an_event_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    how = progress(Output(as_json=True))
    shown(how)
    how.failed("1265893", RefusedError("no", reason="no-space"))
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert captured.err == ""
    assert [event["percent"] for event in events if event["stage"] == "transferring"] == list(range(101))
    assert events[-2] == {"board": "1265892", "stage": "done", "proof": "version-read-back", "version": "1.2"}
    assert events[-1] == {"board": "1265893", "stage": "failed", "error": "no", "reason": "no-space"}


def test_quiet_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown(progress(Output(quiet=True)))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_bars_take_every_step() -> None:
    shown(Bars())


def test_the_kind_of_progress_follows_from_where_it_goes() -> None:
    assert isinstance(progress(Output()), Lines)
    assert isinstance(progress(Output(as_json=True, quiet=True)), Events)


@pytest.mark.parametrize(
    ("term", "columns", "kind"), [("xterm", "80", Bars), ("xterm", "40", Lines), ("dumb", "80", Lines)]
)
def test_bars_are_drawn_where_a_terminal_has_room_for_them(
    monkeypatch: pytest.MonkeyPatch, term: str, columns: str, kind: type[Progress]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", columns)
    assert isinstance(progress(Output()), kind)
