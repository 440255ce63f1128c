"""The installed script as a shell runs it: pipes, Ctrl-C, terminals and full disks."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from enmctl import __version__
from enmctl.errors import ExitCode
from enmctl.models import Device
from enmctl.store import Store
from tests.real.cli.outside import QUICK, WITHIN, image
from tests.real.cli.rig import whole_environment

SCRIPT = shutil.which("enmctl", path=str(Path(sys.executable).parent)) or "enmctl"
MANY = 3000
"""Devices whose list is larger than a pipe holds."""

ESCAPE = "\x1b["

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and terminals of POSIX")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the script finds around it."""
    return {**whole_environment(tmp_path), **QUICK, "TERM": "xterm-256color", "COLUMNS": "100"}


@pytest.fixture
def crowd(database: Path) -> Path:
    """A database with more devices than a pipe holds."""
    with Store.open(database) as store:
        store.add_many(
            Device(f"{number:030x}", 1, "esp8266", str(number), f"device-{number}") for number in range(MANY)
        )
    return database


def start(words: Sequence[object], environment: Mapping[str, str], **options: object) -> subprocess.Popen[str]:
    """The script, started with its output on pipes."""
    process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload] # options of Popen's own
        [SCRIPT, *map(str, words)],
        env=dict(environment),
        text=True,
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    STARTED.append(process)
    return process


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _none_is_left() -> Iterator[None]:
    """Whatever a test that failed has started ends with it."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=WITHIN)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How it ended, and what it wrote."""
    out, err = process.communicate(timeout=WITHIN)
    return process.returncode, out, err


