"""Opens a store again and again, killed at each file-system event in turn; prints what each next start found.

    killed_at.py TEMPLATE FOLDER

TEMPLATE is a file to lay at ``enm.db``. Each line printed is JSON: the event, the devices found by the next start, its
notes, and the names and sizes of all files afterwards. The last line is of a start that was not killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import sqlite_utils  # noqa: F401 - imported before the events are counted

from enmctl.store import Store, bolt, edge_node_manager  # noqa: F401 - as above

EVENTS = ("os.rename", "os.remove", "sqlite3.connect", "sqlite3.connect/handle", "open")


def open_and_die_at(path: Path, number: int) -> None:
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in EVENTS and (event == "sqlite3.connect/handle" or str(path.parent) in str(arguments[0])):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    Store.open(path)
    os._exit(0)


def main() -> None:
    template, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for number in range(1000):
        path = folder / str(number) / "enm.db"
        path.parent.mkdir(parents=True)
        path.write_bytes(template.read_bytes())
        child = os.fork()
        if child == 0:
            open_and_die_at(path, number)
        _, status = os.waitpid(child, 0)
        with Store.open(path) as store:
            devices = [device.uuid for device in store.devices(deleted=None)]
            notes = store.notes
        files = {file.name: file.stat().st_size for file in sorted(path.parent.iterdir())}
        found = {"killed": status != 0, "devices": devices, "notes": notes, "files": files}
        sys.stdout.write(json.dumps(found) + "\n")
        if status == 0:
            return


if __name__ == "__main__":
    main()
