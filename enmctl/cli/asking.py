"""Asking the person at the terminal while a board waits: for the six digits that it shows."""

from __future__ import annotations

import asyncio
import re
import sys

import typer

from enmctl.boards.microbit import led_columns
from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.library.board import Board
from enmctl.library.radios import AskPasskey

DIGITS = re.compile(r"\d{1,6}", re.ASCII)


def passkey_asker(call: Call, shown: Progress) -> AskPasskey | None:
    """What asks for a board's passkey, one board at a time; None where nobody sits at a terminal to be asked."""
    if not sys.stdin.isatty() or not sys.stderr.isatty() or call.output.quiet or call.output.as_json:
        return None
    one_at_a_time = asyncio.Lock()

    async def ask(board: Board) -> int | None:
        async with one_at_a_time:
            with shown.aside():
                columns = led_columns(board.short_name)
                if columns:
                    call.output.say(
                        f"{board.name} shows columns of {columns} lights. Press its button A to see six digits."
                    )
                typer.echo(f"The six digits that {board.name} shows: ", nl=False, err=True)
                answer = (await _line()).replace(" ", "").strip()
        return int(answer) if DIGITS.fullmatch(answer) else None

    return ask


async def _line() -> str:
    """A line from the terminal; whoever is cancelled meanwhile is not kept by a thread that waits for one."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    try:
        loop.add_reader(sys.stdin, there.set)
    except NotImplementedError:  # Windows
        return await asyncio.to_thread(sys.stdin.readline)
    try:
        await there.wait()
        return sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)
