"""What is written to the database of a source's answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from enmctl.models import Desired, Device
from enmctl.store import Store
from enmctl.store.rows import NO_FAILURES


def write_news(
    store: Store, met: Sequence[Device], changes: Collection[tuple[str, Mapping[str, Any]]], serial: int
) -> None:
    """Write down the devices that the source lists for the first time, and what it says anew of others."""
    store.set_meta("list_serial", str(serial))
    if met:
        store.add_many(met)
    if changes:
        store.change_many(changes)


def reconfigured(before: Desired, after: Desired) -> frozenset[int]:
    """The applications that have another config after this answer than before it."""
    known = before.applications
    return frozenset(
        each.id for each in after.applications.values() if each.id in known and known[each.id].config != each.config
    )


def forget_failures(store: Store, application_ids: Collection[int]) -> None:
    """Let the devices of these applications try again at once."""
    failed = [each for each in store.devices() if each.application_id in application_ids and each.failures]
    store.change_many([(each.uuid, NO_FAILURES) for each in failed])
