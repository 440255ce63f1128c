"""Everything imports where Linux's own modules and extras are missing, and a reading command imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

PLATFORM_MODULES = ("fcntl", "termios", "tty", "pty", "resource", "grp", "pwd", "syslog", "dbus_fast")
"""What macOS or Windows may not have."""

EXTRA_MODULES = ("bumble",)
"""What comes with the extra ``simulator`` alone."""

MAY_NEED_THEM = ("enmctl.radio.bluez", "enmctl.simulator.bluetooth")
"""The modules, with all below them, that are imported only where those are."""

IMPORT_ALL = f"""
import importlib, pkgutil, sys, types
import asyncio, bleak, httpx, platformdirs, rich.console, rich.progress, sqlite_utils, starlette, typer, uvicorn
import zeroconf.asyncio
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
for name in {PLATFORM_MODULES + EXTRA_MODULES!r}:
    sys.modules[name] = None
import enmctl
names = [module.name for module in pkgutil.walk_packages(enmctl.__path__, "enmctl.") if "__main__" not in module.name]
names = [name for name in names if not (name + ".").startswith(tuple(each + "." for each in {MAY_NEED_THEM!r}))]
for name in names:
    importlib.import_module(name)
print(len(names))
"""

HEAVY = {
    "asyncio",
    "bleak",
    "bumble",
    "dbus_fast",
    "httpx",
    "platformdirs",
    "rich.console",
    "sqlite_utils",
    "starlette",
    "uvicorn",
    "zeroconf",
}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_without_the_modules_of_one_platform_and_without_extras() -> None:
    assert int(run(IMPORT_ALL)) > 100


def test_the_command_line_and_the_reading_of_the_store_import_nothing_heavy() -> None:
    code = "import enmctl.cli, enmctl.store.reading, sys; print(*sys.modules)"
    loaded = set(run(code).split())
    assert not loaded & HEAVY
