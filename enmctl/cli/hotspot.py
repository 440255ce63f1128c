"""The gateway's own Wi-Fi network by hand: raise it, take it down, look at it."""

from __future__ import annotations

from typing import Annotated

import typer

from enmctl.cli.shell import Group, call_of, command, epilog

app = typer.Typer(
    name="hotspot",
    cls=Group,
    no_args_is_help=True,
    help="Raise a Wi-Fi network for ESP8266 boards, or look at it.",
    epilog=epilog(["enmctl hotspot up", "enmctl hotspot status --json"]),
)


@command(
    app,
    "up",
    panel="Commands",
    examples=["enmctl hotspot up", "enmctl hotspot up --keep", "ENM_HOTSPOT_INTERFACE=wlan1 enmctl hotspot up"],
)
def up(
    context: typer.Context,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Let it stay when this command has ended; ENM_HOTSPOT_KEEP does the same.")
    ] = False,
) -> None:
    """Raise the hotspot, and hold it up.

    ENM_HOTSPOT_SSID and ENM_HOTSPOT_PASSWORD say what it is. It stays up until Ctrl-C, or with --keep until enmctl
    hotspot down. A running gateway raises it by itself where it has an ESP8266 application. Exits with 7 where it
    cannot be raised, or went down by itself.
    """
    from enmctl.cli.own_network import raise_it

    raise_it(call_of(context), keep=keep)


@command(app, "down", panel="Commands", examples=["enmctl hotspot down"])
def down(context: typer.Context) -> None:
    """Take the hotspot down, whoever raised it."""
    from enmctl.cli.own_network import take_down

    take_down(call_of(context))


@command(app, "status", panel="Commands", examples=["enmctl hotspot status", "enmctl hotspot status --json"])
def status(context: typer.Context) -> None:
    """Show whether the hotspot is up, where, and who is in it."""
    from enmctl.cli.own_network import show

    show(call_of(context))
