"""Every example of docs/library.md runs, and the page tells all that ``enmctl`` offers."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import enmctl
from enmctl.gateway.reach import ON_LOOPBACK
from enmctl.gateway.run import running
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.world import World
from tests.real.library.conftest import add_microbit

PAGE = (Path(__file__).parents[3] / "docs" / "library.md").read_text("utf-8")
EXAMPLES: list[str] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def run(example: str) -> dict[str, Any]:
    """Run an example in this loop, as a notebook would; what it left behind."""
    left: dict[str, Any] = {"asyncio": asyncio, "enmctl": enmctl}
    code = compile(example, "docs/library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    done = eval(code, left)  # noqa: S307 - our own page
    if inspect.isawaitable(done):
        await done
    return left


def example(mark: str) -> str:
    """The one example in which a word stands, with the time for which it listens made small."""
    (found,) = [each for each in EXAMPLES if mark in each]
    return found.replace("seconds=3", "seconds=1.5")


def test_no_example_is_left_out() -> None:
    code = Path(__file__).read_text("utf-8")
    run_here = set(re.findall(r'example\("([^"]+)"\)', code))
    assert len(run_here) == len(EXAMPLES)
    assert {example(mark) for mark in run_here} == {each.replace("seconds=3", "seconds=1.5") for each in EXAMPLES}


async def test_the_whole_program_flashes_the_only_board(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-W", "error", "-c", example("asyncio.run")], check=False
    )
    assert done.returncode == 0, capfd.readouterr().err
    assert capfd.readouterr().out.splitlines()[-1].endswith("done None")
    assert world.neighbourhood


async def test_boards_of_both_radios_are_found(
    world: World, on_network: SimulatedEsp8266, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(example("radios.trouble"))
    told = capsys.readouterr().out
    assert f"esp8266 {on_network.local_id}" in told
    assert f"microbit {next(iter(world.bluetooth_boards))} zavit" in told
    assert "not all" not in told


@pytest.mark.usefixtures("world")
async def test_a_file_is_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    await run(example("enmctl.inspect"))
    told = capsys.readouterr().out
    assert "micro:bit V1 " in told
    assert "micro:bit V2 " in told


@pytest.mark.usefixtures("world")
async def test_a_board_is_flashed_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    await run(example("board.left_with"))
    told = capsys.readouterr().out.splitlines()
    assert re.match(r"sends \d+ bytes for micro:bit V1", told[0])
    assert any(re.match(r"\d+ of \d+ bytes", line) for line in told)
    assert told[-1].startswith("done, known by ")


async def test_several_boards_are_flashed_at_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await add_microbit(world, "microbit-v2", 22)
    await run(example("asyncio.gather"))
    told = capsys.readouterr().out.splitlines()
    assert {line.partition(" ")[0].rstrip(":") for line in told} == set(world.bluetooth_boards)
    assert all(line.rpartition(" ")[2] in set(enmctl.Proof) for line in told), told


@pytest.mark.usefixtures("world")
async def test_a_board_shows_itself_and_restarts(on_network: SimulatedEsp8266) -> None:
    await run(example("board.restart").replace("1265892", on_network.local_id))
    assert on_network.identified == 1
    assert on_network.restarts == 1


@pytest.mark.usefixtures("world")
async def test_a_gateway_is_paused_for_as_long_as_a_program_works(
    on_network: SimulatedEsp8266, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(enmctl.Settings.from_environment(), reach=ON_LOOPBACK) as gateway:
        await run(example("enmctl.paused"))
        assert f"{on_network.local_id} for its readings" in capsys.readouterr().out
        assert gateway.steward.target_status == "Running"


async def test_settings_are_read_from_any_mapping() -> None:
    assert (await run(example("from_environment")))["settings"].bluetooth_concurrency == 4


def test_the_page_has_a_row_for_every_name_and_no_other() -> None:
    table = PAGE.partition("## Names")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(enmctl.__all__)


@pytest.mark.parametrize("offered", [enmctl.Radios, enmctl.Board, enmctl.Pause])
def test_the_page_tells_whatever_can_be_asked_of_boards_and_radios(offered: type) -> None:
    public = {name for name in vars(offered) if not name.startswith("_")} - {"lose"}
    assert {name for name in public if not re.search(rf"\b{name}\b", PAGE)} == set()


def test_every_name_is_there_and_costs_nothing_before_it_is_used() -> None:
    code = "import enmctl, sys; print(*sys.modules); assert all(hasattr(enmctl, name) for name in dir(enmctl))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if name.startswith("enmctl")} == {"enmctl"}
    assert "asyncio" not in done.stdout.split()


def test_neither_typer_nor_rich_is_imported_by_a_program() -> None:
    code = (
        "import enmctl, sys; [getattr(enmctl, name) for name in enmctl.__all__]; "
        "print({'typer', 'rich'} & {name.partition('.')[0] for name in sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="toaster"):
        _ = enmctl.toaster  # type: ignore[attr-defined] # that is the point


async def test_a_file_that_no_board_can_take_is_refused_before_a_radio_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enmctl.library.radios.radios_of", None)
    file = tmp_path / "notes.hex"
    file.write_text("no firmware")
    with pytest.raises(enmctl.errors.FirmwareError):
        async with enmctl.open_radios(enmctl.Settings(db_directory=tmp_path), firmware=file):
            pass
