"""What the gateway remembers: one SQLite file with devices, attempts, events and a few facts.

``Store`` is the synchronous face, used from one thread; ``StoreThread`` gives it a thread of its own and an asyncio
face; ``enmctl.store.reading`` reads beside a running gateway. The first two are imported when first asked for, so that
a command that only reads pays for neither sqlite-utils nor asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enmctl.store.store import Store
    from enmctl.store.thread import StoreThread

__all__ = ["Store", "StoreThread"]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from enmctl.store.store import Store

        return Store
    if name == "StoreThread":
        from enmctl.store.thread import StoreThread

        return StoreThread
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
