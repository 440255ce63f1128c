"""``enmctl simulator`` in a process of its own, and commands with ``--simulate``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from enmctl.errors import ExitCode
from enmctl.simulator.images import esp8266_image
from enmctl.store.reading import read_devices
from tests.real.boards.air import program_file
from tests.real.cli.outside import QUICK, WITHIN
from tests.real.cli.rig import Run, document, whole_environment

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@contextmanager
def simulator(place: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A simulator that is ended with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "enmctl", "simulator", *words],
        env={**whole_environment(place), **QUICK, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WITHIN)


def asked(address: str, body: dict[str, Any] | None = None) -> Any:
    """What the control port answers."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(address, data), timeout=WITHIN) as answer:  # noqa: S310 - our own process, on loopback
        return json.load(answer)


@posix
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_simulator_tells_its_variables_takes_commands_and_ends_in_order(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with simulator(tmp_path, "--boards", "2", "--json") as process:
        assert process.stdout
        facts = json.loads(process.stdout.readline())
        assert [board.get("radio", "wifi") for board in facts["boards"]] == ["wifi"] * 2 + ["bluetooth"] * 3
        application = facts["applications"][0]
        pushed = asked(f"{facts['control'].rstrip('/')}/push", {"application": application["id"]})["commit"]
        state = asked(f"{facts['control'].rstrip('/')}/state")
        assert state["applications"][0]["commit"] == pushed != application["commit"]
        process.send_signal(ending)
        assert process.wait(WITHIN) == 0
        assert not Path(facts["environment"]["ENM_DB_DIRECTORY"]).parent.exists(), "its folder was a temporary one"


def test_the_variables_are_ready_for_a_shell_and_the_rest_is_talk(tmp_path: Path) -> None:
    folder = tmp_path / "kept here"
    with simulator(tmp_path, "--no-bluetooth", "--boards", "0", "--folder", str(folder), "--devices", "25") as process:
        assert process.stdout
        assert process.stderr
        words = [shlex.split(process.stdout.readline()) for _ in range(9)]
        assert all(word[0] == "export" for word in words)
        variables = dict(word[1].split("=", 1) for word in words)
        assert variables["ENM_DB_DIRECTORY"] == str(folder / "database")
        assert variables["ENM_MDNS_INTERFACES"] == "127.0.0.1"
        assert "enmctl run" in process.stderr.readline()
        assert len(read_devices(folder / "database" / "enm.db")) == 25


def test_a_variable_that_fits_a_real_gateway_alone_is_to_be_unset(tmp_path: Path) -> None:
    with simulator(tmp_path, "--boards", "0", ENM_API_TOKEN="of-a-real-gateway") as process:
        assert process.stdout
        assert process.stdout.readline() == "unset ENM_API_TOKEN\n", "the simulated Supervisor's hooks show no token"
        assert process.stdout.readline().startswith("export ")


def test_a_folder_that_cannot_be_made_is_told(enmctl: Run, folder: Path) -> None:
    (folder / "file").touch()
    result = enmctl("simulator", "--folder", "file/below")
    assert result.exit_code == ExitCode.FILE
    assert "cannot be made" in result.stderr


@pytest.mark.parametrize("words", [["devices"], ["status"], ["history"], ["pause"], ["completion", "devices"]])
def test_what_works_on_no_board_has_nothing_to_simulate(enmctl: Run, words: list[str], database: Path) -> None:
    result = enmctl("--simulate", *words)
    assert result.exit_code == ExitCode.USAGE
    assert "enmctl demo" in result.stderr
    assert not database.exists()


def test_one_simulated_pass_brings_every_board_on_target(tmp_path: Path, unused_port: int) -> None:
    """The variables that point at something real are set, and not looked at."""
    real = {
        "RESIN_SUPERVISOR_ADDRESS": f"http://127.0.0.1:{unused_port}",
        "BALENA_SUPERVISOR_ADDRESS": f"http://127.0.0.1:{unused_port}",
        "ENM_SOURCE": "nix",
        "ENM_API_VERSION": "v9",
        "ENM_API_TOKEN": "0123456789",
        "ENM_MDNS_INTERFACES": "192.0.2.1",
        "ENM_API_HOST": "0.0.0.0",  # noqa: S104 - is not to be listened on
    }
    done = subprocess.run(
        [sys.executable, "-m", "enmctl", "--simulate", "run", "--once"],
        env={**whole_environment(tmp_path), **QUICK, **real},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is now device") == 3
    assert not list(tmp_path.glob("database/*")), "the real database is left alone"


def test_a_port_that_is_taken_is_told_and_no_bug(enmctl: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = enmctl("simulator", "--control-port", str(port))
    assert result.exit_code == ExitCode.BUSY
    assert f"port {port} of 127.0.0.1" in result.stderr


def simulated(place: Path, *words: object) -> subprocess.Popen[str]:
    """A command on simulated boards, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "enmctl", "--simulate", *map(str, words)],
        env=whole_environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@posix
def test_a_flash_of_a_simulated_board_that_was_interrupted_is_taken_up_by_the_next_command(tmp_path: Path) -> None:
    file = program_file(tmp_path, size=24 * 1024)
    process = simulated(tmp_path, "flash", file, "zuziv", "--full")
    assert process.stderr is not None
    said = ""
    while "transferring 20 %" not in said and (line := process.stderr.readline()):
        said += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=WITHIN)
    assert process.returncode == ExitCode.INTERRUPTED, said + rest
    again = f"enmctl --simulate flash {file} zuziv --full"
    assert f"zuziv: stopped; it waits in its bootloader; flash the same file again to go on: {again}" in rest
    process = simulated(tmp_path, *shlex.split(again)[2:])
    _, said = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, said
    assert "starts over: the board has kept nothing of it" in said
    assert "zuziv: done" in said


def test_the_firmware_of_simulated_esp8266_boards_is_kept_between_commands(enmctl: Run, folder: Path) -> None:
    file = folder / "firmware.bin"
    file.write_bytes(esp8266_image(fw="7.1", size=16 * 1024))
    assert enmctl("--simulate", "flash", file, "1265893").exit_code == 0
    boards = document(enmctl("--simulate", "scan", "--board", "esp8266", "--json"))
    assert {board["local_id"]: board["version"] for board in boards} == {
        "1265892": "factory",
        "1265893": "7.1",
        "1265894": "factory",
    }


def test_what_is_kept_of_simulated_boards_and_cannot_be_read_is_left_out(enmctl: Run, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "enmctl" / "simulated-boards"
    kept.mkdir(parents=True)
    (kept / "memories.json").write_text("[")
    (kept / "esp8266-1265893.flash").write_bytes(b"no image")
    boards = document(enmctl("--simulate", "scan", "--board", "esp8266", "--json"))
    assert {board["version"] for board in boards} == {"factory"}
