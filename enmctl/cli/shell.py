"""What every command shares: its options, how its errors reach a person, and its exit codes.

Each command is a ``Command`` or a ``Group`` of Typer's, with the options of ``SHARED`` added; the whole program is one
``Program``, whose ``main`` is the only place where an exception becomes a line and an exit code.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from enmctl import __version__
from enmctl.cli.output import Output, ReaderGoneError, discard_output
from enmctl.errors import EnmError, ExitCode, OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from enmctl.gateway.reach import Reach
    from enmctl.settings import Settings

Body = TypeVar("Body", bound=Callable[..., Any])

EVERYWHERE = "Everywhere"
"""The heading of the shared options in help pages."""


class Call:
    """One call of enmctl: what was asked of every command alike."""

    def __init__(self) -> None:
        self.output = Output()
        self.verbose = False
        self.simulate = False
        self.simulated_application: int | None = None
        self.simulated_boards = 0
        self._reach: Reach | None = None
        self.fleet_file: Path | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings, read from the environment at first use.

        Raises:
            SettingError: a variable has a value that cannot be used.
            UsageError: the command works on nothing that could be simulated.
        """
        if self.simulate:
            raise UsageError(
                "--simulate is for commands that work on boards",
                remedy="enmctl demo and enmctl simulator show a whole simulated gateway",
            )
        from enmctl.settings import Settings

        return Settings.from_environment(self.environment())

    def environment(self) -> dict[str, str]:
        """The process's environment, with the fleet file that the command line names in it."""
        import os

        if self.fleet_file is None:
            return dict(os.environ)
        return {**os.environ, "ENM_FLEET_FILE": str(self.fleet_file.absolute()), "ENM_SOURCE": "fleet"}

    @asynccontextmanager
    async def world(self) -> AsyncGenerator[None]:
        """The world in which a command works on boards: the real one, or with ``--simulate`` one of its own."""
        if not self.simulate:
            yield
            return
        from enmctl.cli.worlds import hidden_world

        async with hidden_world(self.environment()) as hidden:
            self.__dict__["settings"] = hidden.settings
            self.simulated_application = hidden.application_id
            self.simulated_boards = hidden.boards
            self._reach = hidden.reach
            yield

    @property
    def reach(self) -> Reach:
        """What a command may listen on and connect to; a simulated adapter is reached through the simulator."""
        if self._reach is not None:
            return self._reach
        from enmctl.library.reaching import reach_of

        return reach_of(self.settings)

    def log_warnings(self) -> None:
        """Let a command that is no daemon log what is amiss, or all where it was asked to talk more."""
        from enmctl.cli.log_lines import set_up

        set_up("warning", verbose=self.verbose, quiet=self.output.quiet)


def call_of(context: typer.Context) -> Call:
    """The call that a command's context belongs to."""
    call: Call = context.obj
    return call


def _take_json(context: Any, _: Any, value: bool) -> None:
    context.obj.output.as_json |= value


def _take_quiet(context: Any, _: Any, value: bool) -> None:
    context.obj.output.quiet |= value


def _take_verbose(context: Any, _: Any, value: bool) -> None:
    context.obj.verbose |= value


def _take_simulate(context: Any, _: Any, value: bool) -> None:
    context.obj.simulate |= value


def _take_version(context: Any, _: Any, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.obj.output.line(f"enmctl {__version__}")
        raise typer.Exit


def _flag(name: str, meaning: str, callback: Callable[..., None], *, eager: bool = False) -> TyperOption:
    return TyperOption(
        param_decls=[name, f"--{name}"],
        is_flag=True,
        default=False,
        help=meaning,
        callback=callback,
        is_eager=eager,
        expose_value=False,
        rich_help_panel=EVERYWHERE,
    )


SHARED = (
    _flag("json", "Data as JSON, errors too.", _take_json),
    _flag("quiet", "Say nothing but data and errors.", _take_quiet),
    _flag("verbose", "Say more: the log at its finest, and tracebacks of bugs.", _take_verbose),
    _flag("simulate", "Work on simulated boards; nothing real is touched.", _take_simulate),
)
"""The options that every command takes, before its name or after it."""

VERSION = _flag("version", "Print the version.", _take_version, eager=True)


class _SharedOptions:
    """Adds the shared options, and tells a closed pipe under a help page from one that a command wrote to."""

    def __init__(self, *args: Any, **named: Any) -> None:
        own = list(named.get("params") or ())
        for param in own:
            param.help = escape(param.help or "")
        named["params"] = [*own, *SHARED]
        named["help"] = escape(flowing(named.get("help") or ""))
        super().__init__(*args, **named)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc] # Typer's class comes next in line
        except (BrokenPipeError, SystemExit):  # rich, which draws help pages, ends the program for a closed pipe
            raise ReaderGoneError from None
        return parsed


