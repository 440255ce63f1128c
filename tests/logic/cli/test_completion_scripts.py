"""The completion scripts in the shells that they are for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from enmctl.cli.application import app, command
from enmctl.cli.command_tree import tree

ROOT = Path(__file__).parents[3]
COMMANDS = [child.name for child in tree(command()).children]

SCRIPTS = {"bash": "completions/enmctl.bash", "zsh": "completions/_enmctl", "fish": "completions/enmctl.fish"}
LIMIT = 30
"""Seconds that a shell may take."""

NAMES = (
    *("holy-sunset", "1265892", "E5:1D:00:00:00:0B", "E5:1D:00:00:00:16", "Living room"),
    *("x$(touch pwned)", "y`touch pwned`"),
)
DEVICES = {name.translate({ord(mark): f"\\{mark}" for mark in " $()`"}) for name in NAMES}

COMPLETE_IN_BASH = r"""
mapfile -t NAMES
enmctl() { printf '%s\n' "${NAMES[@]}"; }
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
_enmctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(*words: str, cwd: Path) -> set[str]:
    """What bash offers for the last of these words."""
    script = str(ROOT / SCRIPTS["bash"])
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE_IN_BASH, "bash", script, *words],
        input="\n".join(NAMES),
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
        cwd=cwd,
    )
    return {line for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["enmctl", ""], set(COMMANDS)),
        (["enmctl", "--json", "sta"], {"status"}),
        (["enmctl", "devices", ""], {"list", "show", "delete", "release"}),
        (["enmctl", "devices", "show", "holy"], {"holy-sunset"}),
        (["enmctl", "devices", "delete", "--l"], {"--local"}),
        (["enmctl", "flash", ""], {"firmware.bin", "other.txt"}),
        (["enmctl", "flash", "--hold", "fi"], {"firmware.bin"}),
        (["enmctl", "flash", "--timeout", "5s", "fi"], {"firmware.bin"}),
        (["enmctl", "flash", "firmware.bin", ""], DEVICES),
        (["enmctl", "restart", "Liv"], {"Living\\ room"}),
        (["enmctl", "restart", "Living\\ r"], {"Living\\ room"}),
        (["enmctl", "restart", "E5"], {"E5:1D:00:00:00:0B", "E5:1D:00:00:00:16"}),
        (["enmctl", "restart", "E5", ":"], {"1D:00:00:00:0B", "1D:00:00:00:16"}),
        (["enmctl", "restart", "E5", ":", "1D", ":", "00", ":00:00:", "1"], {"16"}),
        (["enmctl", "history", "E5", ":", "1D", ":", "00", ":00:00:16", ""], set()),
        (["enmctl", "flash", "firmware.bin", "http", "://10.0.0.7", "h"], {"holy-sunset"}),
        (["enmctl", "flash", "firmware.bin", "1265892", "h"], {"holy-sunset"}),
        (["enmctl", "pause", "--"], {"--for", "--json", "--quiet", "--verbose", "--simulate", "--help"}),
        (["enmctl", "pause", "--for", "1"], set()),
        (["enmctl", "completion", "z"], {"zsh"}),
        (["enmctl", "nix", ""], set()),
    ],
)
def test_bash_offers_what_can_come_next(words: list[str], offered: set[str], tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").touch()
    (tmp_path / "other.txt").touch()
    assert bash(*words, cwd=tmp_path) == offered
    assert {each.name for each in tmp_path.iterdir()} == {"firmware.bin", "other.txt"}, "a name was read as code"


@pytest.mark.parametrize(("shell", "path"), SCRIPTS.items())
def test_the_command_prints_the_script(shell: str, path: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.stdout == (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", [shell for shell in SCRIPTS if shutil.which(shell)])
def test_the_shells_of_this_machine_read_the_script(shell: str) -> None:
    subprocess.run([shell, "-n", str(ROOT / SCRIPTS[shell])], check=True, capture_output=True, timeout=LIMIT)


def test_an_unknown_shell_is_a_usage_error_that_names_the_known() -> None:
    result = CliRunner().invoke(app, ["completion", "csh"])
    assert result.exit_code == 2
    assert "bash" in result.stderr
