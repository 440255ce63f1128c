"""A database that is locked, may not be written, or lies on a full disk: said in one line, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enmctl.errors import ExitCode, StoreError
from enmctl.store import Store
from enmctl.store.reading import read_devices
from tests.real.store.samples import begin, device

HERE = Path(__file__).parent


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", *([str(HERE / script)] if script.endswith(".py") else ["-c", script])]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_while_another_program_writes_one_waits_and_then_says_so(path: Path) -> None:
    with Store.open(path, busy_timeout=0.1) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.add_device(device())
        other.execute("BEGIN EXCLUSIVE")
        for attempt in (
            lambda: store.change(device().uuid, commit="c"),
            lambda: store.set_meta("key", "value"),
            lambda: store.add_many([device(2)]),
            lambda: Store.open(path, busy_timeout=0.1).close(),
        ):
            with pytest.raises(StoreError, match="locked by another program") as raised:
                attempt()
            assert (raised.value.reason, raised.value.permanent, raised.value.exit_code) == (
                "locked",
                False,
                ExitCode.FILE,
            )
            assert raised.value.remedy
        assert store.devices() == read_devices(path) == [device()], "reading goes on"
        other.execute("COMMIT")
        assert store.change(device().uuid, commit="c")


def test_a_transaction_that_looks_before_it_writes_waits_for_another_writer(path: Path) -> None:
    """What begins as a reader and then writes is refused at once, however long it may wait."""
    with Store.open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        begin(store)
        holding, looked = threading.Event(), threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("UPDATE attempts SET message = 'mine'")
                holding.set()
                looked.wait(0.2)  # long enough for whoever looks first; nobody sets it
                writer.execute("COMMIT")

        thread = threading.Thread(target=hold)
        thread.start()
        assert holding.wait(10)
        (interrupted,) = store.interrupt_running(5.0)
        thread.join()
        assert interrupted.message == "mine"
        assert other.execute("SELECT outcome, message FROM attempts").fetchall() == [("interrupted", "mine")]


def test_a_database_that_another_program_has_to_itself_is_locked_for_readers_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enmctl.store.reading.BUSY_TIMEOUT", 0.1)
    Store.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        for attempt in (lambda: read_devices(path), lambda: Store.open(path, busy_timeout=0.1).close()):
            with pytest.raises(StoreError) as raised:
                attempt()
            assert raised.value.reason == "locked"


def test_a_rollback_journal_database_in_exclusive_use_is_locked(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as raised:
            Store.open(path, busy_timeout=0.1)
        assert raised.value.reason == "locked"
    assert list(path.parent.iterdir()) == [path], "a locked database is no damaged one"


def test_another_process_that_sets_aside_is_waited_for_and_then_named(path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path.parent.mkdir()
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as raised:
            Store.open(path, busy_timeout=0.1)
    finally:
        os.close(descriptor)
    assert raised.value.reason == "locked"
    Store.open(path).close()


@pytest.mark.skipif(sys.platform == "win32", reason="has other rights")
@pytest.mark.parametrize("there", ["database", "nothing", "damaged", "bolt"])
def test_without_the_right_to_write_the_place_and_the_remedy_are_named(open_folder: Path, there: str) -> None:
    path = open_folder / "enm.db"
    if there == "database":
        with Store.open(path) as store:
            store.add_device(device())
    elif there == "damaged":
        path.write_bytes(b"broken" * 100)
    elif there == "bolt":
        shutil.copy(HERE / "data" / "three.bolt", path)
    if path.exists():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    before = {file.name: file.read_bytes() for file in open_folder.iterdir()}
    told = json.loads(run("as_nobody.py", str(path), "open"))
    assert told["reason"] == "read-only"
    assert str(path) in told["text"]
    assert "ENM_DB_DIRECTORY" in told["text"]
    assert {file.name: file.read_bytes() for file in open_folder.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="has other rights")
@pytest.mark.parametrize("beside", ["nobody", "a writer"])
def test_whoever_may_not_write_still_reads(open_folder: Path, beside: str) -> None:
    path = open_folder / "enm.db"
    with Store.open(path) as store:
        store.add_device(device())
        if beside == "nobody":
            store.close()
            path.chmod(0o444)
            open_folder.chmod(0o555)
        for file in open_folder.iterdir():
            file.chmod(0o644)
        told = json.loads(run("as_nobody.py", str(path), "read"))
    assert told == {"devices": [device().uuid]}


@pytest.mark.skipif(sys.platform == "win32", reason="has other rights")
def test_whoever_may_not_even_read_is_told_what_is_refused(open_folder: Path) -> None:
    path = open_folder / "enm.db"
    Store.open(path).close()
    path.chmod(0)
    told = json.loads(run("as_nobody.py", str(path), "read"))
    assert told["reason"] == "read-only"
    assert f"{path} may not be read or written (Permission denied)" in told["text"]


FILLING = """
import json, sys
from pathlib import Path
from enmctl.errors import StoreError
from enmctl.store import Store
store = Store.open(Path(sys.argv[1]))
{prepare}
stored = 0
try:
    while stored < 5000:
        store.set_meta(f"key-{{stored}}", "x" * 5000)
        stored += 1
    reason = "never full"
except StoreError as error:
    reason, text = error.reason, str(error)
still = store.meta("key-0") is not None and store.meta(f"key-{{stored}}") is None
{release}
store.set_meta("after", "room again")
store.close()
with Store.open(Path(sys.argv[1])) as again:
    kept = sum(again.meta(f"key-{{number}}") is not None for number in range(stored))
    told = {{"stored": stored, "kept": kept, "reason": reason, "text": text, "still": still}}
    told |= {{"after": again.meta("after"), "notes": again.notes}}
    print(json.dumps(told))
"""


def check_full(told: dict[str, Any], reasons: set[str]) -> None:
    assert told["reason"] in reasons
    assert "dmesg" in told["text"] or "make room" in told["text"]
    assert told["stored"] > 0
    assert told["kept"] == told["stored"]
    assert told["still"]
    assert (told["after"], told["notes"]) == ("room again", [])


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
def test_a_write_that_finds_no_room_is_refused_whole_and_later_ones_work(path: Path) -> None:
    prepare = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))"""
    release = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)"
    told = json.loads(run(FILLING.format(prepare=prepare, release=release), str(path)))
    check_full(told, {"disk", "disk-full"})


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
def test_an_import_that_finds_no_room_leaves_the_old_database_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    content = (HERE / "data" / "three.bolt").read_bytes()
    path.write_bytes(content)
    script = """
import resource, sys
from pathlib import Path
from enmctl.errors import StoreError
from enmctl.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    Store.open(Path(sys.argv[1]))
except StoreError as error:
    print(error.reason)
"""
    assert run(script, str(path)).strip() in {"disk", "disk-full"}
    assert path.read_bytes() == content
    with Store.open(path) as store:
        assert len(store.devices(deleted=None)) == 3
