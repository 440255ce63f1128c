"""Memories of transfers that outlive the program: in the database, a fact for each board that was sent something."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from enmctl.dfu.link import Memory
from enmctl.store import Store, StoreThread
from enmctl.store.reading import read_facts

PREFIX = "transfer "


class StoredMemories:
    """Keeps ``enmctl.boards.surroundings.Memories`` in the database.

    Args:
        store: the database.
    """

    def __init__(self, store: StoreThread) -> None:
        self._store = store

    async def load(self, address: str) -> Memory:
        """What is known of a board; what cannot be read counts as nothing."""
        text = await self._store.call(Store.meta, PREFIX + address.upper())
        return Memory() if text is None else _read(text)

    async def keep(self, address: str, memory: Memory) -> None:
        """Write down what is known now."""
        empty = memory == Memory()
        text = None if empty else json.dumps(asdict(memory), separators=(",", ":"))
        await self._store.call(Store.set_meta, PREFIX + address.upper(), text)


async def names_of_begun(store: StoreThread) -> dict[str, str]:
    """What the boards are called, by their addresses, to which a transfer was begun and did not end."""
    return _names_of_begun(await store.call(Store.metas, PREFIX))


def read_names_of_begun(database: Path) -> dict[str, str]:
    """The same for a program that does not have the database open.

    Raises:
        StoreError: the database cannot be read.
    """
    return _names_of_begun(read_facts(database, PREFIX))


def _names_of_begun(texts: Mapping[str, str]) -> dict[str, str]:
    memories = {address: _read(text) for address, text in texts.items()}
    return {address: memory.name for address, memory in memories.items() if memory.begun and memory.name}


def _read(text: str) -> Memory:
    """A memory as it was written, by this version or another."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        return Memory()
    if not isinstance(said, dict):
        return Memory()
    blank = Memory()
    known = {field.name for field in fields(Memory)}
    for name, value in said.items():
        if name in known and (isinstance(value, type(getattr(blank, name))) or (name == "pace" and _is_pace(value))):
            setattr(blank, name, value)
    return blank


def _is_pace(value: Any) -> bool:
    return isinstance(value, float) and value > 0
