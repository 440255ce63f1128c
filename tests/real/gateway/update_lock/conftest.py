"""A store, both names of the lock, and ways to look at them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.gateway import update_lock
from enmctl.store import Store, StoreThread

LIMIT = 5.0
"""Seconds within which anything in these tests must have happened."""


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_lock, "LOOK_AGAIN", 0.02)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreThread]:
    async with StoreThread(tmp_path / "database" / "enm.db") as opened:
        yield opened


@pytest.fixture
def names(tmp_path: Path) -> list[Path]:
    """Both of the lock's names, and the second's folder."""
    (tmp_path / "balena").mkdir()
    return [tmp_path / "resin" / "resin-updates.lock", tmp_path / "balena" / "updates.lock"]


def there(names: list[Path]) -> list[bool]:
    """Whether each of them is there."""
    return [os.path.lexists(name) for name in names]


async def known(store: StoreThread, lock_id: str) -> bool:
    """Whether the database knows a lock's id."""
    return await store.call(Store.knows_lock, lock_id)


async def waits(task: asyncio.Task[None]) -> bool:
    """Whether a task is still at it after several looks."""
    done, _ = await asyncio.wait({task}, timeout=0.1)
    return not done
