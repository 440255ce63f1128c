"""One gateway a database: held by a lock that ends with its process, and looked at without disturbing it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enmctl import file_lock
from enmctl.errors import BusyError, ExitCode, StoreError
from enmctl.gateway import instance
from enmctl.gateway.instance import Instance, RunningGateway, lock_path, running

ADDRESS = "http://127.0.0.1:1337"

HOLDER = """
import sys
from pathlib import Path
from enmctl.gateway.instance import Instance

with Instance.hold(Path(sys.argv[1])) as held:
    held.announce("http://127.0.0.1:1337")
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is the gateway of a database until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "database" / "enm.db"


def test_a_second_gateway_is_told_of_the_first(database: Path) -> None:
    before = time.time()
    with another_process(database) as process:
        with pytest.raises(BusyError) as caught, Instance.hold(database):
            pass
        error = caught.value
        assert (error.exit_code, error.reason) == (ExitCode.BUSY, "another-gateway")
        assert str(process.pid) in error.message
        assert ADDRESS in error.message
        assert time.strftime("%Y-%m-%d %H:", time.localtime(before)) in error.message
        assert error.remedy
        seen = running(database)
        assert seen is not None
        assert (seen.pid, seen.api_address) == (process.pid, ADDRESS)
        assert seen.started_at is not None
        assert before <= seen.started_at <= time.time()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_gateway_leaves_nothing_held(database: Path) -> None:
    with another_process(database) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock_path(database).stat().st_size > 0, "its last words are still there"
        assert running(database) is None
        with Instance.hold(database):
            seen = running(database)
    assert seen is not None
    assert (seen.pid, seen.api_address) == (os.getpid(), None)


def test_an_orderly_end_leaves_an_empty_file_that_nobody_holds(database: Path) -> None:
    with Instance.hold(database) as held:
        held.announce(ADDRESS)
    assert running(database) is None
    assert lock_path(database).read_bytes() == b""
    with Instance.hold(database):
        assert running(database) is not None


def test_an_error_within_lets_go(database: Path) -> None:
    with pytest.raises(ZeroDivisionError), Instance.hold(database):
        raise ZeroDivisionError
    assert running(database) is None


def test_a_shorter_word_leaves_nothing_of_a_longer_one(database: Path) -> None:
    with Instance.hold(database) as held:
        held.announce("http://a-host-with-quite-a-long-name.example:1337")
        held.announce("http://[::1]:1")
        seen = running(database)
    assert seen is not None
    assert seen.api_address == "http://[::1]:1"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\0", b'{"pid": 1}', b"[" * 5000, b'{"pid": 2, "started_at": 1']
)
def test_content_that_makes_no_sense_holds_nobody_up(
    database: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "LOOK_PATIENCE", 0.05)
    monkeypatch.setattr(instance, "HOLD_PATIENCE", 0.05)
    lock_path(database).parent.mkdir()
    lock_path(database).write_bytes(content)
    assert running(database) is None
    with Instance.hold(database):
        lock_path(database).write_bytes(content)
        assert running(database) == RunningGateway()
        with pytest.raises(BusyError, match="a gateway has the database"), Instance.hold(database):
            pass


def test_who_looks_waits_a_moment_for_a_gateway_to_say_who_it_is(database: Path) -> None:
    with Instance.hold(database) as held:
        lock_path(database).write_bytes(b'{"pid"')
        telling = threading.Timer(0.05, held.announce, [ADDRESS])
        telling.start()
        seen = running(database)
        telling.join()
    assert seen is not None
    assert seen.api_address == ADDRESS


@pytest.mark.skipif(sys.platform == "win32", reason="there a look takes the lock alone")
def test_two_looks_at_once_do_not_take_each_other_for_a_gateway(database: Path) -> None:
    with Instance.hold(database):
        pass
    with lock_path(database).open("rb") as file:
        assert file_lock.take(file.fileno(), shared=True)
        assert running(database) is None


def test_a_look_at_the_wrong_moment_is_waited_for(database: Path) -> None:
    with Instance.hold(database):
        pass
    with lock_path(database).open("r+b") as file:
        assert file_lock.take(file.fileno(), shared=True)
        looked = threading.Timer(0.1, file_lock.let_go, [file.fileno()])
        looked.start()
        with Instance.hold(database):
            looked.join()


def test_looking_does_not_keep_a_gateway_from_starting(database: Path) -> None:
    with Instance.hold(database):
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            running(database)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(20):
            with Instance.hold(database):
                pass
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_of_many_that_start_at_once_one_does(database: Path) -> None:
    together = threading.Barrier(8)
    all_tried = threading.Barrier(8)
    outcomes: list[str] = []

    def start() -> None:
        together.wait()
        try:
            with Instance.hold(database):
                outcomes.append("held")
                all_tried.wait()
        except BusyError:
            outcomes.append("busy")
            all_tried.wait()

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert sorted(outcomes) == ["busy"] * 7 + ["held"]


def test_where_nothing_is_nothing_runs_and_nothing_is_made(database: Path) -> None:
    assert running(database) is None
    assert not database.parent.exists()
    file = database.parent
    file.write_text("no folder")
    assert running(file / "enm.db") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="file") as caught, Instance.hold(tmp_path / "file" / "enm.db"):
        pass
    assert "ENM_DB_DIRECTORY" in caught.value.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="Windows folders have no mode")
def test_a_lock_file_that_may_not_be_written_is_named(database: Path) -> None:
    path = lock_path(database)
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"enm\.db\.lock"), Instance.hold(database):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_database_by_another_name_is_the_same(database: Path, tmp_path: Path) -> None:
    database.parent.mkdir()
    database.touch()
    (tmp_path / "other.db").symlink_to(database)
    (tmp_path / "folder").symlink_to(database.parent)
    with Instance.hold(database):
        assert running(tmp_path / "other.db") is not None
        with pytest.raises(BusyError), Instance.hold(tmp_path / "folder" / "enm.db"):
            pass
    with Instance.hold(database), Instance.hold(database.with_name("second.db")):
        assert running(database) is not None


def test_looking_is_cheap_to_import() -> None:
    program = "import sys, json, enmctl.gateway.instance; print(json.dumps(sorted(sys.modules)))"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    heavy = {"asyncio", "logging", "sqlite3", "http.client", "starlette", "uvicorn", "httpx"}
    assert not heavy & set(json.loads(modules))
