"""A gateway to try out: the demo, and simulated boards with a Supervisor to run a real gateway against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

app = typer.Typer()


@command(app, "demo", panel=Panel.TRY, examples=["enmctl demo", "enmctl demo --boards 12"])
def demo(
    context: typer.Context,
    boards: Annotated[int, typer.Option("--boards", metavar="NUMBER", min=2, max=100, help="How many boards.")] = 6,
) -> None:
    """Watch a gateway at work on simulated boards.

    Boards are found, made devices of and updated; one fails at first and recovers; a new commit is pushed and rolls
    out. It takes less than half a minute, and needs no root, no radio and no network: all of it stays on this machine.
    """
    import asyncio

    from enmctl.cli.demo import show

    call = call_of(context)
    call.log_warnings()
    asyncio.run(show(call.output, boards=boards))


@command(
    app,
    "simulator",
    panel=Panel.TRY,
    examples=[
        "enmctl simulator",
        "enmctl simulator --boards 10 --control-port 8100",
        "enmctl simulator --folder /tmp/try --devices 10000",
    ],
)
def simulator(
    context: typer.Context,
    *,
    boards: Annotated[
        int, typer.Option("--boards", metavar="NUMBER", min=0, max=1000, help="How many boards on the network.")
    ] = 3,
    control_port: Annotated[
        int,
        typer.Option(
            "--control-port", metavar="PORT", min=0, max=65_535, help="Where it takes commands; 0: a free one."
        ),
    ] = 0,
    api_port: Annotated[
        int,
        typer.Option("--api-port", metavar="PORT", min=0, max=65_535, help="The gateway's HTTP API; 0: a free one."),
    ] = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Where the gateway is to keep all; else a temporary one."),
    ] = None,
    devices: Annotated[
        int,
        typer.Option("--devices", metavar="NUMBER", min=0, max=100_000, help="Devices at rest to fill the store with."),
    ] = 0,
    no_bluetooth: Annotated[bool, typer.Option("--no-bluetooth", help="Boards on the network alone.")] = False,
) -> None:
    """Keep simulated boards and a Supervisor up.

    Another terminal can then run a gateway against them, with the variables that this one prints. Commands (push a
    commit, break a board, switch the cloud off) are taken over HTTP; its first page says which. All of it stays on this
    machine. Ctrl-C ends it.
    """
    import asyncio

    from enmctl.cli.worlds import keep_up

    call = call_of(context)
    call.log_warnings()
    asyncio.run(
        keep_up(
            call.output,
            boards=boards,
            control_port=control_port,
            api_port=api_port,
            folder=folder,
            devices=devices,
            bluetooth=not no_bluetooth,
        )
    )
