"""Options that more than one command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FleetFile = Annotated[
    Path | None,
    typer.Option("--fleet", metavar="FILE", help="What should run, from a fleet file; else from ENM_SOURCE."),
]
