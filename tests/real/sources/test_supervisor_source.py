"""The Supervisor as a source: lists, devices, reports and logs, of each of its eras and with each way to fail."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from enmctl.errors import (
    LostAnswerError,
    SettingError,
    SourceAnswerError,
    SourceAwayError,
    SourceError,
    SourceGoneError,
    SourceRefusedError,
)
from enmctl.models import DeviceStatus, Report
from enmctl.settings import Settings
from enmctl.sources import proxyvisor_client
from enmctl.sources import supervisor as module
from enmctl.sources.supervisor import SupervisorSource
from tests.real.sources.rig import APP, APPLICATION, COMMIT, HANGING, answering, limit_for, ok, source_at, supervised

ERAS = ("v6", "v11", "v12", "v14")
UUID = "5a" * 31
IDLE = Report(status=DeviceStatus.IDLE, is_online=True)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("api_key", ["s3cretKeyOfTheSupervisor", None])
async def test_each_era_is_understood_with_a_key_and_in_local_mode(era: str, api_key: str | None) -> None:
    async with supervised(era=era, api_key=api_key) as (supervisor, source):
        assert await source.reachable()
        made = await source.provision(APPLICATION, "1")
        assert made.name, "v6 calls it name, later ones device_name"
        assert made.name == supervisor.cloud_devices[made.uuid].name
        assert await source.listed(made.uuid)
        await source.report(
            made.uuid, Report(status=DeviceStatus.IDLE, is_online=True, config={}, environment={"A": "b"})
        )
        await source.log(made.uuid, "hello", 1_700_000_000.5)
        assert supervisor.devices[made.uuid].status == "Idle"
        assert supervisor.devices[made.uuid].environment == {"A": "b"}
        desired = await source.fetch()
        assert desired is not None
        assert made.uuid in desired.devices


async def test_a_list_that_did_not_change_is_none_and_one_that_did_is_not() -> None:
    async with supervised() as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        assert await source.fetch() is not None
        assert await source.fetch() is None
        supervisor.rename(made.uuid, "porch")
        desired = await source.fetch()
        assert desired is not None
        assert desired.devices[made.uuid].name == "porch"
        supervisor.fail("devices", "garbage", times=1)
        with pytest.raises(SourceAnswerError):
            await source.fetch()
        assert await source.fetch() is None, "the last good answer is still the last"


async def test_a_name_that_is_null_says_nothing() -> None:
    async with supervised(null_names=True) as (_, source):
        made = await source.provision(APPLICATION, "1")
        assert made.name
        desired = await source.fetch()
        assert desired is not None
        assert desired.devices[made.uuid].name is None


async def test_two_questions_fetch_ten_thousand_devices() -> None:
    async with supervised() as (supervisor, source):
        supervisor.push(APP, {"firmware.bin": b"x"})
        supervisor.add_devices(APP, 10_000)
        desired = await source.fetch()
        assert desired is not None
        assert len(desired.devices) == 10_000
        assert len(supervisor.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", SourceRefusedError),
        ("404", SourceAnswerError),
        ("500", SourceAwayError),
        ("503", SourceAwayError),
        ("lost", SourceAwayError),
        ("reset", SourceAwayError),
        ("silent", SourceAwayError),
        ("garbage", SourceAnswerError),
        ("cut-halfway", SourceAwayError),
        ("reset-halfway", SourceAwayError),
        ("stall-halfway", SourceAwayError),
        ("wrong-shape", SourceAnswerError),
        ("null", SourceAnswerError),
    ],
)
@pytest.mark.parametrize("question", ["applications", "devices"])
async def test_a_list_that_fails_is_an_error_with_a_remedy(question: str, fault: str, error: type[SourceError]) -> None:
    async with supervised(settings=limit_for(fault)) as (supervisor, source):
        supervisor.fail(question, fault)
        with pytest.raises(error) as raised:
            await source.fetch()
        assert raised.value.remedy
        assert "\n" not in str(raised.value)
        supervisor.heal()
        if fault not in HANGING:
            assert await source.fetch() is not None


async def test_numbers_that_come_as_text_are_numbers() -> None:
    async with supervised() as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        supervisor.fail("any", "numbers-as-strings")
        desired = await source.fetch()
        assert desired is not None
        assert desired.devices[made.uuid].application_id == APP


async def test_an_endless_list_is_given_up_at_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIST_MOST", 1 << 20)
    async with supervised() as (supervisor, source):
        supervisor.fail("devices", "endless", size=1 << 30)
        with pytest.raises(SourceAnswerError, match="longer than 1048576 bytes"):
            await source.fetch()


async def test_a_supervisor_that_is_down_is_away_and_a_question_is_asked_again_first() -> None:
    async with supervised() as (supervisor, source):
        await supervisor.stop_listening()
        assert not await source.reachable()
        asking = asyncio.ensure_future(source.fetch())
        await asyncio.sleep(0)
        await supervisor.listen_again()
        assert await asking is not None
        await supervisor.stop_listening()
        with pytest.raises(SourceAwayError, match="no answer"):
            await source.fetch()
        with pytest.raises(SourceAwayError):
            await source.provision(APPLICATION, "1")
        with pytest.raises(SourceAwayError):
            await source.report(UUID, IDLE)
        assert supervisor.inserted == 0


@pytest.mark.parametrize(
    "fault",
    [
        *("lost", "reset", "silent", "500", "503", "garbage", "302", "lost-answer", "no-answer", "cut-halfway"),
        *("reset-halfway", "stall-halfway", "wrong-shape", "null", "redirect", "endless", "odd-uuid"),
    ],
)
async def test_whatever_may_have_made_a_device_is_a_lost_answer(fault: str) -> None:
    async with supervised(settings=limit_for(fault)) as (supervisor, source):
        options: dict[str, Any] = {}
        if fault == "302":
            fault, options = "answer", {"status": 302, "body": "somewhere else"}
        elif fault == "odd-uuid":
            fault, options = "answer", {"status": 201, "body": {"id": 1, "uuid": "../x", "name": "odd"}}
        elif fault == "endless":
            options = {"size": 30 << 20}
        elif fault == "redirect":
            options = {"to": "http://192.0.2.1/"}
        supervisor.fail("provision", fault, times=1, **options)
        with pytest.raises(LostAnswerError) as raised:
            await source.provision(APPLICATION, "1")
        assert raised.value.remedy
        assert sum(request.method == "POST" for request in supervisor.requests) == 1, "and it is not asked again"


async def test_a_device_that_is_refused_is_refused_and_none_is_made() -> None:
    async with supervised() as (supervisor, source):
        supervisor.fail("provision", "answer", status=400, body="Provisioning failed, invalid appId or credentials")
        with pytest.raises(SourceRefusedError, match="invalid appId"):
            await source.provision(APPLICATION, "1")
        assert supervisor.inserted == 0


async def test_a_device_of_a_supervisor_without_the_api_was_surely_not_made() -> None:
    async with supervised() as (supervisor, source):
        supervisor.fail("provision", "404")
        with pytest.raises(SourceAwayError):
            await source.provision(APPLICATION, "1")


@pytest.mark.parametrize(
    "report",
    [
        Report(status=DeviceStatus.INSTALLING, is_online=True, download_progress=40),
        Report(commit=COMMIT),
        Report(commit=""),
        Report(commit="", download_progress=3),
        Report(download_progress=10),
        Report(),
        Report(config={}, environment={}),
        Report(is_online=False),
        Report(environment={"half": "\ud800", "umlaut": "ä"}),
    ],
)
async def test_a_report_says_nothing_empty_and_what_says_nothing_is_not_sent(report: Report) -> None:
    async with supervised() as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        await source.report(made.uuid, report)
        sent = [request for request in supervisor.requests if request.method == "PUT"]
        said = {name for name, value in report.fields().items() if value != ""} - {"download_progress"}
        assert len(sent) == bool(said)
        for request in sent:
            assert request.status == 200
            assert set(request.body) >= said
            assert not [value for value in request.body.values() if value is None or value == ""]


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("503", {}, SourceAwayError),
        ("500", {}, SourceAwayError),
        ("lost", {}, SourceAwayError),
        ("silent", {}, SourceAwayError),
        ("endless", {"size": 30 << 20}, SourceAwayError),
        ("redirect", {"to": "http://192.0.2.1/"}, SourceAwayError),
        ("401", {}, SourceAwayError),
        ("404", {}, SourceGoneError),
        ("answer", {"status": 410, "body": "Device deleted"}, SourceGoneError),
        ("answer", {"status": 404, "body": "<pre>Cannot PUT /v1/devices/x</pre>"}, SourceAwayError),
        ("answer", {"status": 400, "body": "commit must be a non-empty string"}, SourceRefusedError),
    ],
)
async def test_a_report_that_fails_tells_whether_to_keep_it(
    fault: str, options: dict[str, Any], error: type[SourceError]
) -> None:
    async with (
        supervised() as (supervisor, patient),
        source_at(supervisor.url, **limit_for(fault)) as source,
    ):
        made = await patient.provision(APPLICATION, "1")
        for operation in ("report", "log"):
            supervisor.fail(operation, fault, **options)
        with pytest.raises(error):
            await source.report(made.uuid, IDLE)
        with pytest.raises(SourceError):
            await source.log(made.uuid, "hello", 0.0)
        supervisor.heal()
        await (patient if fault in HANGING else source).report(made.uuid, IDLE)
        assert supervisor.devices[made.uuid].status == "Idle"


async def test_while_the_cloud_is_away_reports_are_kept_and_config_goes_through() -> None:
    async with supervised() as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        supervisor.cloud_online = False
        with pytest.raises(SourceAwayError):
            await source.report(made.uuid, IDLE)
        await source.report(made.uuid, Report(config={}, environment={}))
        with pytest.raises(LostAnswerError):
            await source.provision(APPLICATION, "2")


async def test_a_device_is_listed_until_it_is_deleted_and_no_other_404_counts() -> None:
    async with supervised() as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        assert await source.listed(made.uuid)
        assert not await source.listed(UUID)
        supervisor.fail("device", "answer", status=404, body="<pre>Cannot GET /v1/devices/x</pre>", times=1)
        with pytest.raises(SourceAnswerError):
            await source.listed(made.uuid)
        supervisor.delete_device(made.uuid)
        assert not await source.listed(made.uuid)


async def test_an_asset_path_and_a_uuid_are_quoted() -> None:
    async with answering(ok(b"Not found", status=b"404 Not Found")) as server, source_at(server.address) as source:
        assert not await source.listed("a/b?c#d e")
        assert server.asked[0].startswith(b"GET /v1/devices/a%2Fb%3Fc%23d%20e HTTP/1.1\r\n")


async def test_the_path_element_of_the_version_is_a_setting() -> None:
    async with answering(ok(b"[]")) as server, source_at(f"{server.address}/base/", api_version="v7") as source:
        await source.fetch()
        paths = sorted(asked.split()[1] for asked in server.asked)
        assert paths == [b"/base/v7/dependent-apps", b"/base/v7/devices"]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://[::1",
        "http://:80",
        "http://a..b",
        "http://xn--",
        "http://" + "a" * 99,
    ],
)
async def test_an_address_that_is_none_is_a_wrong_setting(address: str) -> None:
    source = SupervisorSource(Settings(supervisor_address=address), ("esp8266",))
    with pytest.raises(SettingError, match="BALENA_SUPERVISOR_ADDRESS"):
        await source.__aenter__()


async def test_a_host_that_takes_no_connection_is_given_up_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        try:
            for each in crowd:
                each.setblocking(False)
                each.connect_ex(address)
            async with source_at(f"http://127.0.0.1:{address[1]}", supervisor_timeout=0.3) as source:
                with pytest.raises(SourceAwayError):
                    await source.fetch()
        finally:
            for each in crowd:
                each.close()


async def test_a_flood_of_reports_uses_few_connections() -> None:
    async with supervised(settings={"supervisor_timeout": 15.0}) as (supervisor, source):
        made = await source.provision(APPLICATION, "1")
        supervisor.fail("report", "slow", delay=0.02)
        await asyncio.gather(*(source.report(made.uuid, IDLE) for _ in range(200)))
        assert proxyvisor_client.CONNECTIONS == 16
        assert sum(request.status == 200 for request in supervisor.requests) == 200


async def test_what_is_sent_is_plain_json() -> None:
    async with answering(ok(json.dumps({"uuid": UUID}).encode(), status=b"201 Created")) as server:
        async with source_at(server.address) as source:
            assert (await source.provision(APPLICATION, "1")).uuid == UUID
        assert b"\r\nContent-Type: application/json\r\n" in server.asked[0]
        assert b"\r\nAccept-Encoding: identity\r\n" in server.asked[0]
