"""The package of docs/add-a-board.md, installed as it stands there, adds its board types without a change in enmctl."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from enmctl.boards.installed import drivers
from enmctl.errors import ExitCode
from enmctl.gateway import run
from enmctl.models import Radio
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.nordic.chips import NRF52_S132
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.packages import secure_package
from enmctl.simulator.nordic.presets import stock_secure
from enmctl.simulator.nordic.traits import ProgramTraits
from enmctl.simulator.world import any_application
from tests.real.cli.outside import QUICK, Outside, outside
from tests.real.cli.rig import Run, document

PAGE = (Path(__file__).parents[3] / "docs" / "add-a-board.md").read_text("utf-8")
PACKAGE = "enmctl_boards_example"
FLASH = 1 << 20


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package as pip leaves it."""
    (project,) = [tomllib.loads(block) for block in blocks("toml")]
    site = tmp_path / "site-packages"
    package, described = site / PACKAGE, site / f"{PACKAGE}-1.0.dist-info"
    package.mkdir(parents=True)
    described.mkdir()
    (package / "__init__.py").touch()
    files = re.findall(rf"^`{PACKAGE}/(\w+\.py)`", PAGE, re.MULTILINE)
    for name, code in zip(files, blocks("python"), strict=True):
        (package / name).write_text(code, "utf-8")
    named = project["project"]
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {named['name']}\nVersion: {named['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in named["entry-points"]["enmctl.boards"].items())
    (described / "entry_points.txt").write_text(f"[enmctl.boards]\n{points}")
    monkeypatch.syspath_prepend(site)
    yield site
    monkeypatch.undo()


@pytest.fixture
def world(
    installed: Path,  # noqa: ARG001 - the drivers
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Outside]:
    """A Supervisor and an air, still without boards of these types."""
    monkeypatch.setattr(run, "QUIET", 0.3)
    with outside(boards_per_application=0, bluetooth=True) as made:
        for name, value in {**QUICK, **made.world.environment(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        yield made


def thingy(world: Outside, application_id: int) -> tuple[str, Callable[[], str]]:
    """Switch a Thingy:52 on; its id, and what tells the version that it runs."""
    program = ProgramTraits(name=f"Thingy [{application_id}]", version="old")

    async def switch_on() -> LivingBoard:
        assert world.world.neighbourhood is not None
        living = LivingBoard(world.world.neighbourhood.air, stock_secure(52, program=program))
        return await world.world._stack.enter_async_context(living)

    living = world.do(switch_on())
    return living.local_id, lambda: living.runs


def thingy_package(application_id: int, version: str) -> bytes:
    program = ProgramTraits(name=f"Thingy [{application_id}]", version=version)
    return secure_package(make_image(NRF52_S132, program, size=8192))


def sonoff(world: Outside, application_id: int) -> tuple[str, Callable[[], str]]:
    """Switch a Sonoff on; its id, and what tells the version that it runs."""
    board = world.do(
        world.world.add_board(application_id, board_type="sonoff", flash_size=FLASH, free_space=FLASH // 2)
    )
    return board.local_id, lambda: board.fw or ""


def sonoff_image(_: int, version: str) -> bytes:
    return esp8266_image(fw=version, size=32 * 1024, flash_size=FLASH)


class Kind(NamedTuple):
    """A new board type: how a board is switched on, how firmware for it is made, and what an asset holds."""

    board_type: str
    add: Callable[[Outside, int], tuple[str, Callable[[], str]]]
    make: Callable[[int, str], bytes]
    member: str


KINDS = [
    Kind("thingy52", thingy, thingy_package, "application.zip"),
    Kind("sonoff", sonoff, sonoff_image, "firmware.bin"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.board_type)
def test_boards_of_a_new_type_are_found_flashed_made_devices_and_rolled_out(
    world: Outside, enmctl: Run, tmp_path: Path, kind: Kind
) -> None:
    board_type, add, make, member = kind
    application_id = any_application().id
    local_id, runs = add(world, application_id)

    (found,) = document(enmctl("scan", "--json", "--board", board_type, "--count", "1"))
    assert (found["local_id"], found["application_id"], found["board_type"]) == (local_id, application_id, board_type)

    file = tmp_path / member
    file.write_bytes(make(application_id, "byhand"))
    result = enmctl("flash", file, local_id)
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert runs() == "byhand"

    def release() -> None:
        supervisor = world.world.supervisor
        supervisor.add_application(application_id, "plugged in", {"RESIN_HOST_TYPE": board_type})
        supervisor.push(application_id, {member: make(application_id, "target")}, "c" * 40)

    world.call(release)
    result = enmctl("provision", local_id)
    assert result.exit_code == ExitCode.DONE, result.stderr
    (device,) = document(enmctl("devices", "--json"))
    assert (device["local_id"], device["board_type"]) == (local_id, board_type)

    result = enmctl("run", "--once")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert runs() == "target"


@pytest.mark.usefixtures("installed")
def test_what_is_for_another_board_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    found = drivers(Settings())
    assert {"thingy52": Radio.BLUETOOTH, "sonoff": Radio.WIFI}.items() <= {n: d.radio for n, d in found.items()}.items()
    large = tmp_path / "large.bin"
    large.write_bytes(esp8266_image(fw="1", size=32 * 1024, flash_size=4 * FLASH))
    for board_type, reason in (("sonoff", "flash-size"), ("thingy52", "wrong-board")):
        with pytest.raises(Exception, match=r"large\.bin") as refused:
            found[board_type].read_firmware(large, {})
        assert getattr(refused.value, "reason", None) == reason
