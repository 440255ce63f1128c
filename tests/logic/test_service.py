"""The service and the rule that the page on gateways gives away."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path

from enmctl.cli.application import command
from enmctl.cli.command_tree import tree
from enmctl.radio.hotspot.reasons import NEEDED
from enmctl.settings import Settings, variables

FOLDER = Path(__file__).parents[2] / "docs" / "systemd"
NAMES = {name for variable in variables().values() for name in variable.names}


def service() -> dict[str, list[str]]:
    """What the unit says, by its keys."""
    said = defaultdict(list)
    for line in (FOLDER / "enmctl.service").read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            said[key].append(value)
    return said


def test_the_service_runs_a_command_with_variables_that_there_are() -> None:
    said = service()
    [program, word] = shlex.split(said["ExecStart"][0])
    assert Path(program).name == "enmctl"
    assert word in {child.name for child in tree(command()).children}
    assert {each.partition("=")[0] for each in said["Environment"]} <= NAMES
    assert said["Type"] == ["notify"]


def test_the_service_gives_a_transfer_the_time_to_end() -> None:
    said = service()
    assert float(said["TimeoutStopSec"][0]) > 2 * Settings().stop_timeout
    assert float(said["WatchdogSec"][0]) > float(said["TimeoutStopSec"][0])


def test_the_folders_are_ones_that_the_service_may_write_to() -> None:
    said = service()
    for each in said["Environment"]:
        path = Path(each.partition("=")[2])
        assert path.is_relative_to("/var/lib/" + said["StateDirectory"][0]) or path.is_relative_to(
            "/run/" + said["RuntimeDirectory"][0]
        )


def test_the_rule_allows_what_the_hotspot_needs() -> None:
    rule = (FOLDER / "50-enmctl.rules").read_text(encoding="utf-8")
    listed = re.search(r"needed = \[(.*?)\]", rule)
    assert listed is not None
    assert set(re.findall(r'"([\w.-]+)"', listed[1])) == {
        name.removeprefix("org.freedesktop.NetworkManager.") for name in NEEDED
    }


def test_the_page_names_only_variables_that_there_are() -> None:
    page = (FOLDER.parent / "gateway.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\b(?:ENM|BALENA)_[A-Z_]+", page)) <= NAMES
