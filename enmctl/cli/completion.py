"""``enmctl completion``: the scripts that let a shell complete enmctl's words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

app = typer.Typer()


class Wanted(StrEnum):
    """What can be printed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    DEVICES = "devices"


@command(
    app,
    "completion",
    panel=Panel.HELP,
    examples=[
        "enmctl completion bash > ~/.local/share/bash-completion/completions/enmctl",
        "enmctl completion zsh > ~/.zfunc/_enmctl",
        "enmctl completion fish > ~/.config/fish/completions/enmctl.fish",
    ],
)
def completion(
    context: typer.Context,
    what: Annotated[Wanted, typer.Argument(metavar="SHELL", help="The shell; or devices, which the scripts ask for.")],
) -> None:
    """Print the completion script of a shell.

    With the word devices it prints the words by which devices can be named, one a line, as the scripts ask for them.
    """
    call = call_of(context)
    if what is Wanted.DEVICES:
        from enmctl.gateway.naming import words_of
        from enmctl.store.reading import read_devices

        for word in words_of(read_devices(call.settings.database)):
            call.output.line(word)
        return
    from enmctl.cli.command_tree import tree
    from enmctl.cli.completion_scripts import SHELLS

    call.output.text(SHELLS[what](tree(context.find_root().command)))
