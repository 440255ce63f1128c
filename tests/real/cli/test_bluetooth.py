"""``flash`` and its kin on Bluetooth boards without a gateway: simulated micro:bits on an air of their own."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enmctl.dfu import legacy
from enmctl.dfu.gatt import LEGACY_PACKET
from enmctl.errors import ExitCode
from enmctl.gateway import lookout
from enmctl.models import Device
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.packages import microbit_hex
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import RuntimeTraits
from enmctl.store import Store
from tests.real.boards.air import DK, QUICK, QUICK_AIR, dk_image, image, made_quick, package_file, program_file
from tests.real.cli.outside import QUICK as QUICK_SETTINGS
from tests.real.cli.outside import WITHIN, Outside, outside
from tests.real.cli.rig import Run, document, lines, whole_environment
from tests.real.cli.test_script import Screen, posix
from tests.real.radio.waiting import until

Add = Callable[..., LivingBoard]

SETTINGS = {
    **QUICK_SETTINGS,
    "ENM_AVAHI_TIMEOUT": "2",
    "ENM_BLUETOOTH_SHORT_TIMEOUT": "2",
    "ENM_BLUETOOTH_LONG_TIMEOUT": "3",
}

LARGE = 64 * 1024
"""Bytes of a program in the middle of which a V1 is known to have lost none."""

BONDED = RuntimeTraits(open=False, whitelist=True, partial=True, passkey=True)

NAMES = {11: "zuziv", 22: "zuzag"}
"""What boards of these numbers are called."""


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    """An air, and no board on it yet."""
    with outside(boards_per_application=0, bluetooth=True, bluetooth_options={"timing": QUICK_AIR}) as made:
        yield made


@pytest.fixture(autouse=True)
def settings(world: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What commands find in their environment."""
    found = {**world.world.environment(tmp_path), **SETTINGS}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def add(world: Outside) -> Iterator[Add]:
    """Switches boards on, for as long as the test lasts."""
    made: list[LivingBoard] = []

    def add(breed: str, serial: int = 11, **options: Any) -> LivingBoard:
        if breed == "nrf51822dk":
            options |= {"application_id": DK, "image": dk_image(seed=0)}
        else:
            options = {"image": image(breed, seed=0), "habits": Habits(**QUICK)} | options
        living = made_quick(world.do(world.world.add_to_air(breed, serial, **options)))
        made.append(living)
        return living

    yield add
    for living in made:
        world.do(living.power(on=False))


