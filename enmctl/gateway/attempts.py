"""One try at one board, journalled before its first byte and ended with how it went, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from enmctl.errors import BusyError, EnmError, StoreError, UnsettledError
from enmctl.gateway.crew import Crew
from enmctl.models import AttemptKind, BoardKey, Outcome, Proof, Stage, Step
from enmctl.store import Store

LOG = logging.getLogger(__name__)


class Journal:
    """The journal's row of one running attempt.

    Attributes:
        sent: bytes that moved.
        is_open: whether its end is still to be written down.
        in_doubt: whether the board may run something else by now than it did; whoever knows better says so.
    """

    def __init__(self, crew: Crew, attempt_id: int) -> None:
        self._crew = crew
        self._id = attempt_id
        self._began = asyncio.get_running_loop().time()
        self._stage: Stage | None = None
        self.sent = 0
        self.is_open = True
        self.in_doubt = False

    async def note(self, step: Step) -> None:
        """Write down the beginning of a stage; how many bytes moved is written at the end alone.

        Before the first byte nothing may begin that cannot be written down; after it a full disk is no reason to leave
        a board half-way.
        """
        if step.stage is Stage.TRANSFERRING:
            self.sent = step.done
            self.in_doubt = True
        if step.stage is self._stage or step.stage is Stage.DONE:
            return
        self._stage = step.stage
        seconds = asyncio.get_running_loop().time() - self._began
        try:
            await self._crew.store.call(Store.set_stage, self._id, step.stage, round(seconds, 3))
        except StoreError as error:
            if not self.sent:
                raise
            LOG.warning("the journal lacks a stage of a running update: %s", error)

    async def end(self, outcome: Outcome, *, proof: Proof | None = None, reason: str = "", message: str = "") -> None:
        """Write down how it went, and that it is not known what the device runs where that is in doubt."""
        self.is_open = False
        await self._crew.store.call(
            Store.end_attempt,
            self._id,
            outcome,
            ended_at=self._crew.now(),
            proof=proof,
            reason=reason,
            message=message,
            sent=self.sent,
            in_doubt=self.in_doubt and outcome is not Outcome.SUCCEEDED,
        )

    async def succeed(self, uuid: str, *, proof: Proof, commit: str | None, held_target: str | None) -> None:
        """Write down success and what the device runs now, both or neither."""
        self.is_open = False
        try:
            await self._crew.store.call(
                Store.succeed_update,
                self._id,
                uuid,
                ended_at=self._crew.now(),
                proof=proof,
                commit=commit,
                sent=self.sent,
                held_target=held_target,
            )
        except StoreError as error:
            self.is_open = error.reason != "stuck"  # that may still come about
            raise
        self._crew.came_at[uuid] = asyncio.get_running_loop().time()


@asynccontextmanager
async def attempt(
    crew: Crew, kind: AttemptKind, key: BoardKey, uuid: str | None, commit: str | None
) -> AsyncGenerator[Journal]:
    """Journal an attempt: within, it runs; after, its end is written down.

    An error ends it as failed (as unknown where only looking again can tell, as interrupted where the gateway paused
    or stopped) and is raised on.
    """
    row = await crew.store.call(Store.begin_attempt, kind, key, uuid, commit, 0, crew.now())
    journal = Journal(crew, row)
    try:
        yield journal
    except asyncio.CancelledError:
        if journal.is_open:
            reason = crew.gate.closed_by
            message = f"the gateway {'was paused' if reason == 'paused' else 'stopped'}"
            await asyncio.shield(journal.end(Outcome.INTERRUPTED, reason=reason, message=message))
        raise
    except EnmError as error:
        if journal.is_open:
            await journal.end(outcome_of(error), reason=error.reason, message=str(error))
        raise
    except Exception as error:
        if journal.is_open:
            await journal.end(Outcome.FAILED, reason="bug", message=repr(error))
        raise


def outcome_of(error: EnmError) -> Outcome:
    """How an attempt that raised this has ended."""
    if isinstance(error, BusyError):
        return Outcome.INTERRUPTED
    return Outcome.UNKNOWN if isinstance(error, UnsettledError) else Outcome.FAILED
