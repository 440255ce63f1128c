"""The commands as plain data: what documentation and completions are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup

from enmctl.cli.shell import EVERYWHERE


@dataclass(frozen=True, slots=True)
class Option:
    """One option; ``value`` is what its value is called, "" for a flag. ``shared`` ones are every command's."""

    names: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    default: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command; ``many`` of it may follow each other."""

    name: str
    choices: tuple[str, ...]
    help: str
    required: bool
    many: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One command: ``path`` is what is typed after ``enmctl``, empty for the program itself."""

    path: tuple[str, ...]
    help: str
    examples: tuple[str, ...]
    panel: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The command's own word."""
        return self.path[-1] if self.path else "enmctl"

    @property
    def summary(self) -> str:
        """The first sentence of its help, without the full stop."""
        return self.help.partition("\n\n")[0].replace("\n", " ").rstrip(".")

    def walk(self) -> Iterator[Node]:
        """This command and every one below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def tree(command: Any, path: tuple[str, ...] = ()) -> Node:
    """The commands from ``command`` down; hidden ones are left out."""
    context = typer.Context(command, info_name=" ".join(("enmctl", *path)))
    below = command.commands.values() if isinstance(command, TyperGroup) else ()
    params = [param for param in command.get_params(context) if not param.hidden]
    return Node(
        path=path,
        help=_plain(command.help),
        examples=tuple(_examples(command.epilog or "")),
        panel=command.rich_help_panel or "",
        options=tuple(_option(param, context) for param in params if not isinstance(param, TyperArgument)),
        arguments=tuple(_argument(param, context) for param in params if isinstance(param, TyperArgument)),
        children=tuple(tree(child, (*path, str(child.name))) for child in below if not child.hidden),
    )


def _plain(text: str | None) -> str:
    """A help text without what keeps rich from taking brackets for markup."""
    return (text or "").replace("\\[", "[")


def _examples(epilog: str) -> list[str]:
    return [line.strip() for line in _plain(epilog).partition("\n\n")[0].splitlines()[1:]]


def _choices(param: Any) -> tuple[str, ...]:
    return tuple(map(str, getattr(param.type, "choices", ())))


def _option(param: Any, context: Any) -> Option:
    default = param.get_default(context, call=False)
    return Option(
        names=tuple(param.opts),
        value="" if param.is_flag else str(param.metavar or param.type.name).strip("<>").upper(),
        choices=_choices(param),
        help=_plain(param.help),
        default="" if default in (None, False, ()) else str(default),
        shared=param.rich_help_panel == EVERYWHERE or "--help" in param.opts,
    )


def _argument(param: TyperArgument, context: Any) -> Argument:
    del context
    return Argument(
        name=str(param.metavar or param.name).strip("[].").upper(),
        choices=_choices(param),
        help=_plain(param.help),
        required=param.required,
        many=param.nargs != 1,
    )
