"""Kills gateways with ``kill -9`` at random moments of rollouts, and looks whether all is well in the end.

::

    python -m tests.real.gateway.killing --rounds 200 --seed 1
    python -m tests.real.gateway.killing --rounds 1 --seed 57      the 57th of them again

A round is one simulated world and one to three gateways, each a process that is killed when something happens in the
world: a device was inserted and not answered yet, a byte reached a board, a board is back. The last gateway is left
alone. Then every board must run its target, and there must be as many devices as boards. The seed plans a round; how
the processes race in it is the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enmctl.models import Outcome
from enmctl.simulator.ports import HeldPort
from enmctl.store import Store
from tests.real.gateway.moments import MOST_BOARDS, SIZE, Moment
from tests.real.gateway.noticing import notice, notice_board
from tests.real.gateway.process import Process, end, running_process
from tests.real.gateway.rig import Rig, rig

BOARD: dict[str, Any] = {"flash_speed": 1_000_000.0, "reboot_time": 0.3}

SETTINGS: dict[str, Any] = {
    "provision_settle": 0.5,
    "supervisor_timeout": 2.0,
    "answer_timeout": 2.0,
    "stall_timeout": 2.0,
    "retry_delay": 0.1,
    "retry_delay_most": 0.5,
}

TELLS_NOTHING = FAILS = 0.25
"""How many of the boards have firmware that tells no version; and how many fail once, as do reports."""

PUSHED = 0.4
"""How often a new commit comes while a gateway lives."""

NEVER_CAME = 10.0
"""Seconds after its start at which a gateway is killed whose moment did not come; once all is at rest, at once."""

AT_REST_WITHIN = 60.0
"""Seconds in which the last gateway brings all to rest, on a machine that is busy with other tests."""

STOPS_WITHIN = 10.0
"""Seconds that an orderly stop may take."""


@dataclass
class Round:
    """What became of one round."""

    seed: int
    kills: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    scenes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    boards: int = 0
    seconds: float = 0.0
    log: str = ""

    def __str__(self) -> str:
        result = "ok" if not self.problems else "FAILED: " + "; ".join(self.problems)
        return (
            f"seed {self.seed}: {self.boards} boards, {self.seconds:4.1f} s, killed: {', '.join(self.kills)}: {result}"
        )


class World:
    """One round's world, which knows how much has happened in it and whether it was lied to."""

    def __init__(self, world: Rig, chance: random.Random, result: Round) -> None:
        self.rig = world
        self.chance = chance
        self.result = result
        self.look: Callable[[], None] = lambda: None
        self.watching = True
        notice(world, self._changed)

    async def add_board(self) -> None:
        """One more board, of which some tell nothing and some fail."""
        board = await self.rig.add_board(contract=self.chance.random() > TELLS_NOTHING, **BOARD)
        notice_board(board, self._changed)
        if self.chance.random() < FAILS:
            board.break_with(self.chance.choice(("answer-lost", "silent-after-upload", "reset-mid-upload")))
        self.result.boards += 1

    def disturb(self) -> None:
        """Let some answers get lost, and the cloud be slow, or not."""
        supervisor = self.rig.supervisor
        supervisor.cloud_delay = self.chance.choice((0.0, 0.0, 0.05, 0.3))
        fault = self.chance.choice((None, None, "lost-answer", "no-answer", "503", "cut-halfway", "late-insert"))
        if fault == "late-insert":
            supervisor.fail("provision", fault, times=1, delay=0.15)
        elif fault is not None:
            supervisor.fail("provision", fault, times=self.chance.randint(1, 2))
        if self.chance.random() < FAILS:
            supervisor.fail(
                "report", self.chance.choice(("lost-answer", "503", "500")), times=self.chance.randint(1, 3)
            )

    def push(self) -> None:
        """Release a new commit."""
        self.rig.push(size=SIZE)

    def is_at_rest(self, since: float) -> bool:
        """Whether all is done, and a gateway that was started then has told so."""
        supervisor = self.rig.supervisor
        told = {request.path for request in supervisor.requests if request.method == "PUT" and request.time > since}
        if len(supervisor.devices) != len(self.rig.boards):
            return False
        return len(told) >= len(supervisor.devices) and self.rig.on_target() and supervisor.hooks_at_rest()

    def scene(self) -> str:
        """What was going on, for the count of where gateways were killed."""
        if any(board.uploading for board in self.rig.boards):
            return "an image under way"
        if any(board.state == "starting" for board in self.rig.boards):
            return "a board restarting"
        if any(request.method == "POST" and request.status is None for request in self.rig.supervisor.requests):
            return "a device asked for"
        return "all at rest" if self.is_at_rest(0.0) else "in between"

    def _changed(self) -> None:
        if not self.watching:
            return
        supervisor, boards = self.rig.supervisor, self.rig.boards
        newest = supervisor.applications[self.rig.app].commit
        told = sum(row.commit == newest for row in supervisor.devices.values()) if newest is not None else 0
        there = sum(board.fw == newest and board.state == "running" for board in boards) if told else 0
        if told > there:
            self._blame(f"{told} devices were reported on the newest commit while {there} boards ran it")
        if supervisor.inserted > len(boards):
            self._blame(f"{supervisor.inserted} devices were made of {len(boards)} boards")
        self.look()

    def _blame(self, problem: str) -> None:
        if problem not in self.result.problems:
            self.result.problems.append(problem)


