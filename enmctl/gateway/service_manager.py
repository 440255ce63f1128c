"""What the service manager that started a gateway hears of it: sd_notify(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

MICROSECONDS = 1e6


@asynccontextmanager
async def told_to_service_manager(
    is_alive: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> AsyncGenerator[None]:
    """Within, the service manager knows that we are ready, and hears from us for as long as we live; then, that we end.

    Args:
        is_alive: asked twice in each span in which the service manager wants to hear from us; while it is false we are
            silent, and may be started anew.
        environment: where the service manager says what it wants, the process's own by default. Without it nothing is
            said to anybody.
    """
    environment = os.environ if environment is None else environment
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)

        def say(word: str) -> None:
            with contextlib.suppress(OSError):  # it may be gone or slow: no reason to end
                line.sendto(word.encode(), "\0" + address[1:] if address.startswith("@") else address)

        say("READY=1")
        span = _watched_span(environment)
        watched = asyncio.create_task(_keep_hearing(say, is_alive, span / 2), name="watchdog") if span else None
        try:
            yield
        finally:
            say("STOPPING=1")
            if watched is not None:
                watched.cancel()


async def _keep_hearing(say: Callable[[str], None], is_alive: Callable[[], bool], seconds: float) -> None:
    while True:
        if is_alive():
            say("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _watched_span(environment: Mapping[str, str]) -> float:
    """Seconds in which the service manager wants to hear from us; 0 where it does not, or from another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / MICROSECONDS if microseconds.isascii() and microseconds.isdigit() else 0.0
