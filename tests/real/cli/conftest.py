"""The command line in a folder, an environment and a database of its own."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from enmctl.cli.application import app
from enmctl.models import AttemptKind, BoardKey, Outcome, Proof, Stage
from enmctl.settings import variables
from enmctl.store import Store
from tests.real.cli.rig import FLEET, NEW, Run, environment_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own (as click's deprecated isolated file system advises), and no setting."""
    for variable in variables().values():
        for name in variable.names:
            monkeypatch.delenv(name, raising=False)
    for name in ("ENM_OTA_PASSWORD", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment_of(tmp_path).items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a command sets up for its process is put back, for the next test in this one has another stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the commands of this test keep their database."""
    return tmp_path / "database" / "enm.db"


@pytest.fixture
def fleet(database: Path) -> Path:
    """A database with a handful of devices, attempts and log lines."""
    with Store.open(database) as store:
        store.add_many(FLEET)
        now = time.time()
        done = store.begin_attempt(AttemptKind.UPDATE, BoardKey(511898, "1265892"), FLEET[0].uuid, NEW, 1000, now - 60)
        store.set_stage(done, Stage.TRANSFERRING, 0.5)
        store.end_attempt(done, Outcome.SUCCEEDED, ended_at=now - 50, proof=Proof.VERSION_READ_BACK, sent=1000)
        failed = store.begin_attempt(AttemptKind.FLASH, BoardKey(511898, "1265893"), FLEET[1].uuid, NEW, 1000, now - 40)
        store.end_attempt(failed, Outcome.FAILED, ended_at=now - 30, reason="no-space", message="no room", sent=10)
        store.begin_attempt(AttemptKind.FLASH, BoardKey(511898, "4711"), None, None, 1000, now - 20)
        store.add_events(
            [(now - 60, FLEET[0].uuid, "info", "Update begins"), (now - 50, FLEET[1].uuid, "error", "Update failed")]
        )
    return database


@pytest.fixture
def enmctl() -> Run:
    """Runs a command line of enmctl in this process."""

    def run(*words: str, env: Mapping[str, str] | None = None, typed: str | None = None) -> Result:
        result = CliRunner().invoke(app, [*map(str, words)], env=dict(env or {}), input=typed)
        assert "this is a bug" not in result.stderr, result.stderr
        return result

    return run


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