async def play(seed: int, folder: Path) -> Round:
    """One round, all of it in ``folder``."""
    result = Round(seed)
    began = time.monotonic()
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(rig(folder, null_names=chance.random() < 0.5, poll_interval=0.3))
        port = HeldPort("127.0.0.1")
        stack.callback(port.release)
        made.supervisor.hook_address = f"http://127.0.0.1:{port.port}/v1/devices/"
        environment = made.environment(api_port=port.port, **SETTINGS)
        world = World(made, chance, result)
        for _ in range(chance.randint(1, MOST_BOARDS)):
            await world.add_board()
        world.push()
        log = folder / "gateway.log"
        for _ in range(chance.randint(1, 3)):
            if not result.problems:
                await _live_and_die(world, Moment.any(chance), environment, log)
        try:
            await _live(world, environment, log)
        except TimeoutError as error:
            result.problems.append(str(error))
        _judge(world)
        world.watching = False
        result.log = log.read_text(errors="replace")
    result.seconds = time.monotonic() - began
    return result


async def _live_and_die(world: World, moment: Moment, environment: dict[str, str], log: Path) -> None:
    """One gateway from its start to its kill."""
    chance, made = world.chance, world.rig
    world.disturb()
    if made.on_target() and chance.random() < PUSHED:
        world.push()
    while not moment.fits(made):
        await world.add_board()
    loop = asyncio.get_running_loop()
    async with running_process(environment, "run", log=log) as gateway:
        killing = _Killing(world, gateway, moment)
        world.look = killing.look
        pushing = loop.call_later(chance.uniform(0.3, 1.5), world.push) if chance.random() < PUSHED else None
        try:
            async with asyncio.timeout(NEVER_CAME):
                await gateway.wait()
        except TimeoutError:
            killing.kill("never came: ")
            await gateway.wait()
        finally:
            world.look = lambda: None
            if pushing is not None:
                pushing.cancel()
        if not killing.done:
            world.result.problems.append(f"a gateway ended by itself with {gateway.returncode}")


class _Killing:
    """Kills one gateway at its moment."""

    def __init__(self, world: World, gateway: Process, moment: Moment) -> None:
        self.done = False
        self._world = world
        self._gateway = gateway
        self._moment = moment
        self._planned = False
        self._began = asyncio.get_running_loop().time()
        event = moment.event
        self._number = 0 if event is None else event.count(world.rig) + moment.number
        if event is None:
            self._plan()

    def look(self) -> None:
        """Kill at once where the moment is now, or can come no more."""
        event = self._moment.event
        if event is None or self._planned:
            return
        if event.count(self._world.rig) >= self._number:
            self._plan()
        elif self._world.is_at_rest(self._began):
            self.kill("never came: ")

    def _plan(self) -> None:
        self._planned = True
        if self._moment.delay:
            asyncio.get_running_loop().call_later(self._moment.delay, self.kill)
        else:
            self.kill()

    def kill(self, how: str = "") -> None:
        """Kill it now, once."""
        if self.done or self._gateway.returncode is not None:
            return
        self.done = True
        self._gateway.kill()
        result = self._world.result
        result.kills.append(f"{how}{self._moment}")
        result.kinds[f"{how}{self._moment.kind}"] += 1
        result.scenes[self._world.scene()] += 1