def started(words: list[object], settings: dict[str, str], place: Path) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "enmctl", *map(str, words)],
        env={**whole_environment(place), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_v1_whose_link_was_cut_goes_on_where_it_says_that_it_is(
    enmctl: Run, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "PROOF_SHARE", 1)
    living = add("microbit-v1")
    written = asked_at = 0

    def cut(characteristic: str, size: int) -> None:
        """Cut the link some packets after the question how much of so much is there."""
        nonlocal written, asked_at
        if characteristic == LEGACY_PACKET:
            written += size
        elif size == 1 and written > legacy.PROVEN_LEAST and not asked_at:
            asked_at = written
        if asked_at and written > asked_at + 1024:
            living.host.on_write = None
            asyncio.get_running_loop().call_soon(living.host.lose_link)

    living.host.on_write = cut
    result = enmctl("flash", program_file(tmp_path, size=LARGE), "zuziv", "--full")
    assert result.exit_code == 0, result.stderr
    assert "the connection broke" in result.stderr
    went_on = re.search(rf"goes on at (\d+) of {LARGE} bytes", result.stderr)
    assert went_on, result.stderr
    assert legacy.PROVEN_LEAST < int(went_on[1]) < LARGE
    assert result.stderr.count("erases the old program") == 1
    assert living.board.holds(image("microbit-v1", size=LARGE))


@pytest.mark.parametrize(
    ("breed", "fault"),
    [("microbit-v1", "power-cut"), ("microbit-v2", "link-lost")],
    ids=["V1 after a power cut", "V2 always"],
)
def test_where_the_board_has_kept_nothing_it_starts_over_and_says_so(
    enmctl: Run, world: Outside, add: Add, tmp_path: Path, *, breed: str, fault: str
) -> None:
    living = add(breed)
    world.call(partial(living.break_with, fault))
    result = enmctl("flash", program_file(tmp_path), "zuziv", "--full")
    assert result.exit_code == 0, result.stderr
    assert "the connection broke" in result.stderr
    assert "starts over: the board has kept nothing of it" in result.stderr
    assert result.stderr.splitlines()[-1] == "zuziv: done (the board said that it is whole, and came back)"
    assert living.board.holds(image(breed))


def test_of_a_second_program_the_part_that_changed_is_sent_and_each_event_is_a_line(
    enmctl: Run, add: Add, tmp_path: Path
) -> None:
    living = add("microbit-v1")
    events = lines(enmctl("flash", program_file(tmp_path, seed=2), "ZuZiv", "--json"))
    assert {event["board"] for event in events} == {"ZuZiv"}
    assert list(dict.fromkeys(event["stage"] for event in events)) == [
        *("checking", "transferring", "activating", "returning", "done"),
    ]
    first, *others = [event for event in events if event["stage"] == "transferring"]
    assert "user's part alone" in first["note"]
    shares = [event["percent"] for event in (first, *others)]
    assert shares == sorted(set(shares))
    assert (shares[0], shares[-1]) == (0, 100)
    assert 0 < first["total"] < len(image("microbit-v1")) / 2
    assert events[-1]["proof"] == "version-read-back"
    assert living.board.holds(image("microbit-v1", seed=2))


@posix
def test_ctrl_c_says_what_the_board_is_left_with_and_the_same_file_goes_on(
    enmctl: Run, add: Add, tmp_path: Path, settings: dict[str, str]
) -> None:
    """Where it is flashed again its bootloader does not tell what board it is; the file does."""
    living = add("microbit-v1")
    add("nrf51822dk", 44)
    file = program_file(tmp_path, size=LARGE)
    process = started(["flash", file, "zuziv", "--full", "--json"], settings, tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("percent", 0) >= 50:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=WITHIN)
    assert process.returncode == ExitCode.INTERRUPTED, err
    last = json.loads(out.splitlines()[-1])
    assert last["stage"] == "stopped"
    again = f"enmctl flash {file} zuziv --full"
    assert last["note"] == f"it waits in its bootloader; flash the same file again to go on: {again}"
    assert living.board.mode == "bootloader"
    (waiting,) = document(enmctl("scan", "--count", "1", "--board", "microbit", "--json"))
    assert (waiting["mode"], waiting["name"]) == ("bootloader", "DfuTarg [zuziv]")
    result = enmctl("flash", file, "zuziv")
    assert result.exit_code == 0, result.stderr
    assert re.search("goes on at|starts over: it has", result.stderr), result.stderr
    assert living.board.holds(image("microbit-v1", size=LARGE))


@posix
def test_a_reader_that_leaves_early_stops_no_flash(add: Add, tmp_path: Path, settings: dict[str, str]) -> None:
    living = add("microbit-v2")
    process = started(["flash", program_file(tmp_path), "zuziv", "--json"], settings, tmp_path)
    assert process.stdout is not None
    assert "checking" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(WITHIN) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert living.board.holds(image("microbit-v2"))


def test_of_two_boards_one_must_be_named_or_all(enmctl: Run, add: Add, tmp_path: Path) -> None:
    boards = {"microbit-v1": add("microbit-v1"), "microbit-v2": add("microbit-v2", 22)}
    file = program_file(tmp_path)
    result = enmctl("flash", file)
    assert result.exit_code == ExitCode.USAGE
    assert "2 boards are heard" in result.stderr
    assert "zuziv, zuzag" in result.stderr
    assert "--all" in result.stderr
    rehearsed = enmctl("flash", file, "--all", "--dry-run", "--timeout", "1s")
    for name, kind in zip(NAMES.values(), ("V1", "V2"), strict=False):
        assert f"{name}: done (nothing was sent; it would be " in rehearsed.stderr
        assert f"bytes for micro:bit {kind}" in rehearsed.stderr
    assert not any(living.board.holds(image(breed)) for breed, living in boards.items())
    result = enmctl("flash", file, "--all", "--timeout", "1s")
    assert result.exit_code == 0, result.stderr
    for name in NAMES.values():
        assert f"{name}: done" in result.stderr
    assert all(living.board.holds(image(breed)) for breed, living in boards.items())


def test_a_rehearsal_refuses_what_the_flash_would_and_names_what_goes_to_this_very_board(
    enmctl: Run, add: Add, tmp_path: Path
) -> None:
    living = add("microbit-v1")
    file, other = tmp_path / "v2.hex", tmp_path / "v1.hex"
    file.write_bytes(microbit_hex(MICROBIT_V2, image("microbit-v2")))
    other.write_bytes(microbit_hex(MICROBIT_V1, image("microbit-v1")))
    for words in (["--dry-run"], []):
        result = enmctl("flash", file, "zuziv", *words)
        assert result.exit_code == ExitCode.FILE, result.stderr
        assert "there is nothing for a micro:bit V1 in it" in result.stderr
    boots = living.describe()["boots"]
    result = enmctl("flash", program_file(tmp_path), "zuziv", "--dry-run")
    assert result.exit_code == 0, result.stderr
    part = "the user's part alone of " if "part alone" in result.stderr else "all of it, "
    assert f"{part}{len(image('microbit-v1'))} bytes for micro:bit V1" in result.stderr
    assert "V2" not in result.stderr
    whole = enmctl("flash", other, "zuziv", "--dry-run", "--full")
    assert f"it would be all of it, {len(image('microbit-v1'))} bytes for micro:bit V1" in whole.stderr
    assert living.describe()["boots"] == boots
    assert living.board.holds(image("microbit-v1", seed=0)), "nothing was written"


def test_the_only_board_that_the_file_is_for_needs_no_name(enmctl: Run, add: Add, tmp_path: Path) -> None:
    living = add("nrf51822dk", 44)
    add("microbit-v1")
    result = enmctl("flash", package_file(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert living.board.holds(dk_image())


def test_a_file_for_another_board_is_refused_with_both_names(enmctl: Run, add: Add, tmp_path: Path) -> None:
    living = add("nrf51822dk", 44)
    result = enmctl("flash", program_file(tmp_path), living.local_id)
    assert result.exit_code == ExitCode.FILE
    assert "is for micro:bit V1, micro:bit V2, and not for nRF51822-DK" in result.stderr


def test_while_no_board_is_heard_it_is_said_what_to_do_until_one_is(
    enmctl: Run, world: Outside, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "NOTHING_YET", 0.2)
    living = add("microbit-v1")
    world.do(living.power(on=False))
    world.call(lambda: asyncio.get_running_loop().call_later(0.8, partial(living.host.power, on=True)))
    result = enmctl("flash", program_file(tmp_path))
    assert result.exit_code == 0, result.stderr
    hint, heard, *_ = result.stderr.splitlines()
    assert hint.startswith("no board is heard yet")
    assert "hold A and B" in hint
    assert heard == "zuziv is heard: the columns of its pattern have 1 1 1 3 2 lights"


@pytest.mark.parametrize(("word", "code"), [("zavit", ExitCode.UNKNOWN), (None, ExitCode.OFFLINE)])
def test_a_board_that_does_not_come_is_waited_for_as_long_as_it_was_said(
    enmctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str | None, code: ExitCode
) -> None:
    monkeypatch.setattr(lookout, "NOTHING_YET", 0.2)
    result = enmctl(
        "flash", program_file(tmp_path), *([word] if word else []), "--timeout", "0.6s", "--board", "microbit"
    )
    assert result.exit_code == code
    assert f"{word} is not heard yet" in result.stderr if word else "no board is heard yet" in result.stderr
    assert "Listening for 0.6s in all" in result.stderr


def test_boards_are_restarted_and_show_themselves_as_their_programs_can(enmctl: Run, add: Add) -> None:
    micro, kit = add("microbit-v1"), add("nrf51822dk", 44)
    boots = micro.describe()["boots"], kit.describe()["boots"]
    assert enmctl("restart", "zuziv", kit.local_id).exit_code == 0
    assert all(now.describe()["boots"] > before for now, before in zip((micro, kit), boots, strict=True))
    assert enmctl("identify", "zuziv").exit_code == 0
    assert micro.describe()["program"]["shown"] == ["zuziv"]
    result = enmctl("identify", kit.local_id)
    assert result.exit_code == ExitCode.BOARD
    assert "no way to show itself" in result.stderr


def test_a_bootloader_that_may_be_of_two_types_is_one_row_and_an_object_for_each(enmctl: Run, add: Add) -> None:
    living = add("microbit-v1", image=b"")
    result = enmctl("scan", "--timeout", "1s")
    (row,) = [line for line in result.stdout.splitlines() if "DfuTarg" in line]
    assert "microbit or nrf51822dk" in row
    said = [board for board in document(enmctl("scan", "--timeout", "1s", "--json")) if board["mode"] == "bootloader"]
    assert sorted(board["board_type"] for board in said) == ["microbit", "nrf51822dk"]
    assert {tuple(board["addresses"]) for board in said} == {tuple(said[0]["addresses"])}
    assert living.board.mode == "bootloader"


def test_a_program_that_nobody_hears_is_restarted_and_that_is_said(enmctl: Run, world: Outside, add: Add) -> None:
    living = add("microbit-v2", 22, image=image("microbit-v2", bluetooth=False))
    world.call(lambda: living.reset(Boot.PAIRING))
    result = enmctl("restart", NAMES[22])
    assert result.exit_code == 0, result.stderr
    assert "is not heard again" in result.stdout + result.stderr
    assert living.board.mode == "application"


@posix
def test_six_digits_are_asked_for_on_a_terminal_and_without_one_it_is_said_what_to_do(
    enmctl: Run, world: Outside, add: Add, tmp_path: Path, settings: dict[str, str]
) -> None:
    living = add("microbit-v1", 33, image=image("microbit-v1", seed=0, runtime=BONDED))
    world.call(lambda: living.reset(Boot.PAIRING))
    file = program_file(tmp_path, runtime=BONDED)
    result = enmctl("flash", file, "zuvop")
    assert result.exit_code == ExitCode.BOARD
    assert "shows six digits" in result.stderr
    assert "from a terminal" in result.stderr
    environment = {
        **whole_environment(tmp_path),
        **settings,
        "TERM": "xterm-256color",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    screen = Screen(["flash", file, "zuvop"], environment)
    try:
        screen.read_until("The six digits that ")
        world.do(until(lambda: bool(living.host.passkey)))
        screen.type(f"{living.host.passkey}\n")
        assert screen.close() == 0, screen.text
    finally:
        if screen.process.poll() is None:
            screen.process.kill()
    assert "columns of 1 1 2 2 4 lights" in screen.text
    assert "━" in screen.text
    assert "\x1b[3" not in screen.text, "nobody wanted colours"
    assert living.board.holds(image("microbit-v1", runtime=BONDED))


def test_a_device_with_a_program_of_no_application_is_known_by_its_address(
    enmctl: Run, add: Add, tmp_path: Path, database: Path
) -> None:
    living = add("microbit-v1")
    with Store.open(database) as store:
        store.add_device(Device("64a1ae375b213d7e", 511898, "microbit", living.local_id, "holy-sunset"))
    result = enmctl("flash", program_file(tmp_path), "holy-sunset", "--dry-run")
    assert result.exit_code == 0, result.stderr
