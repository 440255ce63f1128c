"""How a board lets us in: what a person gives by hand, in the words that a board's config has for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import typer

from enmctl.boards.access import MAX_SIZE, PASSWORD, PATH, USER
from enmctl.cli.shell import Call
from enmctl.errors import UsageError


def access_of(
    call: Call, words: Sequence[str], *, user: str | None = None, path: str | None = None, max_size: int | None = None
) -> Mapping[str, str]:
    """The config that was given by hand; empty where a board's own is to be used.

    The password is never an argument, where everybody on the machine could read it: it comes from the environment, or
    is asked for once where a user is named and a person sits at a terminal.

    Raises:
        UsageError: an address carries a password, or a user is named and no password can be had.
    """
    addresses = [urlsplit(word) for word in words if "://" in word]
    if any(address.password is not None for address in addresses):
        raise UsageError(
            "a password in an address is seen by everybody", remedy=f"put it into {PASSWORD} and leave it out"
        )
    access = {}
    if path is not None:
        access[PATH] = path
    if max_size is not None:
        access[MAX_SIZE] = str(max_size)
    if user is not None:
        access[USER] = user
    users = {address.username for address in addresses if address.username} | ({user} if user else set())
    if users:
        access[PASSWORD] = _password(call, ", ".join(sorted(users)))
    return access


def _password(call: Call, users: str) -> str:
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty() or call.output.quiet:
        raise UsageError(f"no password for {users}", remedy=f"put it into {PASSWORD}")
    answer: str = typer.prompt(f"Password of {users}", hide_input=True, err=True, default="", show_default=False)
    return answer
