"""The gateway: run it, look at it, pause it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from enmctl.cli.options import FleetFile
from enmctl.cli.panels import Panel
from enmctl.cli.shell import Call, Command, call_of, command

app = typer.Typer()


class _RunCommand(Command):
    """``run``, whose help page ends with the table of the environment variables."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from enmctl.cli.variables import variables_for_help

        examples = self.epilog
        self.epilog = f"{examples}\n\n{variables_for_help()}"
        try:
            super().format_help(ctx, formatter)
        finally:
            self.epilog = examples


@command(
    app,
    "run",
    panel=Panel.GATEWAY,
    examples=["enmctl run --fleet fleet.toml", "enmctl run", "enmctl run --once", "ENM_LOG_FORMAT=json enmctl run"],
    cls=_RunCommand,
)
def run(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="One bounded pass, and exit by how it went.")] = False,
    fleet: FleetFile = None,
) -> None:
    """Run the gateway until it is told to stop.

    It finds boards, makes devices of them, keeps each on its firmware and reports to the Supervisor. What should run it
    learns from the Supervisor, or from a fleet file. SIGTERM, SIGHUP and
    Ctrl-C end it at a safe point. With --once it carries out all there is to do, and exits with 0 where all is on
    target, 10 where something remains, 5 where an update failed, 8 without a Supervisor, 9 paused or beside another
    gateway.
    """
    import asyncio

    call = call_of(context)
    call.fleet_file = fleet
    raise typer.Exit(asyncio.run(_run(call, once=once)))


async def _run(call: Call, *, once: bool) -> int:
    from enmctl.cli.log_lines import set_up
    from enmctl.gateway.run import run as run_on
    from enmctl.gateway.run import run_once

    async with call.world():
        settings = call.settings
        set_up(settings.log_level, form=settings.log_format, verbose=call.verbose, quiet=call.output.quiet)
        _warn_of_misspelt_variables()
        if call.simulate:
            call.output.say(f"for other commands beside it: export ENM_DB_DIRECTORY={settings.db_directory}")
        if once:
            return await run_once(settings, reach=call.reach)
        await run_on(settings, reach=call.reach)
        return 0


def _warn_of_misspelt_variables() -> None:
    import logging
    import os

    from enmctl.settings.misspelt import misspelt

    for name, meant in misspelt(os.environ).items():
        guess = f"; did you mean {meant}?" if meant else ""
        logging.getLogger(__name__).warning("%s is no variable of enmctl and has no effect%s", name, guess)


@command(app, "status", panel=Panel.GATEWAY, examples=["enmctl status", "enmctl status --json"])
def status(context: typer.Context) -> None:
    """Show how the gateway stands, and where it keeps what."""
    from enmctl.cli.standing import standing, worded

    call = call_of(context)
    facts = standing(call.settings)
    if call.output.as_json:
        call.output.document(facts)
    else:
        call.output.pairs(worded(facts))


@command(app, "pause", panel=Panel.GATEWAY, examples=["enmctl pause", "enmctl pause --for 10m"])
def pause(
    context: typer.Context,
    span: Annotated[
        str | None, typer.Option("--for", metavar="SPAN", help="Go on by itself after so long, like 10m or 1h30m.")
    ] = None,
) -> None:
    """Have the gateway leave the radios to others.

    It finishes what it is at; the command returns once no transfer runs and the radios are free. A pause survives a
    restart. Without a running gateway the next one starts paused.
    """
    from enmctl.cli.durations import seconds
    from enmctl.cli.pausing import ask_for
    from enmctl.models import GatewayStatus

    ask_for(call_of(context), GatewayStatus.PAUSED, seconds(span))


@command(app, "resume", panel=Panel.GATEWAY, examples=["enmctl resume"])
def resume(context: typer.Context) -> None:
    """Have the gateway go on after a pause."""
    from enmctl.cli.pausing import ask_for
    from enmctl.models import GatewayStatus

    ask_for(call_of(context), GatewayStatus.RUNNING)
