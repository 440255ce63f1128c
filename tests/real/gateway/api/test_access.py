"""Who may come in: this machine's programs, no web page, and from elsewhere only with the token."""

from __future__ import annotations

import base64
import logging

import httpx
import pytest

from enmctl.errors import SettingError
from enmctl.gateway.api.server import ApiServer, check_exposure
from enmctl.settings import Settings
from tests.real.gateway.api.conftest import MemoryControl, Serve, Served

ANYWHERE = "0.0.0.0"  # noqa: S104 - whether this is noticed is what is tested
TOKEN = "correct-horse-battery"


async def asked_as(served: Served, **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await served.client.get("/v1/devices", headers=names)).status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1337",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]:1337",
        "0.0.0.0:1337",
        "[::]:1337",
    ],
)
async def test_this_machines_names_are_taken(served: Served, host: str) -> None:
    assert await asked_as(served, host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:1337", "10.0.0.7", "127.0.0.1.evil.example", "[bad", "", "@"]
)
async def test_a_name_that_is_not_this_machines_is_refused(served: Served, host: str) -> None:
    status, body = await served.raw(f"GET /v1/devices HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert status == 403
    assert b'"reason":"host"' in body


async def test_the_supervisors_default_hook_address_is_taken(served: Served) -> None:
    answer = await served.client.put("/v1/devices/1265892", json={"commit": "a"}, headers={"host": "0.0.0.0:1337"})
    assert answer.status_code == 202


async def test_a_page_of_another_site_is_refused(served: Served) -> None:
    own = served.api.address
    assert await asked_as(served, origin=own) == 200
    assert await asked_as(served, origin="https://evil.example") == 403
    assert await asked_as(served, origin="null") == 403
    assert await asked_as(served, origin="http://localhost:3000") == 403
    assert await asked_as(served, sec_fetch_site="cross-site") == 403
    assert await asked_as(served, sec_fetch_site="none") == 200
    answer = await served.client.post("/v1/enm/provision", json={"board": "a"}, headers={"origin": "http://evil"})
    assert answer.status_code == 403
    assert not served.control.jobs


async def test_a_token_that_is_set_is_wanted_on_loopback_too(serve: Serve) -> None:
    served = await serve(api_token=TOKEN)
    answer = await served.client.get("/v1/devices")
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == ["Bearer", 'Basic realm="enmctl"']
    assert answer.json()["reason"] == "token"
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        ("Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode(), 200),
        ("Basic " + base64.b64encode(f":{TOKEN}".encode()).decode(), 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer x", 401),
        ("Bearer", 401),
        (TOKEN, 401),
        (f"ApiKey {TOKEN}", 401),
        ("Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode(), 401),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), 401),
        ("Basic not-base64!", 401),
        ("Basic \xff\xfe", 401),
    ],
)
async def test_the_token_is_shown_as_bearer_or_basic_password(serve: Serve, authorization: str, status: int) -> None:
    served = await serve(api_token=TOKEN)
    answer = await served.client.get("/v1/devices", headers=[(b"authorization", authorization.encode("latin-1"))])
    assert answer.status_code == status


async def test_with_the_token_any_name_is_taken(serve: Serve) -> None:
    served = await serve(api_token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}", "host": "gateway.example"}
    assert (await served.client.get("/v1/devices", headers=headers)).status_code == 200
    headers["origin"] = "https://evil.example"
    assert (await served.client.get("/v1/devices", headers=headers)).status_code == 403


async def test_health_needs_no_token_and_no_name(serve: Serve) -> None:
    served = await serve(api_token=TOKEN)
    answer = await served.client.get("/healthz", headers={"host": "10.2.3.4:1337"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    served.control.turns = False
    assert (await served.client.get("/healthz/")).status_code == 503
    assert (await served.client.get("/%68ealthz")).status_code == 401


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.168.1.2", "gateway.example", "128.0.0.1"])
async def test_another_address_than_loopback_wants_a_token(host: str) -> None:
    with pytest.raises(SettingError, match="ENM_API_HOST"):
        check_exposure(Settings(api_host=host))
    with pytest.raises(SettingError, match="ENM_API_TOKEN"):
        async with ApiServer(MemoryControl(), Settings(api_host=host, api_port=0)):
            pass
    check_exposure(Settings(api_host=host, api_token=TOKEN))
    check_exposure(Settings(api_host=host, api_without_token=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"])
def test_loopback_wants_none(host: str) -> None:
    check_exposure(Settings(api_host=host))


async def test_on_all_addresses_only_the_token_opens(serve: Serve) -> None:
    served = await serve(api_host=ANYWHERE, api_token=TOKEN)
    assert served.api.address == f"http://127.0.0.1:{served.api.port}"
    assert await asked_as(served) == 401
    assert await asked_as(served, authorization=f"Bearer {TOKEN}", host="gateway.lan:1337") == 200


async def test_waived_by_name_everybody_may(serve: Serve) -> None:
    served = await serve(api_host=ANYWHERE, api_without_token=True)
    assert await asked_as(served, host="gateway.lan:1337") == 200


async def test_a_refused_upload_is_not_read_into_memory(serve: Serve) -> None:
    served = await serve(api_token=TOKEN)
    answer = await served.client.put("/v1/devices/1265892/firmware", content=b"a" * (4 << 20))
    assert answer.status_code == 401
    assert not served.control.jobs


async def test_the_token_is_in_no_log_and_no_repr(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "enmctl")
    caplog.set_level(logging.DEBUG, "uvicorn")
    served = await serve(api_token=TOKEN)
    served.control.fault = RuntimeError("inside")
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert (await served.client.get("/v1/devices", headers=headers)).status_code == 500
    with pytest.raises(httpx.HTTPStatusError):
        (await served.client.get("/v1/devices")).raise_for_status()
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(Settings(api_token=TOKEN))
