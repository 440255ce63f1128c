"""How long a command takes to begin: ``python benchmarks/startup.py``.

Two figures, each the CPU time of a whole child process beside that of the least that could do the same:

- ``enmctl --help`` beside a Typer hello-world with the same options and 15 commands;
- ``enmctl devices --json`` beside a ten-line Typer script that reads the same database with sqlite-utils.

The children take turns, so that whatever else the machine does hits both alike; the figure is the ratio of the medians.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROUNDS = 11
"""How often each child runs; odd, so that the median is one of the runs."""

LIMIT = 1.3
"""The ratio that must not be passed."""

DEVICES = 100
"""Devices in the database that both readers read."""

HELLO = (
    '''
from typing import Annotated
import typer
app = typer.Typer(add_completion=False)
@app.callback()
def main(
    json: Annotated[bool, typer.Option("--json", help="Data as JSON, errors too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but data and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Work on simulated boards.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Say hello."""
'''
    + "".join(
        f'''
@app.command()
def hello{number}() -> None:
    """Say hello number {number} to the world."""
'''
        for number in range(15)
    )
    + "\napp()\n"
)

READER = """
import json
import typer
from sqlite_utils import Database
def devices(database: str, as_json: bool = typer.Option(False, "--json")) -> None:
    rows = list(Database(database)["devices"].rows_where("deleted = 0", order_by="application_id, name, uuid"))
    if as_json:
        print(json.dumps(rows))
if __name__ == "__main__":
    typer.run(devices)
"""

Children = Mapping[str, Sequence[str]]


def enmctl() -> list[str]:
    """The words that start the installed program."""
    script = shutil.which("enmctl", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "enmctl"]


def cpu_seconds(words: Sequence[str], environment: Mapping[str, str]) -> float:
    """The CPU time of one child, its own and the system's."""
    child = subprocess.Popen(
        words, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    said = child.stderr.read().decode() if child.stderr else ""
    if child.stderr:
        child.stderr.close()
    if child.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {child.returncode}: {said}")
    return usage.ru_utime + usage.ru_stime


def fill(database: Path) -> None:
    """Make a database with devices as the gateway would."""
    from enmctl.models import Device
    from enmctl.store import Store

    with Store.open(database) as store:
        store.add_many(
            Device(
                uuid=f"{number:032x}",
                application_id=511898,
                board_type="esp8266",
                local_id=str(1_265_000 + number),
                name=f"board-{number}",
                commit="16b5cd4df8085d2872a6f6fc0c378629a185d78b",
                target_commit="16b5cd4df8085d2872a6f6fc0c378629a185d78b",
                target_config={"RESIN_HOST_TYPE": "esp8266"},
            )
            for number in range(DEVICES)
        )


def medians(children: Children, environment: Mapping[str, str]) -> dict[str, float]:
    """The median CPU time of each child, in seconds, after one run each that nobody counts."""
    runs: dict[str, list[float]] = {name: [] for name in children}
    for round_ in range(ROUNDS + 1):
        for name, words in children.items():
            seconds = cpu_seconds(words, environment)
            if round_:
                runs[name].append(seconds)
    return {name: statistics.median(taken) for name, taken in runs.items()}


def figures(folder: Path) -> list[tuple[str, float, str, float]]:
    """What was measured: our command and its seconds, the peer and its seconds."""
    database = folder / "enm.db"
    fill(database)
    hello, reader = folder / "hello.py", folder / "reader.py"
    hello.write_text(HELLO, encoding="utf-8")
    reader.write_text(READER, encoding="utf-8")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "ENM_DB_DIRECTORY": str(folder), "LANG": "C.UTF-8"}
    pairs: list[tuple[str, list[str], str, list[str]]] = [
        ("enmctl --help", [*enmctl(), "--help"], "Typer hello-world", [sys.executable, str(hello), "--help"]),
        (
            "enmctl devices --json",
            [*enmctl(), "devices", "--json"],
            "Typer and sqlite-utils",
            [sys.executable, str(reader), str(database), "--json"],
        ),
    ]
    found = []
    for ours, our_words, peer, peer_words in pairs:
        taken = medians({ours: our_words, peer: peer_words}, environment)
        found.append((ours, taken[ours], peer, taken[peer]))
    return found


def main() -> int:
    """Print the table; 1 where a figure is missed."""
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder))
    print(f"{'command':<24}{'ms':>6}  {'beside':<24}{'ms':>6}  ratio  at most")
    for ours, seconds, peer, peer_seconds in found:
        ratio = seconds / peer_seconds
        missed = "" if ratio <= LIMIT else "  missed"
        ms, peer_ms = seconds * 1000, peer_seconds * 1000
        print(f"{ours:<24}{ms:>6.0f}  {peer:<24}{peer_ms:>6.0f}  {ratio:>5.2f}  {LIMIT:>7}{missed}")
    return int(any(seconds / peer_seconds > LIMIT for _, seconds, _, peer_seconds in found))


if __name__ == "__main__":
    sys.exit(main())
