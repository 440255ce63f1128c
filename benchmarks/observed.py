"""A gateway that tells what each of its passes cost: ``python -m benchmarks.observed``, set up by the environment.

It is the gateway that ``enmctl run`` runs. After each pass one line of JSON goes to standard output: see ``Pass`` in
``benchmarks.gateways``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.gateways import Pass, resident
from enmctl.gateway.actions import Action
from enmctl.gateway.gateway import Gateway
from enmctl.gateway.listening import Listening
from enmctl.gateway.reach import ON_LOOPBACK
from enmctl.gateway.run import run
from enmctl.library.reaching import reach_of
from enmctl.settings import Settings


def observe() -> None:
    """Have each pass and each question for the list timed, and passes told of."""
    turn, ask = Gateway.turn, Listening.ask
    asked = 0.0

    async def timed_ask(listening: Listening) -> None:
        nonlocal asked
        started_at = time.perf_counter()
        await ask(listening)
        asked = time.perf_counter() - started_at

    async def told_turn(gateway: Gateway) -> Sequence[Action]:
        nonlocal asked
        started_at = time.perf_counter()
        actions = await turn(gateway)
        made = Pass(
            turned=time.perf_counter() - started_at,
            asked=asked,
            actions=len(actions),
            resident=resident("self"),
            descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only how many
            tasks=len(asyncio.all_tasks()),
        )
        asked = 0.0
        sys.stdout.write(json.dumps(asdict(made)) + "\n")
        sys.stdout.flush()
        return actions

    Listening.ask = timed_ask  # type: ignore[method-assign, assignment]  # its loop looks it up for each question
    Gateway.turn = told_turn  # type: ignore[method-assign, assignment]  # likewise for each pass


if __name__ == "__main__":
    observe()
    settings = Settings.from_environment()
    asyncio.run(run(settings, reach=reach_of(settings) if settings.bluetooth_adapter else ON_LOOPBACK))
