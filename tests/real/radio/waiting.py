"""Waiting for what nobody tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT = 10.0
"""Seconds within which anything in these tests must have happened."""


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)
