"""Work on boards that a person asks for: through the running gateway, or directly where none runs.

Several boards are worked on at once. One that fails stops no other; the exit code is that of the first that failed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence

import typer

from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.cli.showing import progress
from enmctl.cli.wanted import Results, Wanted, read_whole
from enmctl.errors import BusyError, EnmError, UsageError
from enmctl.gateway.at_work import client_of_running
from enmctl.gateway.client import GatewayClient
from enmctl.gateway.control import Job, JobKind
from enmctl.models import GatewayStatus, Step

LOOK = 0.5
"""Seconds between two looks whether Ctrl-C was pressed; on Windows a wait does not end for it."""


def carry_out(call: Call, wanted: Wanted) -> None:
    """Do what is wanted, show how it goes, and exit with the code of the first failure.

    Raises:
        EnmError: nothing could be done, or the only board failed.
    """
    call.log_warnings()
    if not all(word.strip() for word in wanted.words):
        raise UsageError("a board was named by an empty word", remedy="enmctl devices lists the names")
    client = _working_gateway(call, wanted)
    with progress(call.output) as shown:
        if client is not None:
            results = _through_gateway(call, client, wanted, shown)
        else:
            from enmctl.cli.direct import work

            results = asyncio.run(work(call, wanted, shown))
    failures = [(board, error) for board, error in results if error is not None]
    if not failures:
        return
    if len(results) == 1:
        raise failures[0][1]
    for board, error in failures:
        call.output.error(error, about=board)
    raise typer.Exit(int(failures[0][1].exit_code))


def _working_gateway(call: Call, wanted: Wanted) -> GatewayClient | None:
    """The gateway that is to do it; a paused one leaves the radios, and so work on boards, to us.

    Devices are made by the gateway that has the database, or by nobody. What is only to be said needs no gateway.
    """
    client = None if call.simulate or wanted.dry_run else client_of_running(call.settings)
    if client is None or client.status().current is GatewayStatus.RUNNING or wanted.kind is JobKind.PROVISION:
        return client
    call.output.say("the gateway is paused, so this goes directly to the board")
    return None


def _through_gateway(call: Call, client: GatewayClient, wanted: Wanted, shown: Progress) -> Results:
    if wanted.access:
        raise BusyError(
            "the running gateway takes user, password and path from a board's config alone:"
            f" {', '.join(sorted(wanted.access))}",
            remedy="set them there, or first: enmctl pause",
            reason="gateway-runs",
        )
    words = list(dict.fromkeys(wanted.words)) or _unnamed(call, wanted)
    firmware, name = b"", ""
    if wanted.file is not None:
        firmware, name = read_whole(wanted.file, call.settings.asset_max_size)
    jobs = [Job(wanted.kind, word, firmware, name, wanted.hold, wanted.manner) for word in words]
    try:
        return _Errands(client, shown).run(jobs)
    except KeyboardInterrupt:
        call.output.say("the gateway goes on with it; enmctl history tells how it ends")
        raise


def _unnamed(call: Call, wanted: Wanted) -> list[str]:
    from enmctl.cli.direct import find_unnamed

    return asyncio.run(find_unnamed(call, wanted))


class _Errands:
    """Jobs that a gateway does at the same time, each asked for in a thread of its own.

    The threads end with the program, so that Ctrl-C waits for no answer; the gateway goes on all the same.
    """

    def __init__(self, client: GatewayClient, shown: Progress) -> None:
        self._client = client
        self._shown = shown
        self._news: queue.SimpleQueue[tuple[str, Step | EnmError | BaseException | None]] = queue.SimpleQueue()

    def run(self, jobs: Sequence[Job]) -> Results:
        """Have them all done, and show how it goes."""
        for job in jobs:
            threading.Thread(target=self._ask, args=(job,), daemon=True).start()
        ended: dict[str, EnmError | None] = {}
        while len(ended) < len(jobs):
            try:
                board, news = self._news.get(timeout=LOOK)
            except queue.Empty:
                continue
            if isinstance(news, Step):
                self._shown.step(board, news)
            elif isinstance(news, EnmError):
                self._shown.failed(board, news)
                ended[board] = news
            elif news is None:
                ended[board] = None
            else:
                raise news
        return [(job.board, ended[job.board]) for job in jobs]

    def _ask(self, job: Job) -> None:
        """Hand on the news of one job, the last of it None or what went wrong."""
        try:
            for step in self._client.work(job):
                self._news.put((job.board, step))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever reads the news
            self._news.put((job.board, error))
        else:
            self._news.put((job.board, None))
