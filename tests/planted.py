"""Faults that can be planted in enmctl, to see that the tests catch them: ``pytest --plant NAME``.

Each is a way in which a gateway like this one really goes wrong. ``tests/real/gateway/test_planted_faults.py`` plants
one after another.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch


def _done_before_return() -> None:
    """A board that has all of its image counts as done, before it is back."""
    from enmctl.boards.esp8266 import Esp8266
    from enmctl.boards.homecoming import Settled
    from enmctl.models import Proof

    async def at_once(*_: object) -> Settled:
        return Settled(Proof.CHECK_AND_RETURN)

    _plant(Esp8266, "_return", at_once)


def _row_written_back() -> None:
    """The end of an update writes the whole row back as it was when the update began."""
    from enmctl.gateway import standing, updating
    from enmctl.models import Device
    from enmctl.store import Store
    from enmctl.store.rows import DEVICE_COLUMNS

    read: dict[str, Device] = {}
    device_of, succeed_update = standing.device_of, Store.succeed_update

    async def remember(crew: Any, uuid: str) -> Device:
        device = await device_of(crew, uuid)
        return read.setdefault(uuid, device)

    def write_back(store: Store, attempt_id: int, uuid: str, **named: Any) -> bool:
        old = read.pop(uuid)
        whole = {name: getattr(old, name) for name in DEVICE_COLUMNS if name != "uuid"}
        return succeed_update(store, attempt_id, uuid, **{**whole, **named})

    _plant(updating, "device_of", remember)
    _plant(Store, "succeed_update", write_back)


def _journal_after_first_byte() -> None:
    """An attempt is journalled once bytes have moved."""
    from enmctl.gateway import attempts, updating
    from enmctl.models import Step

    attempt = attempts.attempt

    @asynccontextmanager
    async def late(*words: Any) -> AsyncGenerator[Any]:
        journal = _Late(lambda: attempt(*words))
        try:
            yield journal
        finally:
            await journal.close()

    class _Late:
        in_doubt = True

        def __init__(self, begin: Callable[[], Any]) -> None:
            self._begin = begin
            self._context: Any = None
            self._journal: Any = None

        async def note(self, step: Step) -> None:
            if step.done:
                await (await self._begun()).note(step)

        async def succeed(self, *words: Any, **named: Any) -> None:
            await (await self._begun()).succeed(*words, **named)

        async def close(self) -> None:
            if self._context is not None:
                await self._context.__aexit__(None, None, None)

        async def _begun(self) -> Any:
            if self._context is None:
                self._context = self._begin()
                self._journal = await self._context.__aenter__()
            return self._journal

    _plant(updating, "attempt", late)


def _provisioning_not_journalled() -> None:
    """A device is asked for, and nothing tells the next start so."""
    from enmctl.store import Store

    _plant(Store, "begin_provisioning", lambda *_: True)


def _foreign_lock_removed() -> None:
    """An update lock that is there at the start is taken for a left-over, whosever it is."""
    from enmctl.gateway.update_lock import UpdateLock

    async def clear(lock: UpdateLock, *, at_start: bool = False) -> bool:
        for path in lock._paths() if at_start else []:
            path.unlink(missing_ok=True)
        return False

    _plant(UpdateLock, "clear_leftovers", clear)


def _any_lock_known() -> None:
    """An update lock that nobody has flocked is taken for a killed command's, whosever it is."""
    from enmctl.store import Store

    _plant(Store, "knows_lock", lambda _, lock_id: bool(lock_id))


def _gone_ignored() -> None:
    """404 and 410 to a report count as told."""
    from enmctl.sources.supervisor import SupervisorSource

    _plant(SupervisorSource, "_check_told", staticmethod(lambda *_: None))


def _environment_not_put_back() -> None:
    """Reports leave the environment out."""
    from dataclasses import replace

    from enmctl.gateway import decide, standing
    from enmctl.models import Report

    full_report = decide.full_report

    def without(*words: Any, **named: Any) -> Report:
        return replace(full_report(*words, **named), environment=None)

    _plant(decide, "full_report", without)
    _plant(standing, "full_report", without)


def _list_number_forgotten() -> None:
    """Lists are numbered anew at each start, from the last one that brought news."""
    from enmctl.gateway import gateway

    _plant(gateway, "_last_serial", lambda store: int(store.meta("list_serial") or 0))


def _attempts_left_running() -> None:
    """What a kill left in the journal stays as it was."""
    from enmctl.store import Store

    _plant(Store, "interrupt_running", lambda *_: [])


PLANTS: dict[str, Callable[[], None]] = {
    "done-before-return": _done_before_return,
    "row-written-back": _row_written_back,
    "journal-after-first-byte": _journal_after_first_byte,
    "provisioning-not-journalled": _provisioning_not_journalled,
    "foreign-lock-removed": _foreign_lock_removed,
    "any-lock-known": _any_lock_known,
    "gone-ignored": _gone_ignored,
    "environment-not-put-back": _environment_not_put_back,
    "list-number-forgotten": _list_number_forgotten,
    "attempts-left-running": _attempts_left_running,
}
"""What plants each fault, by its name; for the life of the process."""


def _plant(place: object, name: str, fault: object) -> None:
    patch.object(place, name, fault).start()
