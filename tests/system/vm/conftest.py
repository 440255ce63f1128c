"""The virtual machine's tests: the folders in here run inside it, ``test_machine.py`` outside brings it up for them."""

from __future__ import annotations

import os
import platform
import re
import subprocess

import pytest

from tests.system.vm.daemons import LOGS

LOG_END = 6000
"""So many characters of each log are shown."""

INSIDE = "ENM_IN_VM" in os.environ

collect_ignore = [] if INSIDE else ["hotspot", "bluetooth"]

TOLD = pytest.StashKey[list[str]]()
"""What the machine said, for the end of the outer run's report."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TOLD] = []


def pytest_report_header() -> str | None:
    """Which versions of the real things were met."""
    if not INSIDE:
        return None
    programs = {
        "NetworkManager": ("NetworkManager", "--version"),
        "BlueZ": ("bluetoothctl", "--version"),
        "wpa_supplicant": ("wpa_supplicant", "-v"),
        "dnsmasq": ("dnsmasq", "--version"),
    }
    found = [f"{name} {_version(*words)}" for name, words in programs.items()]
    return f"met: kernel {platform.release()}, {', '.join(found)}"


def _version(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d+[.\d]*", done.stdout)
    return number[0] if number else "not known"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the machine said, also where all went well; inside, what its daemons said where something failed."""
    if INSIDE and terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", []):
        for log in sorted(LOGS.glob("*.log")):
            terminalreporter.section(log.name)
            terminalreporter.write_line(log.read_text(encoding="utf-8", errors="replace")[-LOG_END:])
    for text in config.stash[TOLD]:
        terminalreporter.section("in the virtual machine")
        terminalreporter.write_line(text)
