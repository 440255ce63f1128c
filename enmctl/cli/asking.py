"""Asking the person at the terminal while a board waits: for the six digits that it shows."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable

import typer

from enmctl.boards.microbit import led_columns
from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.models import DiscoveredBoard

DIGITS = re.compile(r"\d{1,6}", re.ASCII)


def passkey_asker(call: Call, board: DiscoveredBoard, shown: Progress) -> Callable[[], Awaitable[int | None]] | None:
    """What asks for a board's passkey; None where nobody sits at a terminal to be asked."""
    if not sys.stdin.isatty() or not sys.stderr.isatty() or call.output.quiet or call.output.as_json:
        return None

    async def ask() -> int | None:
        with shown.aside():
            columns = led_columns(board.short_name)
            if columns:
                call.output.say(
                    f"{board.name} shows columns of {columns} lights. Press its button A to see six digits."
                )
            answer = await asyncio.to_thread(_prompt, board.name)
        return int(answer) if DIGITS.fullmatch(answer) else None

    return ask


def _prompt(name: str) -> str:
    answer: str = typer.prompt(f"The six digits that {name} shows", err=True, default="", show_default=False)
    return answer.replace(" ", "")