class Command(_SharedOptions, TyperCommand):
    """One command of enmctl."""


class Group(_SharedOptions, TyperGroup):
    """Several commands under one word."""


class Program(Group):
    """All of enmctl: where exceptions become lines on stderr and exit codes."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.params.append(VERSION)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *_: Any,
        **extra: Any,
    ) -> NoReturn:
        """Run one command line and exit with its code."""
        del prog_name, extra
        words = list(sys.argv[1:] if args is None else args)
        call = Call()
        code = self._reported(call, lambda: self._run(words, call))
        flushed = self._reported(call, call.output.flush)
        sys.exit(code or flushed)

    @staticmethod
    def _reported(call: Call, work: Callable[[], int | None]) -> int:
        """Do something, and tell what goes wrong with it; the exit code."""
        try:
            return work() or ExitCode.DONE
        except ReaderGoneError:
            discard_output()
            return ExitCode.DONE
        except EnmError as error:
            if isinstance(error, OutputError):
                discard_output()
            call.output.error(error)
            return int(error.exit_code)

    def _run(self, words: list[str], call: Call) -> int:
        try:
            with self.make_context("enmctl", [*words], obj=call) as context:  # it eats the words it is given
                self.invoke(context)
        except typer.Exit as exit_:
            return exit_.exit_code
        except typer.TyperException as error:
            if not error.format_message():
                return ExitCode.USAGE  # no command was named, and the help page is already printed
            call.output.as_json |= "--json" in words
            raise _usage_error(error) from None
        except (KeyboardInterrupt, typer.Abort, EOFError):
            return ExitCode.INTERRUPTED
        except (EnmError, ReaderGoneError):
            raise
        except Exception as error:
            _show_traceback(call)
            raise _bug(error) from error
        return ExitCode.DONE


def _usage_error(error: typer.TyperException) -> UsageError:
    """What Typer says of the words of a call, as an error of ours."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "enmctl"
    return UsageError(error.format_message().rstrip("."), remedy=f"see {path} --help")


def _bug(error: Exception) -> EnmError:
    from enmctl.cli.log_lines import mask

    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return EnmError(
        f"this is a bug in enmctl: {mask(text)}",
        remedy="run it again with --verbose for the traceback, and report both",
        reason="bug",
    )


def _show_traceback(call: Call) -> None:
    """Print the traceback of the exception in hand, where it was asked for."""
    import os

    if not call.verbose and os.environ.get("ENM_LOG_LEVEL", "").lower() != "debug":
        return
    import traceback

    from enmctl.cli.log_lines import mask

    call.output.complain(mask(traceback.format_exc()))


def command(
    app: typer.Typer, name: str, *, panel: str, examples: Sequence[str], cls: type[Command] = Command
) -> Callable[[Body], Body]:
    """Make a function a command of ``app``; each of ``examples`` is a whole command line."""
    return app.command(name, cls=cls, rich_help_panel=panel, epilog=epilog(examples))


def epilog(examples: Sequence[str]) -> str:
    """How a help page ends: example command lines under their heading."""
    return escape("\n".join(["Examples:", *(f"  {example}" for example in examples)]))


def escape(text: str) -> str:
    """The text with nothing in it that rich takes for markup."""
    return text.replace("[", "\\[")


def flowing(text: str) -> str:
    """The text with each paragraph on one line, for a terminal to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
