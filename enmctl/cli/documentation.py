"""Writes what can be made from the code: ``python -m enmctl.cli.documentation``, in the project's folder.

``docs/command-line.md`` and ``docs/configuration.md`` open with words of a person, up to a marker; what follows it is
made here, and so are the scripts in ``completions/``. A test holds all of them to what this module makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from enmctl.cli.command_tree import Node, Option, tree
from enmctl.cli.completion_scripts import bash, fish, zsh
from enmctl.settings import Variable, variables

MARKER = "<!-- What follows is made from the code by `python -m enmctl.cli.documentation`; change the code instead. -->"
"""Divides a page: above it a person writes, below it this module."""


def pages() -> dict[str, str]:
    """What follows the marker in each page, by the page's path."""
    return {
        "docs/command-line.md": command_line(_program()),
        "docs/configuration.md": configuration(),
    }


def scripts() -> dict[str, str]:
    """The completion scripts, by path."""
    program = _program()
    return {
        "completions/enmctl.bash": bash(program),
        "completions/_enmctl": zsh(program),
        "completions/enmctl.fish": fish(program),
    }


def command_line(program: Node) -> str:
    """Every command with its help, arguments, options and examples, as Markdown."""
    nodes = list(program.walk())
    contents = [f"- [`{_title(node)}`](#{_title(node).replace(' ', '-')}): {node.summary}" for node in nodes[1:]]
    return "\n\n".join(["\n".join(contents), *map(_command, nodes)]) + "\n"


def configuration() -> str:
    """Every environment variable, as two Markdown tables."""
    table = variables().values()
    return "\n".join(
        [
            "## The original's variables",
            "",
            *_variable_table(variable for variable in table if variable.original),
            "",
            "## enmctl's own",
            "",
            *_variable_table(variable for variable in table if not variable.original),
            "",
        ]
    )


def page(text: str, made: str) -> str:
    """A page with all after its marker made anew.

    Raises:
        ValueError: the page has no marker.
    """
    above, marker, _ = text.partition(MARKER)
    if not marker:
        raise ValueError("the page has no marker")
    return f"{above}{MARKER}\n\n{made}"


def write(folder: Path) -> None:
    """Bring all generated files under ``folder`` up to date."""
    for path, made in pages().items():
        place = folder / path
        place.write_text(page(place.read_text(encoding="utf-8"), made), encoding="utf-8")
    for path, made in scripts().items():
        (folder / path).write_text(made, encoding="utf-8")


def _program() -> Node:
    from enmctl.cli.application import command

    return tree(command())


def _title(node: Node) -> str:
    return " ".join(("enmctl", *node.path))


def _command(node: Node) -> str:
    parts = [f"## {_title(node)}", f"```\n{_usage(node)}\n```", node.help]
    if node.arguments:
        parts.append(
            _table(
                ("argument", "meaning"),
                ((f"`{argument.name}`", argument.help + _one_of(argument.choices)) for argument in node.arguments),
            )
        )
    own = [option for option in node.options if not option.shared or not node.path]
    if own:
        parts.append(_table(("option", "meaning"), ((_spelling(option), _meaning(option)) for option in own)))
    if node.examples:
        parts.append("```sh\n" + "\n".join(node.examples) + "\n```")
    return "\n\n".join(parts)


def _usage(node: Node) -> str:
    words = [_title(node), "[OPTIONS]"]
    for argument in node.arguments:
        word = argument.name + ("..." if argument.many else "")
        words.append(word if argument.required else f"[{word}]")
    if node.children:
        words.append("COMMAND ..." if not node.path else "[COMMAND ...]")
    return " ".join(words)


def _spelling(option: Option) -> str:
    return ", ".join(f"`{name}{' ' + option.value if option.value else ''}`" for name in option.names)


def _meaning(option: Option) -> str:
    default = f" Default: {option.default}." if option.default else ""
    return option.help + _one_of(option.choices) + default


def _one_of(choices: Iterable[str]) -> str:
    words = ", ".join(choices)
    return f" One of {words}." if words else ""


def _variable_table(table: Iterable[Variable]) -> list[str]:
    rows = (
        (
            "<br>".join(f"`{name}`" for name in variable.names),
            f"`{variable.default}`{' ' + variable.unit if variable.unit else ''}" if variable.default else "",
            variable.kind.allowed,
            variable.meaning + (" Never shown." if variable.secret else ""),
        )
        for variable in table
    )
    return _table(("variable", "default", "allowed", "meaning"), rows).splitlines()


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else Path.cwd())
