"""What every test stands on."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.planted import PLANTS

# Before the first asynchronous test pytest-asyncio asks for the current loop, and Python 3.11 makes one that nobody
# closes; whichever test runs when it is collected fails for it. Once it was said that there is none, none is made.
asyncio.set_event_loop(None)

# A suite that was started in the background ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a fault be planted in the program, to see that the tests catch it."""
    parser.addoption("--plant", choices=sorted(PLANTS), help="plant a fault in enmctl; some test must fail then")


def pytest_configure(config: pytest.Config) -> None:
    """Plant the fault that was asked for, in every process that runs tests."""
    name = config.getoption("--plant")
    if name is not None:
        PLANTS[name]()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that nobody should wonder."""
    name = config.getoption("--plant")
    return None if name is None else f"planted fault: {name}"
