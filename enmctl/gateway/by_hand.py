"""Work on boards without a running gateway: found, worked on and journalled by the command that asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from enmctl.boards.contract import Firmware
from enmctl.errors import EnmError, FirmwareError, UnsettledError
from enmctl.gateway.decide import commit_of
from enmctl.gateway.half_way import not_done, runs_what_it_ran
from enmctl.gateway.jobs import Target
from enmctl.gateway.lookout import Bench
from enmctl.models import AttemptKind, Outcome, Proof, Stage, Step, short
from enmctl.store import Store, StoreThread


async def flash(bench: Bench, target: Target, file: Path, *, hold: bool) -> AsyncGenerator[Step, None]:
    """Put a firmware file on a board; ends with ``Stage.DONE``.

    Raises:
        FirmwareError: the file cannot be sent to this board.
        EnmError: what a driver's ``update`` raises.
    """
    yield Step(Stage.CHECKING)
    firmware = await asyncio.to_thread(target.driver.read_firmware, file, target.config)
    if firmware.board_type != target.board.board_type:
        raise FirmwareError(f"{file.name} is for {firmware.board_type}, and {target.board.name} is none")
    async with (
        _journalled(bench, target, AttemptKind.FLASH, firmware.size) as journal,
        aclosing(_transferred(bench, target, firmware, journal)) as steps,
    ):
        async for step in steps:
            if step.stage is not Stage.DONE:
                yield step
                continue
            await journal.succeed(step, held=target.device.target_commit if target.device and hold else None)
            yield replace(step, note=_what_follows(target, hold=hold))


async def _transferred(
    bench: Bench, target: Target, firmware: Firmware, journal: _Journal
) -> AsyncGenerator[Step, None]:
    """The driver's steps, within the limit of one attempt, each journalled before it is told."""
    try:
        async with aclosing(_within_limit(bench, target, firmware, journal)) as steps:
            async for step in steps:
                await journal.note(step)
                yield step
    except (EnmError, asyncio.CancelledError, GeneratorExit) as error:
        if (
            journal.is_open
            and journal.in_doubt
            and await runs_what_it_ran(target.driver, target.board, error, journal.last)
        ):
            journal.in_doubt = False
        raise


async def _within_limit(
    bench: Bench, target: Target, firmware: Firmware, journal: _Journal
) -> AsyncGenerator[Step, None]:
    limit = bench.settings.update_timeout
    deadline = asyncio.get_running_loop().time() + limit
    async with aclosing(target.driver.update(target.board, firmware, target.config)) as steps:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    step = await anext(steps, None)
            except TimeoutError:
                raise not_done(target.board, limit, journal.last) from None
            if step is None:
                return
            yield step


async def restart(bench: Bench, target: Target) -> AsyncGenerator[Step, None]:
    """Restart a board and wait until it is back; ends with ``Stage.DONE``."""
    async with _journalled(bench, target, AttemptKind.RESTART, 0) as journal:
        yield Step(Stage.ACTIVATING)
        note = await target.driver.restart(target.board, target.config)
        await journal.end(Outcome.SUCCEEDED)
    yield Step(Stage.DONE, note=note)


async def identify(target: Target) -> AsyncGenerator[Step, None]:
    """Make a board show itself; ends with ``Stage.DONE``."""
    await target.driver.identify(target.board, target.config)
    yield Step(Stage.DONE)


def _what_follows(target: Target, *, hold: bool) -> str:
    if target.device is None or target.device.wanted_commit is None:
        return ""
    if hold:
        return "a gateway leaves it alone until its target changes"
    return f"a gateway will put {short(target.device.wanted_commit)} back; --hold keeps it from that"


class _Journal:
    """The journal's row of one attempt by hand, where the board is a known device.

    ``last`` is the step that was noted last; ``in_doubt`` tells whether the board may run something else by now.
    """

    def __init__(self, store: StoreThread | None, target: Target, row: int | None) -> None:
        self._store = store
        self._target = target
        self._row = row
        self._began = asyncio.get_running_loop().time()
        self._stage: Stage | None = None
        self._sent = 0
        self.is_open = row is not None
        self.last: Step | None = None
        self.in_doubt = False

    async def note(self, step: Step) -> None:
        """Write down the beginning of a stage."""
        self.last = step
        if step.stage is Stage.TRANSFERRING:
            self._sent = step.done
            self.in_doubt = True
        if self._store is None or self._row is None or step.stage in (self._stage, Stage.DONE):
            return
        self._stage = step.stage
        seconds = asyncio.get_running_loop().time() - self._began
        await self._store.call(Store.set_stage, self._row, step.stage, round(seconds, 3))

    async def end(self, outcome: Outcome, *, reason: str = "", message: str = "", proof: Proof | None = None) -> None:
        """Write down how it went."""
        if self._store is None or self._row is None or not self.is_open:
            return
        self.is_open = False
        await self._store.call(
            Store.end_attempt,
            self._row,
            outcome,
            ended_at=time.time(),
            proof=proof,
            reason=reason,
            message=message,
            sent=self._sent,
            in_doubt=self.in_doubt and outcome is not Outcome.SUCCEEDED,
        )

    async def succeed(self, step: Step, *, held: str | None) -> None:
        """Write down success, and what the device runs now: its commit, where the board tells one."""
        device = self._target.device
        if self._store is None or self._row is None or device is None:
            return
        self.is_open = False
        await self._store.call(
            Store.succeed_update,
            self._row,
            device.uuid,
            ended_at=time.time(),
            proof=step.proof or Proof.RETURN_ALONE,
            commit=commit_of(step.version),
            sent=self._sent,
            held_target=held,
        )


@asynccontextmanager
async def _journalled(bench: Bench, target: Target, kind: AttemptKind, size: int) -> AsyncGenerator[_Journal]:
    """Journal an attempt before its first byte where the board is a known device; after, its end is written down."""
    store, device, row = bench.store, target.device, None
    if store is not None and device is not None:
        row = await store.call(Store.begin_attempt, kind, target.key, device.uuid, None, size, time.time())
    journal = _Journal(store, target, row)
    try:
        yield journal
    except (asyncio.CancelledError, GeneratorExit):
        await asyncio.shield(journal.end(Outcome.INTERRUPTED, reason="stopped", message="the command was stopped"))
        raise
    except EnmError as error:
        outcome = Outcome.UNKNOWN if isinstance(error, UnsettledError) else Outcome.FAILED
        await journal.end(outcome, reason=error.reason, message=str(error))
        raise
    except Exception as error:
        await journal.end(Outcome.FAILED, reason="bug", message=repr(error))
        raise
