"""The frame around every command: shared options, errors as lines, exit codes."""

from __future__ import annotations

import inspect
import json

import pytest
import typer
from typer.testing import CliRunner, Result

from enmctl import __version__, errors
from enmctl.cli.shell import Group, Program, call_of, command
from enmctl.errors import EnmError, ExitCode, RefusedError

app = typer.Typer(cls=Program, no_args_is_help=True, add_completion=False)
nested = typer.Typer(cls=Group)
app.add_typer(nested, name="group")

ERRORS = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, EnmError)]
RAISED: list[BaseException] = []


@command(app, "state", panel="P", examples=["enmctl state"])
def state(context: typer.Context) -> None:
    """Print the shared options."""
    call = call_of(context)
    call.output.say("talk")
    call.output.line(f"{call.output.as_json} {call.output.quiet} {call.verbose} {call.simulate}")


@command(nested, "inner", panel="P", examples=["enmctl group inner"])
def inner(context: typer.Context) -> None:
    """Print the shared options from one floor below."""
    state(context)


@command(app, "fail", panel="P", examples=["enmctl fail"])
def fail() -> None:
    """Raise what the test asked for."""
    raise RAISED[-1]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def failing(error: BaseException, *words: str) -> Result:
    RAISED.append(error)
    return run("fail", *words)


@pytest.mark.parametrize(
    "words",
    [("--json", "state"), ("state", "--json"), ("group", "--json", "inner"), ("group", "inner", "--json")],
)
def test_a_shared_option_counts_before_and_after_the_command(words: tuple[str, ...]) -> None:
    assert run(*words).stdout == "True False False False\n"


def test_each_shared_option_says_its_own() -> None:
    assert run("state", "--quiet", "--verbose", "--simulate").stdout == "False True True True\n"


def test_talk_goes_to_stderr_and_quiet_silences_it() -> None:
    assert run("state").stderr == "talk\n"
    assert run("--quiet", "state").stderr == ""


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"enmctl {__version__}\n"


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_becomes_a_line_a_remedy_and_its_exit_code(kind: type[EnmError]) -> None:
    result = failing(kind("it broke", remedy="mend it"))
    assert result.stderr == "enmctl: it broke\n  → mend it\n"
    assert result.stdout == ""
    assert result.exit_code == kind.exit_code


def test_an_error_without_a_remedy_is_one_line() -> None:
    assert failing(EnmError("it broke")).stderr == "enmctl: it broke\n"


def test_with_json_an_error_is_one_line_of_json_on_stderr() -> None:
    result = failing(RefusedError("it broke", remedy="mend it", reason="no-space"), "--json")
    assert result.stderr.count("\n") == 1
    assert json.loads(result.stderr) == {
        "error": "it broke",
        "reason": "no-space",
        "remedy": "mend it",
        "exit_code": 5,
    }


def test_quiet_does_not_silence_an_error() -> None:
    assert "it broke" in failing(EnmError("it broke"), "--quiet").stderr


def test_control_characters_of_a_message_do_not_reach_the_terminal() -> None:
    assert failing(EnmError("evil \x1b[2J\nname")).stderr == "enmctl: evil \\x1b[2J\\x0aname\n"


def test_an_unexpected_exception_is_called_a_bug_and_shows_no_traceback() -> None:
    result = failing(ZeroDivisionError("division by zero"))
    assert result.exit_code == ExitCode.BUG
    assert "this is a bug in enmctl: ZeroDivisionError: division by zero" in result.stderr
    assert "--verbose" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bug_shows_its_traceback_to_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in failing(ZeroDivisionError(), "--verbose").stderr
    monkeypatch.setenv("ENM_LOG_LEVEL", "Debug")
    assert "Traceback" in failing(ZeroDivisionError()).stderr


def test_a_bug_does_not_tell_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIN_SUPERVISOR_API_KEY", "key-0123456789")
    assert "key-0123456789" not in failing(ValueError("key-0123456789"), "--verbose").stderr


def test_a_broken_pipe_that_is_not_our_stdout_is_no_silent_success() -> None:
    assert failing(BrokenPipeError("a board's socket")).exit_code == ExitCode.BUG


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort(), EOFError()])
def test_an_interrupted_command_exits_130_without_a_word(error: BaseException) -> None:
    result = failing(error)
    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.output == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nix",), "No such command 'nix'"),
        (("stat",), "Did you mean 'state'"),
        (("state", "--wrong"), "No such option: --wrong"),
        (("state", "more"), "unexpected extra argument"),
        (("group", "inner", "--wrong"), "see enmctl group inner --help"),
    ],
)
def test_wrong_words_are_a_usage_error_that_names_the_help_page(words: tuple[str, ...], said: str) -> None:
    result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert result.stderr.startswith("enmctl: ")
    assert "--help" in result.stderr


def test_wrong_words_with_json_are_one_line_of_json() -> None:
    for words in (("state", "--wrong", "--json"), ("--json", "--wrong"), ("--json", "nothing-like-it")):
        assert json.loads(run(*words).stderr)["exit_code"] == ExitCode.USAGE


def test_no_words_at_all_show_the_help_page_and_are_a_usage_error() -> None:
    result = run()
    assert result.exit_code == ExitCode.USAGE
    assert "Usage: enmctl" in result.stdout
    assert result.stderr == ""


def test_help_shows_the_shared_options_and_the_examples() -> None:
    page = run("state", "--help").stdout
    assert "--json" in page
    assert "Examples:" in page
    assert "enmctl state" in page
