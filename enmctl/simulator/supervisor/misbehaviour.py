"""Carrying a request out wrongly, as the fault that befalls it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from enmctl.simulator.supervisor.answers import Answer, Exchange
from enmctl.simulator.supervisor.faults import Fault, FaultName

Act = Callable[[], Awaitable[Answer]]
"""Carries the request out, and says what the answer is."""

_GARBAGE = b"\x00\xff\xfe{[<garbage>" * 64

_STATUSES = {
    FaultName.UNAUTHORIZED: (401, "Unauthorized"),
    FaultName.NOT_FOUND: (404, "Not found"),
    FaultName.ERROR: (500, "Internal Server Error"),
    FaultName.UNAVAILABLE: (503, "Service Unavailable"),
}

_HALFWAY_ENDS = {
    FaultName.CUT_HALFWAY: "cut",
    FaultName.RESET_HALFWAY: "reset",
    FaultName.STALL_HALFWAY: "stall",
}


async def misbehave(fault: Fault | None, exchange: Exchange, act: Act) -> None:
    """Answer the request as it deserves, or, with a fault, as the fault says."""
    if fault is None or not await _without_acting(fault, exchange):
        await _after_acting(fault, exchange, act)


async def _without_acting(fault: Fault, exchange: Exchange) -> bool:
    """Let the fault befall a request that is not carried out; false where it is one that comes later."""
    match fault.name:
        case FaultName.UNAUTHORIZED | FaultName.NOT_FOUND | FaultName.ERROR | FaultName.UNAVAILABLE:
            await exchange.answer(Answer.of_text(*_STATUSES[fault.name]))
        case FaultName.LOST | FaultName.RESET:
            await exchange.drop(reset=fault.name is FaultName.RESET)
        case FaultName.SILENT:
            await exchange.keep_silent()
        case FaultName.GARBAGE:
            await exchange.answer(Answer(200, _GARBAGE, "application/json"))
        case FaultName.ENDLESS:
            await exchange.answer_without_end(Answer(200, b"[ " * 512, "application/json"), fault.size)
        case FaultName.REDIRECT:
            await exchange.answer(Answer(307, headers={"Location": fault.to}))
        case FaultName.ANSWER:
            await exchange.answer(_given(fault.status, fault.body))
        case _:
            return False
    return True


async def _after_acting(fault: Fault | None, exchange: Exchange, act: Act) -> None:
    if fault is None:
        await exchange.answer(await act())
        return
    if fault.name is FaultName.SLOW:
        await asyncio.sleep(fault.delay)
    answer = await act()
    match fault.name:
        case FaultName.LOST_ANSWER | FaultName.LATE_INSERT:
            await exchange.drop()
        case FaultName.NO_ANSWER:
            await exchange.keep_silent()
        case FaultName.CUT_HALFWAY | FaultName.RESET_HALFWAY | FaultName.STALL_HALFWAY:
            await exchange.answer_half(answer, _HALFWAY_ENDS[fault.name])
        case FaultName.WRONG_SHAPE | FaultName.NULL | FaultName.NUMBERS_AS_STRINGS:
            await exchange.answer(_reshaped(answer, fault.name))
        case _:
            await exchange.answer(answer)


def _given(status: int, body: Any) -> Answer:
    match body:
        case bytes():
            return Answer(status, body)
        case str():
            return Answer.of_text(status, body)
        case _:
            return Answer.of_json(status, body)


def _reshaped(answer: Answer, name: FaultName) -> Answer:
    if not answer.content_type.startswith("application/json"):
        return answer
    value = json.loads(answer.body)
    if name is FaultName.NULL:
        wrong: Any = None
    elif name is FaultName.NUMBERS_AS_STRINGS:
        wrong = _numbers_as_strings(value)
    else:
        wrong = {"d": value} if isinstance(value, list) else [value]
    return replace(answer, body=json.dumps(wrong).encode())


def _numbers_as_strings(value: Any) -> Any:
    match value:
        case dict():
            return {name: _numbers_as_strings(item) for name, item in value.items()}
        case list():
            return [_numbers_as_strings(item) for item in value]
        case bool() | None | str():
            return value
        case _:
            return str(value)