async def _live(world: World, environment: dict[str, str], log: Path) -> None:
    """The last gateway, which nobody kills: it brings all to rest, and stops when it is told to."""
    supervisor = world.rig.supervisor
    supervisor.heal()
    supervisor.cloud_delay = 0.0
    began = asyncio.get_running_loop().time()

    async with running_process(environment, "run", log=log) as gateway:
        await world.rig.wait_for(lambda: bool(world.result.problems) or world.is_at_rest(began), AT_REST_WITHIN)
        gateway.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN):
                await gateway.wait()
        except TimeoutError:
            world.result.problems.append(f"the last gateway did not stop within {STOPS_WITHIN:g} s")
            await end(gateway)
        if gateway.returncode != 0:
            world.result.problems.append(f"the last gateway ended with {gateway.returncode}")


def _judge(world: World) -> None:
    """Compare what all sides know in the end."""
    made, problems = world.rig, world.result.problems
    supervisor, boards = made.supervisor, made.boards
    newest = supervisor.applications[made.app].commit
    if not len(supervisor.devices) == supervisor.inserted == len(boards):
        problems.append(f"{len(supervisor.devices)} devices, {supervisor.inserted} inserted, {len(boards)} boards")
    problems += [f"board {board.local_id} is {board.state}" for board in boards if board.state != "running"]
    problems += [f"board {board.local_id} runs {board.fw[:8]}" for board in boards if board.fw != newest]
    with Store.open(made.settings().database) as store:
        known = {device.local_id: device.uuid for device in store.devices()}
        if known.keys() != {board.local_id for board in boards} or {*known.values()} != supervisor.devices.keys():
            problems.append("the database and the world do not agree on which board is which device")
        left = [attempt.id for attempt in store.attempts(limit=1000) if attempt.outcome is Outcome.RUNNING]
        problems += [f"attempt {number} still runs" for number in left]
        problems += [f"board {pending.key.local_id} is still being provisioned" for pending in store.pending()]
    if made.settings().lock_file.exists():
        problems.append("the update lock is still there")


async def rounds(first: int, count: int, at_once: int) -> AsyncGenerator[Round]:
    """So many rounds, as they end."""
    places = asyncio.Semaphore(at_once)

    async def one(seed: int) -> Round:
        async with places:
            with tempfile.TemporaryDirectory(prefix="killing-") as folder:
                return await play(seed, Path(folder))

    for ended in asyncio.as_completed([one(first + number) for number in range(count)]):
        yield await ended


async def _play_all(first: int, count: int, at_once: int) -> bool:
    kinds: Counter[str] = Counter()
    scenes: Counter[str] = Counter()
    failed = 0
    async for ended in rounds(first, count, at_once):
        _say(str(ended))
        kinds += ended.kinds
        scenes += ended.scenes
        if ended.problems:
            failed += 1
            _say("  " + "\n  ".join(ended.log.splitlines()[-40:]))
    _say(f"{kinds.total()} gateways were killed when")
    for name, number in kinds.most_common():
        _say(f"{number:6} {name}")
    _say("in these scenes:")
    for name, number in scenes.most_common():
        _say(f"{number:6} {name}")
    _say(f"seed {first}: {count - failed} passed, {failed} failed")
    return not failed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Play the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first round")
    parser.add_argument("--at-once", type=int, default=1, help="rounds that are played at the same time")
    words = parser.parse_args()
    sys.exit(0 if asyncio.run(_play_all(words.seed, words.rounds, words.at_once)) else 1)


if __name__ == "__main__":
    main()
