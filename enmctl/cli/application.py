"""All commands of enmctl under one name, in the order of the help page."""

from __future__ import annotations

from typing import cast

import typer
from typer.main import get_command

from enmctl.cli import (
    boards,
    completion,
    devices,
    doctor,
    fleet,
    gateway,
    history,
    hotspot,
    inspecting,
    simulation,
)
from enmctl.cli.panels import Panel
from enmctl.cli.shell import Program, epilog

app = typer.Typer(
    name="enmctl",
    cls=Program,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Keep the microcontrollers behind this gateway on the right firmware.",
    epilog=epilog(["enmctl demo", "enmctl scan", "enmctl flash firmware.bin 1265892", "enmctl devices --json"]),
)
app.add_typer(gateway.app)
app.add_typer(doctor.app)
app.add_typer(hotspot.app, name="hotspot", rich_help_panel=Panel.GATEWAY)
app.add_typer(fleet.app)
app.add_typer(fleet.fleet_app, rich_help_panel=Panel.GATEWAY)
app.add_typer(boards.app)
app.add_typer(inspecting.app)
app.add_typer(devices.app, name="devices", rich_help_panel=Panel.DEVICES)
app.add_typer(history.app)
app.add_typer(simulation.app)
app.add_typer(completion.app)


def command() -> Program:
    """The whole program as one command, ready to run."""
    return cast("Program", get_command(app))
