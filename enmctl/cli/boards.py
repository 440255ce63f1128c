"""The boards around: find them, make devices of them, flash, restart, and have one show itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enmctl.cli.durations import seconds
from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

app = typer.Typer()

Span = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="SPAN",
        help="How long to listen for boards, like 5s; else the timeout of the radios that can be used.",
    ),
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="DEVICE...",
        help="A device's name, id or uuid, a board's id, name or Bluetooth address, or http://[user@]host[:port][/path].",
    ),
]
User = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="The user that the board asks for; see ENM_OTA_PASSWORD.")
]
BoardType = Annotated[
    str | None, typer.Option("--board", metavar="TYPE", help="Only boards of this type, like esp8266.")
]


@command(
    app,
    "scan",
    panel=Panel.BOARDS,
    examples=["enmctl scan", "enmctl scan --timeout 3s --json", "enmctl scan --count 1 --board microbit"],
)
def scan(
    context: typer.Context,
    *,
    span: Span = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="NUMBER", min=1, help="End as soon as so many are found.")
    ] = None,
    board_type: BoardType = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C, or --timeout.")] = False,
) -> None:
    """Look which boards are here, devices or not, on all radios."""
    from enmctl.cli.scanning import Search, scan_boards

    search = Search(seconds=seconds(span), count=count, board_type=board_type, watch=watch)
    scan_boards(call_of(context), search)


@command(
    app,
    "provision",
    panel=Panel.BOARDS,
    examples=["enmctl provision 1265892", "enmctl provision 1265892 1265893 --json"],
)
def provision(context: typer.Context, words: Words, span: Span = None) -> None:
    """Make devices of boards now, or bring deleted ones back.

    A running gateway does so by itself for every new board of a known application; this is for boards whose device was
    deleted, and for those who do not want to wait.
    """
    from enmctl.cli.jobs import carry_out
    from enmctl.cli.wanted import Wanted
    from enmctl.gateway.control import JobKind

    carry_out(call_of(context), Wanted(JobKind.PROVISION, words, seconds=seconds(span)))


@command(
    app,
    "flash",
    panel=Panel.BOARDS,
    examples=[
        "enmctl flash program.hex",
        "enmctl flash program.hex zavit",
        "enmctl flash firmware.bin 1265892 --hold",
        "enmctl flash firmware.bin http://admin@10.0.0.7/update",
    ],
)
def flash(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The firmware.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DEVICE]...",
            help="A device's name, id or uuid, a board's id, name or Bluetooth address, or"
            " http://[user@]host[:port][/path]; else the only one that the file is for.",
        ),
    ] = None,
    *,
    hold: Annotated[bool, typer.Option("--hold", help="Keep the gateway from putting the target back.")] = False,
    all_boards: Annotated[
        bool, typer.Option("--all", help="All boards that are heard and that the file is for.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the board and say what would be sent; send nothing.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Send all, also where the changed part would do.")] = False,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Begin anew, also where a transfer could go on.")
    ] = False,
    allow_system: Annotated[
        bool, typer.Option("--allow-system", help="Allow an image that replaces a SoftDevice or a bootloader.")
    ] = False,
    board_type: BoardType = None,
    user: User = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="WHERE", help="Where the board takes firmware, if not at /update."),
    ] = None,
    max_size: Annotated[
        int | None, typer.Option("--max-size", metavar="BYTES", min=1, help="The largest image that the board takes.")
    ] = None,
    span: Span = None,
) -> None:
    """Put a firmware file on boards by hand.

    The file is checked before a radio is touched. A board that is the only one in range need not be named. A micro:bit
    that is not heard is waited for a minute at a terminal, which says how to bring it into its pairing mode. Of a
    program for it only the part that changed is sent where that does. A transfer that broke goes on where that is safe,
    and starts over where it is not. Ctrl-C (or SIGTERM, or a terminal that is closed) ends it at a safe point, and says
    what the board is left with: flash the same file again to go on.

    On a device, a gateway puts the target back afterwards, unless --hold says to leave it alone until the target
    changes. A password is taken from the environment variable ENM_OTA_PASSWORD, or asked for on a terminal.
    """
    from enmctl.boards.manner import manner
    from enmctl.cli.access import access_of
    from enmctl.cli.jobs import carry_out
    from enmctl.cli.wanted import Wanted, check_file
    from enmctl.errors import UsageError
    from enmctl.gateway.control import JobKind

    call = call_of(context)
    if words and all_boards:
        raise UsageError("boards are named, and all of them are wanted", remedy="name boards, or say --all")
    check_file(call, file, words or [])
    carry_out(
        call,
        Wanted(
            JobKind.FLASH,
            words or [],
            file=file,
            hold=hold,
            all_boards=all_boards,
            dry_run=dry_run,
            board_type=board_type,
            access=access_of(call, words or [], user=user, path=path, max_size=max_size),
            manner=manner(full=full, resume=not no_resume, allow_system=allow_system),
            seconds=seconds(span),
        ),
    )


@command(
    app,
    "restart",
    panel=Panel.BOARDS,
    examples=["enmctl restart holy-sunset", "enmctl restart 1265892 http://10.0.0.7"],
)
def restart(context: typer.Context, words: Words, user: User = None, span: Span = None) -> None:
    """Restart boards, and wait until they are back."""
    from enmctl.cli.access import access_of
    from enmctl.cli.jobs import carry_out
    from enmctl.cli.wanted import Wanted
    from enmctl.gateway.control import JobKind

    call = call_of(context)
    carry_out(call, Wanted(JobKind.RESTART, words, access=access_of(call, words, user=user), seconds=seconds(span)))


@command(app, "identify", panel=Panel.BOARDS, examples=["enmctl identify holy-sunset", "enmctl identify 1265892"])
def identify(context: typer.Context, words: Words, user: User = None, span: Span = None) -> None:
    """Have boards show themselves, mostly by blinking."""
    from enmctl.cli.access import access_of
    from enmctl.cli.jobs import carry_out
    from enmctl.cli.wanted import Wanted
    from enmctl.gateway.control import JobKind

    call = call_of(context)
    carry_out(call, Wanted(JobKind.IDENTIFY, words, access=access_of(call, words, user=user), seconds=seconds(span)))
