"""What is written to the database of a source's answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from enmctl.models import Application, Device
from enmctl.store import Store
from enmctl.store.rows import NO_FAILURES

CONFIG_OF: Final = "config-of-application-"
"""What the facts begin with that tell of an application's config."""


def write_news(
    store: Store, met: Sequence[Device], changes: Collection[tuple[str, Mapping[str, Any]]], serial: int
) -> None:
    """Write down the devices that the source lists for the first time, and what it says anew of others."""
    store.set_meta("list_serial", str(serial))
    if met:
        store.add_many(met)
    if changes:
        store.change_many(changes)


def let_reconfigured_try(store: Store, applications: Collection[Application]) -> None:
    """Let the failed devices of applications try again at once that have another config than they were last heard with.

    What they were heard with is kept, as a digest, for the config may be changed while no gateway runs.
    """
    kept = store.metas(CONFIG_OF)
    heard = {str(each.id): _digest(each.config) for each in applications}
    changed = {number for number, digest in heard.items() if kept.get(number) != digest}
    remedied = {int(number) for number in changed if number in kept}
    failed = [each for each in store.devices() if each.application_id in remedied and each.failures] if remedied else []
    store.change_many([(each.uuid, NO_FAILURES) for each in failed])
    for number in changed:
        store.set_meta(f"{CONFIG_OF}{number}", heard[number])


def _digest(config: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode()).hexdigest()