def test_the_script_and_the_module_are_one_program(environment: dict[str, str]) -> None:
    assert finished(start(["--version"], environment)) == (0, f"enmctl {__version__}\n", "")
    module = subprocess.run(
        [sys.executable, "-m", "enmctl", "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert module.stdout == f"enmctl {__version__}\n"


@posix
@pytest.mark.parametrize(
    ("closed", "words", "code"),
    [
        (">&-", "devices", ExitCode.DONE),
        ("2>&-", "devices show nobody", ExitCode.UNKNOWN),
        (">&- 2>&-", "devices show nobody", ExitCode.UNKNOWN),
        (">&- 2>&-", "--help", ExitCode.DONE),
        ("<&-", "restart http://127.0.0.1:1/", ExitCode.OFFLINE),
    ],
)
def test_streams_that_are_closed_from_the_start_change_no_exit_code(
    environment: dict[str, str], closed: str, words: str, code: ExitCode
) -> None:
    process = subprocess.Popen(
        ["sh", "-c", f'"$0" {words} {closed}', SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    code_then, out, err = finished(process)
    assert (code_then, out) == (code, "")
    assert "Traceback" not in err
    assert "bug" not in err


@posix
@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("words", [["devices"], ["devices", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(environment: dict[str, str], words: list[str]) -> None:
    process = start(words, environment)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(WITHIN) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@posix
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["flash", "--help"], ["status", "--json"], ["devices"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_was_never_there_is_no_error(
    environment: dict[str, str], words: list[str], unbuffered: str
) -> None:
    environment["PYTHONUNBUFFERED"] = unbuffered
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        process = start(words, environment, stdout=write_end)
    finally:
        os.close(write_end)
    code, _, err = finished(process)
    assert code == 0
    assert "rror" not in err
    assert "Traceback" not in err


@posix
@pytest.mark.usefixtures("crowd")
def test_an_error_keeps_its_exit_code_where_nobody_reads(environment: dict[str, str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        process = start(["devices", "show", "nix"], environment, stdout=write_end)
    finally:
        os.close(write_end)
    code, _, err = finished(process)
    assert code == ExitCode.UNKNOWN
    assert err.count("\n") == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["completion", "bash"]])
def test_a_full_disk_under_stdout_is_told(environment: dict[str, str], words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = finished(start(words, environment, stdout=full))
    assert code == ExitCode.FILE
    assert "No space left on device" in err
    assert "Traceback" not in err


@posix
def test_log_lines_come_at_once_and_ctrl_c_ends_quietly(environment: dict[str, str], database: Path) -> None:
    with Store.open(database) as store:
        store.add_device(Device("64a1ae375b213d7e", 1, "esp8266", "1", "holy-sunset"))
        store.add_events([(time.time(), "64a1ae375b213d7e", "info", "first")])
        process = start(["logs", "--follow", "--json"], environment)
        assert process.stdout
        assert json.loads(process.stdout.readline())["message"] == "first"
        store.add_events([(time.time(), "64a1ae375b213d7e", "info", "second")])
        assert json.loads(process.stdout.readline())["message"] == "second"
        process.send_signal(signal.SIGINT)
        assert finished(process) == (ExitCode.INTERRUPTED, "", "")


@posix
def test_log_lines_go_on_after_the_database_was_set_aside(environment: dict[str, str], database: Path) -> None:
    def log(store: Store, message: str) -> None:
        store.add_events([(time.time(), "64a1ae375b213d7e", "info", message)])

    with Store.open(database) as store:
        log(store, "first")
        log(store, "second")
    process = start(["logs", "--follow", "--json"], environment)
    assert process.stdout
    assert [json.loads(process.stdout.readline())["message"] for _ in range(2)] == ["first", "second"]
    database.rename(database.with_name("damaged"))
    with Store.open(database) as store:
        log(store, "third")
        assert json.loads(process.stdout.readline())["message"] == "third"
        log(store, "fourth")
        assert json.loads(process.stdout.readline())["message"] == "fourth"
    process.send_signal(signal.SIGINT)
    assert finished(process) == (ExitCode.INTERRUPTED, "", "")


@posix
def test_ctrl_c_ends_a_scan_quietly(environment: dict[str, str]) -> None:
    process = start(["scan", "--timeout", "60s", "--verbose"], environment)
    assert process.stderr
    assert process.stderr.readline(), "its log tells that it listens"
    process.send_signal(signal.SIGINT)
    code, out, err = finished(process)
    assert (code, out) == (ExitCode.INTERRUPTED, "")
    assert "Traceback" not in err


class Screen:
    """The script on a terminal of its own."""

    def __init__(self, words: Sequence[object], environment: Mapping[str, str], *, columns: int = 0) -> None:
        import pty
        import termios

        self._controller, terminal = pty.openpty()
        if columns:
            termios.tcsetwinsize(terminal, (30, columns))
        self.process = subprocess.Popen(
            [SCRIPT, *map(str, words)],
            env=dict(environment),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self.text = ""

    def read_until(self, word: str | None = None) -> str:
        """All that was shown, until a word comes or the script ends."""
        while word is None or word not in self.text:
            assert select.select([self._controller], [], [], WITHIN)[0], self.text
            try:
                data = os.read(self._controller, 4096)
            except OSError:  # Linux says so at a terminal's end
                break
            if not data:
                break
            self.text += data.decode()
        return self.text

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self._controller, text.encode())

    def close(self) -> int:
        """How it ended."""
        self.read_until()
        code = self.process.wait(WITHIN)
        os.close(self._controller)
        return code


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """Terminals; what still runs on one when the test is over is ended."""
    made: list[Screen] = []
    yield made
    for screen in made:
        if screen.process.poll() is None:
            screen.process.kill()
            screen.process.wait(WITHIN)


@posix
@pytest.mark.usefixtures("fleet")
def test_a_terminal_gets_colours_unless_nobody_wants_them(environment: dict[str, str]) -> None:
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        screen = Screen(["devices", "show", "nix"], {**environment, **more})
        assert screen.close() == ExitCode.UNKNOWN
        assert "no device is called 'nix'" in screen.text
        assert (ESCAPE in screen.text) is coloured


@posix
@pytest.mark.usefixtures("fleet")
def test_a_table_on_a_terminal_keeps_within_its_width(environment: dict[str, str]) -> None:
    screen = Screen(["devices"], {**environment, "COLUMNS": "60", "NO_COLOR": "1"})
    assert screen.close() == 0
    plain = screen.text.replace(f"{ESCAPE}1m", "").replace(f"{ESCAPE}0m", "")
    assert "holy" in plain
    assert max(map(len, plain.splitlines())) <= 60


@posix
def test_talk_is_broken_at_its_spaces_where_a_terminal_is_narrow(environment: dict[str, str]) -> None:
    said = "no device is called 'a-very-long-name-of-some-device'"
    screen = Screen(["devices", "show", "a-very-long-name-of-some-device"], environment | {"NO_COLOR": "1"}, columns=30)
    assert screen.close() == ExitCode.UNKNOWN
    first, *others = screen.text.splitlines()
    assert first == "enmctl: no device is called"
    assert "'a-very-long-name-of-some-device'" in others
    assert said in finished(start(["devices", "show", "a-very-long-name-of-some-device"], environment))[2]


@posix
@pytest.mark.usefixtures("fleet")
def test_no_escape_code_reaches_a_pipe(environment: dict[str, str]) -> None:
    for words in (["devices"], ["history"], ["devices", "show", "nix"], ["status"], ["--help"]):
        _, out, err = finished(start(words, environment))
        assert ESCAPE not in out + err


@posix
def test_a_password_is_asked_for_on_a_terminal_and_not_shown(
    environment: dict[str, str], folder: Path, unused_port: int, screens: list[Screen]
) -> None:
    (folder / "firmware.bin").write_bytes(image())
    screen = Screen(["flash", "firmware.bin", f"http://admin@127.0.0.1:{unused_port}"], environment)
    screens.append(screen)
    screen.read_until("Password of admin: ")  # what is typed before that is thrown away
    screen.type("board-word\n")
    assert screen.close() == ExitCode.OFFLINE
    assert "board-word" not in screen.text


@posix
def test_a_terminal_gets_a_bar(environment: dict[str, str], folder: Path, screens: list[Screen]) -> None:
    (folder / "firmware.bin").write_bytes(image())
    screen = Screen(["--simulate", "flash", "firmware.bin", "1265892"], environment)
    screens.append(screen)
    assert screen.close() == 0, screen.text
    assert "━" in screen.text
    assert "done (the board tells its version" in screen.text


@posix
def test_a_scan_on_a_terminal_ends_with_the_table_alone(environment: dict[str, str], screens: list[Screen]) -> None:
    screen = Screen(["--simulate", "scan", "--count", "3", "--board", "esp8266"], environment)
    screens.append(screen)
    assert screen.close() == 0, screen.text
    assert "listening for boards" in screen.text
    assert screen.text.rstrip().splitlines()[-1].startswith("1265894")
