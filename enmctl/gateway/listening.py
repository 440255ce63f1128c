"""Listening to the source: what should be, fetched again and again, for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from enmctl.errors import EnmError, FleetError, SourceAwayError
from enmctl.gateway.signals import Signals
from enmctl.models import Desired
from enmctl.settings import Settings
from enmctl.sources.contract import Source

LOG = logging.getLogger(__name__)

SAY_AGAIN = 60.0
"""Seconds between two lines that say that the source is still away."""


class Listening:
    """Keeps the source's last answer.

    Args:
        source: whom to ask.
        settings: how often.
        signals: its ``ask`` has the source asked at once.
        heard: called, in the loop, with each answer that differs from the one before.
        unchanged: called with the time (of the loop's clock) at which was asked what brought the same answer again.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        signals: Signals,
        *,
        heard: Callable[[Desired], None],
        unchanged: Callable[[float], None],
    ) -> None:
        self._source = source
        self._settings = settings
        self._heard = heard
        self._unchanged = unchanged
        self._ask_now = signals.ask
        self._asking = asyncio.Lock()
        self._said_at: float | None = None
        self._away_since: float | None = None
        self.problem: EnmError | None = None
        self.has_heard = False

    async def run(self) -> None:
        """Ask for ever; never raises but on cancellation."""
        while True:
            self._ask_now.clear()
            try:
                await self.ask()
            except EnmError:
                delay = self._settings.supervisor_check_delay
            except Exception:
                LOG.exception("the source's answer could not be taken up; this is a bug in enmctl")
                delay = self._settings.loop_delay
            else:
                delay = self._settings.loop_delay
            try:
                async with asyncio.timeout(delay):
                    await self._ask_now.wait()
            except TimeoutError:
                continue

    async def ask(self) -> None:
        """Ask once, and take up the answer. Raises the source's errors, said once a minute."""
        async with self._asking:
            asked_at = asyncio.get_running_loop().time()
            try:
                desired = await self._source.fetch()
            except EnmError as error:
                self._is_away(error)
                raise
            self._is_back()
            if desired is None:
                self._unchanged(asked_at)
            else:
                self.has_heard = True
                self._heard(desired)

    def _is_away(self, error: EnmError) -> None:
        now = asyncio.get_running_loop().time()
        self._away_since = now if self._away_since is None else self._away_since
        changed = self.problem is None or self.problem.reason != error.reason
        is_due = self._said_at is None or now - self._said_at >= SAY_AGAIN
        if isinstance(error, FleetError):  # a file that is wrong stays so until somebody changes it: said once
            changed, is_due = self.problem is None or str(self.problem) != str(error), False
        self.problem = error
        if is_due or changed:
            self._said_at = now
            since = now - self._away_since
            waited = f" (for {since:.0f} s now)" if since >= 1 else ""
            level = logging.INFO if isinstance(error, SourceAwayError) and not since else logging.WARNING
            what = "the last fleet file stays in force" if isinstance(error, FleetError) else "no desired state"
            LOG.log(level, "%s%s: %s", what, waited, error)

    def _is_back(self) -> None:
        if self._away_since is not None:
            is_right = isinstance(self.problem, FleetError)
            LOG.info("the fleet file is right again" if is_right else "the source answers again")
        self.problem = None
        self._away_since = None
        self._said_at = None
