"""The Teller on a virtual clock: order, merging, and a source that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from enmctl.errors import SourceAwayError, SourceGoneError, SourceRefusedError
from enmctl.gateway.telling import WAITING_MOST, Teller
from enmctl.models import DeviceStatus, Report

pytestmark = pytest.mark.looptime


class Listener:
    """A source that writes down what it is told and when; ``answers`` are raised one after the other first."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[float, str, dict[str, Any]]] = []
        self.seconds = 0.0

    async def report(self, uuid: str, report: Report) -> None:
        await asyncio.sleep(self.seconds)
        if self.answers:
            raise self.answers.pop(0)
        self.heard.append((asyncio.get_running_loop().time(), uuid, report.fields()))


@asynccontextmanager
async def telling(source: Listener, gone: list[str] | None = None) -> AsyncGenerator[Teller]:
    teller = Teller(source, now=lambda: 1000.0, gone=(gone if gone is not None else []).append)  # type: ignore[arg-type] # the one method that is used
    teller.start()
    try:
        yield teller
    finally:
        await teller.stop()


async def test_each_status_of_a_device_is_told_in_its_order() -> None:
    source = Listener()
    source.seconds = 0.1
    statuses = [DeviceStatus.DOWNLOADING, DeviceStatus.INSTALLING, DeviceStatus.STARTING, DeviceStatus.IDLE]
    async with telling(source) as teller:
        for status in statuses:
            teller.tell("a", Report(status=status))
        await teller.drained()
    assert [fields["status"] for _, _, fields in source.heard] == statuses


async def test_devices_are_told_of_at_the_same_time() -> None:
    source = Listener()
    source.seconds = 1.0
    async with telling(source) as teller:
        for uuid in "abcd":
            teller.tell(uuid, Report(is_online=True))
        await teller.drained()
    assert asyncio.get_running_loop().time() == 1.0


async def test_progress_that_nobody_heard_yet_gives_way_to_newer_progress() -> None:
    source = Listener()
    source.seconds = 1.0
    async with telling(source) as teller:
        for percent in range(0, 101, 10):
            teller.tell("a", Report(status=DeviceStatus.INSTALLING, download_progress=percent))
        await teller.drained()
    assert [fields["download_progress"] for _, _, fields in source.heard][-1] == 100
    assert len(source.heard) <= 2


async def test_what_was_to_be_told_while_the_source_was_away_is_told_later_and_once() -> None:
    source = Listener(SourceAwayError("the cloud is away"), SourceAwayError("still away"))
    async with telling(source) as teller:
        teller.tell("a", Report(status=DeviceStatus.INSTALLING, commit="x"))
        teller.tell("a", Report(status=DeviceStatus.IDLE))
        await teller.drained()
    assert source.heard == [(3.0, "a", {"status": DeviceStatus.IDLE, "commit": "x"})]


async def test_a_source_that_stays_away_costs_no_memory() -> None:
    source = Listener(*[SourceAwayError("away")] * 10_000)
    async with telling(source) as teller:
        for number in range(1000):
            teller.tell("a", Report(commit=str(number)))
            await asyncio.sleep(0.01)
        assert len(teller._waiting["a"]) <= WAITING_MOST


async def test_a_device_that_the_source_dropped_is_handed_on_and_not_told_of_again() -> None:
    gone: list[str] = []
    source = Listener(SourceGoneError("410"))
    async with telling(source, gone) as teller:
        teller.tell("a", Report(is_online=True))
        teller.tell("a", Report(is_online=False))
        await teller.drained()
        assert "a" not in teller.told
    assert gone == ["a"]
    assert source.heard == []


async def test_a_report_that_is_refused_does_not_hold_up_the_next() -> None:
    source = Listener(SourceRefusedError("400"))
    async with telling(source) as teller:
        teller.tell("a", Report(commit="bad"))
        teller.tell("a", Report(is_online=True))
        await teller.drained()
    assert [fields for _, _, fields in source.heard] == [{"is_online": True}]


async def test_what_was_told_is_the_sum_of_all_reports_without_progress() -> None:
    async with telling(Listener()) as teller:
        teller.tell("a", Report(status=DeviceStatus.INSTALLING, download_progress=50))
        teller.tell("a", Report(commit="x"))
        assert teller.told["a"].report == Report(status=DeviceStatus.INSTALLING, commit="x")
        assert teller.told["a"].at == 0.0
        teller.tell("a", Report(status=DeviceStatus.IDLE), full=True)
        assert teller.told["a"].at == 1000.0


async def test_a_farewell_takes_three_seconds_at_most() -> None:
    source = Listener()
    source.seconds = 60.0
    async with telling(source) as teller:
        await teller.farewell(["a", "b"], Report(is_online=False))
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
