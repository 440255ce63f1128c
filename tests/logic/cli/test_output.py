"""What is printed, where, and in which form."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest

from enmctl.cli.output import Output, ReaderGoneError, clean
from enmctl.errors import EnmError, OutputError

EVIL = "evil\x1b[2J\x07\x9b\nname"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, write: Callable[[Output], None]) -> str:
    """What a terminal of 40 columns is sent."""
    screen = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        patched.setenv("COLUMNS", "40")
        patched.setenv("TERM", "xterm-256color")
        patched.delenv("NO_COLOR", raising=False)
        write(Output())
    return screen.getvalue()


def test_a_table_on_a_pipe_is_aligned_and_nothing_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "uuid"), [("a", "x" * 200), ("longer", None)])
    assert capsys.readouterr().out == f"name    uuid\na       {'x' * 200}\nlonger\n"


def test_a_table_on_a_terminal_keeps_within_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = on_a_terminal(monkeypatch, lambda output: output.table(("name", "uuid"), [("a", "x" * 100)]))
    lines = sent.splitlines()
    assert "\x1b[1m" in lines[0]
    assert len(lines) > 2
    assert all(len(line) <= 40 for line in lines[1:])


def test_a_narrow_terminal_is_spared_columns_before_an_id_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, row = ("name", "id", "uuid", "why"), ("tomatoes", "1234567890", "u" * 20, "it said no, and no again")
    sent = on_a_terminal(monkeypatch, lambda output: output.table(columns, [row], spare=["uuid"]))
    assert "tomatoes" in sent
    assert "1234567890" in sent
    assert "uuu" not in sent
    assert all(len(line) <= 40 for line in sent.splitlines()[1:])


def test_a_wide_enough_terminal_is_spared_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = on_a_terminal(monkeypatch, lambda output: output.table(("a", "b"), [("1" * 18, "2" * 20)], spare=["a"]))
    assert "1" * 18 + "  " + "2" * 20 in sent


def test_control_characters_reach_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = on_a_terminal(monkeypatch, lambda output: output.table(("name",), [(EVIL,)]))
    assert "evil\\x1b[2J" in sent
    assert "\x07" not in sent
    Output().say(EVIL)
    assert capsys.readouterr().err == "evil\\x1b[2J\\x07\\x9b\\x0aname\n"


def test_clean_leaves_letters_of_every_script() -> None:
    assert clean("Küche 温室 №5") == "Küche 温室 №5"


def test_a_list_as_json_has_an_element_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().document([{"a": 1}, {"a": "é"}])
    out = capsys.readouterr().out
    assert out == '[\n  {"a": 1},\n  {"a": "é"}\n]\n'
    assert json.loads(out) == [{"a": 1}, {"a": "é"}]


def test_an_empty_list_is_still_json(capsys: pytest.CaptureFixture[str]) -> None:
    Output().document([])
    assert json.loads(capsys.readouterr().out) == []


def test_json_is_readable_where_the_terminal_knows_no_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output = Output()
    output.document({"name": "Küche"})
    output.line("Küche →")
    output.flush()
    first, second = raw.getvalue().decode("ascii").splitlines()
    assert json.loads(first) == {"name": "Küche"}
    assert second == "K\\xfcche \\u2192"


def test_pairs_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    Output().pairs({"name": "a", "long name": 1, "nothing": None})
    assert capsys.readouterr().out == "name       a\nlong name  1\n"


class Broken(io.StringIO):
    """A stream on which nothing can be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _: str) -> int:
        raise self._error


def test_a_reader_that_went_away_is_told_from_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(ReaderGoneError):
        Output().line("x")
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left on device"):
        Output().line("x")


def test_nobody_listening_to_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(BrokenPipeError(32, "Broken pipe")))
    Output().say("x")
    Output().error(EnmError("x"))


def test_an_error_points_to_its_remedy_in_letters_that_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="latin-1"))
    Output().error(EnmError("it broke", remedy="mend it"))
    assert raw.getvalue().decode("latin-1") == "enmctl: it broke\n  -> mend it\n"


def test_an_error_is_red_on_a_terminal_unless_nobody_wants_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for variable, coloured in (("", True), ("1", False)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("NO_COLOR", variable)
        Output().error(EnmError("it broke"))
        assert ("\x1b[" in terminal.getvalue()) is coloured
