"""What can be made from the code is, and stays as the code is."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from enmctl.cli.application import app, command
from enmctl.cli.command_tree import Node, tree
from enmctl.cli.documentation import page, pages, scripts
from enmctl.settings import Variable, variables

ROOT = Path(__file__).parents[3]
REMEDY = "run: python -m enmctl.cli.documentation"
NODES = list(tree(command()).walk())
COMMANDS = [node for node in NODES if node.path]
COMMAND_LINE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")

WIDTH = 62
"""Columns of a summary in the list of commands, on a terminal of 80."""

each_command = pytest.mark.parametrize("node", COMMANDS, ids=lambda node: " ".join(node.path))
each_variable = pytest.mark.parametrize("variable", variables().values(), ids=lambda variable: variable.name)


@pytest.mark.parametrize(("path", "made"), pages().items(), ids=list(pages()))
def test_a_page_holds_what_the_code_makes_of_it(path: str, made: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert page(text, made) == text, REMEDY


@pytest.mark.parametrize(("path", "made"), scripts().items(), ids=list(scripts()))
def test_a_completion_script_is_what_the_code_makes(path: str, made: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == made, REMEDY


def section(node: Node) -> str:
    """What the page says of one command."""
    title = " ".join(("## enmctl", *node.path))
    return COMMAND_LINE.partition(f"\n{title}\n")[2].partition("\n## ")[0]


@each_command
def test_every_command_is_documented_with_its_options_help_and_an_example(node: Node) -> None:
    text = section(node)
    assert node.help
    assert node.help in text
    for example in node.examples or [""]:
        assert example.startswith("enmctl") or "=" in example.split()[0]
        assert example in text
    for option in node.options:
        assert option.help, option.names
        assert option.shared or f"`{option.names[0]}" in text
    for argument in node.arguments:
        assert argument.help, argument.name
        assert f"`{argument.name}`" in text


@each_command
def test_every_help_page_shows_help_options_and_examples(node: Node) -> None:
    shown = " ".join(CliRunner().invoke(app, [*node.path, "--help"]).stdout.replace("│", " ").split())
    assert node.help.split("\n\n")[0] in shown
    assert "Examples:" in shown
    for example in node.examples:
        assert example in shown
    for option in node.options:
        assert option.names[0] in shown


@each_command
def test_every_example_is_a_command_line_that_can_be_typed(node: Node) -> None:
    for example in node.examples:
        words = [word for word in shlex.split(example.split(">")[0]) if "=" not in word]
        assert words[: 1 + len(node.path)] == ["enmctl", *node.path]
        names = {name for option in node.options for name in option.names}
        assert {word for word in words if word.startswith("--")} <= names


@each_command
def test_a_summary_fits_into_the_list_of_commands(node: Node) -> None:
    assert len(node.summary) <= WIDTH
    assert node.help.partition("\n\n")[0].endswith(".")


@each_variable
def test_every_setting_is_documented_with_its_default_and_meaning(variable: Variable) -> None:
    row = next(line for line in CONFIGURATION.splitlines() if f"`{variable.name}`" in line and line.startswith("|"))
    assert variable.meaning in row
    assert variable.kind.allowed in row.replace("\\|", "|")
    assert not variable.default or f"`{variable.default}`" in row
    assert all(f"`{name}`" in row for name in variable.names)


@each_variable
def test_the_help_page_of_run_explains_every_setting(variable: Variable) -> None:
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"]).stdout.split())
    assert variable.name in shown
    assert variable.meaning.split(".")[0] in shown


def test_every_exit_code_is_documented() -> None:
    from enmctl.errors import ExitCode

    for code in ExitCode:
        assert f"| {int(code)} |" in COMMAND_LINE


def test_a_page_without_a_marker_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="marker"):
        page("a person's words", "made")
