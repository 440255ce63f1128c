"""``enmctl doctor``: what a gateway or a laptop needs, and how it stands."""

from __future__ import annotations

import typer

from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

app = typer.Typer()


@command(app, "doctor", panel=Panel.GATEWAY, examples=["enmctl doctor", "enmctl doctor --json"])
def doctor(context: typer.Context) -> None:
    """See whether this machine has what a gateway needs.

    One line for each thing, with what to do where it is not as it should be; nothing is changed. Exits with 7 where a
    radio that is needed cannot be used, else as the first fault would: 4 for folders and the database, 8 for the
    source, 9 for the port. A warning is no fault. Which radios are needed is told by the boards that are known; where
    none are, all are.
    """
    from enmctl.cli.checks.finding import exit_code
    from enmctl.cli.examining import examine, show

    call = call_of(context)
    findings = examine(call.settings)
    show(call.output, findings)
    raise typer.Exit(exit_code(findings))
