"""The fleet file: check one, write a first one; and what follows from it or from a Supervisor: plan, roll back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enmctl.cli.options import FleetFile
from enmctl.cli.panels import Panel
from enmctl.cli.shell import Group, call_of, command, epilog

app = typer.Typer()
fleet_app = typer.Typer(
    name="fleet",
    cls=Group,
    no_args_is_help=True,
    help="Write and check the file that says what should run.",
    epilog=epilog(["enmctl fleet init", "enmctl fleet check", "enmctl fleet check other.toml --json"]),
)

File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The fleet file; else ENM_FLEET_FILE, else fleet.toml.")
]


@command(
    fleet_app,
    "check",
    panel="Commands",
    examples=["enmctl fleet check", "enmctl fleet check fleet.toml --json"],
)
def check(context: typer.Context, file: File = None) -> None:
    """Tell whether a fleet file and all its firmware are right.

    Every fault is a line with file, line, column and what is allowed; then it exits with 4. Nothing is touched.
    """
    from enmctl.cli.fleet_files import check_fleet

    raise typer.Exit(check_fleet(call_of(context), file))


@command(
    fleet_app,
    "init",
    panel="Commands",
    examples=["enmctl fleet init", "enmctl fleet init fleet.toml --timeout 20s", "enmctl fleet init --simulate"],
)
def init(
    context: typer.Context,
    file: File = None,
    *,
    span: Annotated[
        str | None, typer.Option("--timeout", metavar="SPAN", help="How long to listen for boards, like 20s.")
    ] = None,
) -> None:
    """Write a first fleet file from the boards that are heard now.

    An application for each kind of board and each application that their firmware names; no file is overwritten. With
    --simulate it also writes firmware for the simulated boards: two good versions and one that is not well.
    """
    from enmctl.cli.durations import seconds
    from enmctl.cli.fleet_files import init_fleet

    init_fleet(call_of(context), file, seconds=seconds(span))


@command(
    app,
    "plan",
    panel=Panel.GATEWAY,
    examples=["enmctl plan --fleet fleet.toml", "enmctl plan", "enmctl plan --json"],
)
def plan(
    context: typer.Context,
    *,
    fleet: FleetFile = None,
    span: Annotated[
        str | None,
        typer.Option("--timeout", metavar="SPAN", help="How long to listen for boards; 0s: as if all known were here."),
    ] = None,
) -> None:
    """Tell what a pass would do now, and why; nothing is touched.

    The running gateway is asked; without one, or about another fleet file, it is worked out from the source, the
    database and the boards that are heard within --timeout (3s). A device that is not as it is to be and that nothing
    is done about now has a row "wait" with the reason: it is offline, or in hand, or failed. Exits with 0 where every
    device is as it is to be, else 10.
    """
    from enmctl.cli.durations import seconds
    from enmctl.cli.planning import show_plan

    call = call_of(context)
    call.fleet_file = fleet
    call.log_warnings()
    raise typer.Exit(show_plan(call, seconds=0.0 if span in ("0", "0s") else seconds(span)))


@command(
    app,
    "rollback",
    panel=Panel.DEVICES,
    examples=[
        "enmctl rollback holy-sunset",
        "enmctl rollback --application lamps",
        "enmctl rollback holy-sunset --clear",
    ],
)
def rollback(
    context: typer.Context,
    word: Annotated[
        str | None, typer.Argument(metavar="DEVICE", help="Its name, its board's id, its uuid, or how that begins.")
    ] = None,
    *,
    application: Annotated[
        str | None, typer.Option("--application", metavar="NAME", help="All devices of this one, by name or id.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Let it come to its target again.")] = False,
) -> None:
    """Have a device go back to the last firmware that it ran well.

    It stays there until its target changes, or until --clear. It goes at once, outside maintenance windows too, for a
    person wants it.
    """
    from enmctl.cli.rolling_back import roll_back

    roll_back(call_of(context), word, application, clear=clear)
