"""Runs one look at a database as a user who may not write to it; prints what came of it.

as_nobody.py PATH open|read
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import sqlite_utils  # noqa: F401 - another user may not reach the interpreter's own files

from enmctl.errors import StoreError
from enmctl.store import Store, bolt, reading  # noqa: F401 - as above

NOBODY: Final = 65534


def main() -> None:
    path = Path(sys.argv[1])
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    told: dict[str, Any]
    try:
        if sys.argv[2] == "open":
            Store.open(path).close()
            told = {"reason": ""}
        else:
            told = {"devices": [device.uuid for device in reading.read_devices(path)]}
    except StoreError as error:
        told = {"reason": error.reason, "text": str(error)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
