"""Everything imports where only Linux's own modules are missing, and a reading command imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

PLATFORM_MODULES = ("fcntl", "termios", "tty", "pty", "resource", "grp", "pwd", "syslog")
"""What macOS or Windows may not have."""

IMPORT_ALL = f"""
import importlib, pkgutil, sys, types
import asyncio, httpx, platformdirs, rich.console, rich.progress, sqlite_utils, starlette, typer, uvicorn
import zeroconf.asyncio
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
for name in {PLATFORM_MODULES!r}:
    sys.modules[name] = None
import enmctl
names = [module.name for module in pkgutil.walk_packages(enmctl.__path__, "enmctl.") if "__main__" not in module.name]
for name in names:
    importlib.import_module(name)
print(len(names))
"""

HEAVY = {"asyncio", "httpx", "sqlite_utils", "zeroconf", "starlette", "uvicorn", "rich.console", "platformdirs"}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_without_the_modules_of_one_platform() -> None:
    assert int(run(IMPORT_ALL)) > 100


def test_the_command_line_and_the_reading_of_the_store_import_nothing_heavy() -> None:
    code = "import enmctl.cli, enmctl.store.reading, sys; print(*sys.modules)"
    loaded = set(run(code).split())
    assert not loaded & HEAVY
