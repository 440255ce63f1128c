"""What is written of the API is what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.routing import Route

import enmctl
from enmctl.gateway.api.app import make_app
from enmctl.settings import Settings
from tests.real.gateway.api.conftest import UUID, MemoryControl, Served
from tests.real.gateway.api.curl import FIRMWARE, curl

ROOT = Path(enmctl.__file__).parent.parent
DOCUMENT: dict[str, Any] = json.loads((ROOT / "enmctl/gateway/api/openapi.json").read_bytes())
PAGE = (ROOT / "docs/http-api.md").read_text(encoding="utf-8")

COMMANDS = [
    (match["command"], match["answer"])
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for match in re.finditer(r"^\$ (?P<command>.*)\n(?P<answer>(?:(?!\$ ).+\n)*)", block, re.MULTILINE)
]


def schema_of(name: str) -> OAS31Validator:
    return OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def test_the_document_is_openapi() -> None:
    validate(DOCUMENT)


def test_the_copy_in_docs_is_the_same() -> None:
    assert (ROOT / "docs/openapi.json").read_bytes() == (ROOT / "enmctl/gateway/api/openapi.json").read_bytes()


async def test_the_gateway_serves_it(served: Served) -> None:
    assert (await served.client.get("/openapi.json")).json() == DOCUMENT


def test_every_route_is_described_and_none_besides() -> None:
    routes = {
        (route.path, method)
        for route in make_app(MemoryControl(), Settings()).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert routes == described


def test_every_route_of_the_original_is_in_the_page() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method in set(item) - {"parameters"}:
            assert path == "/openapi.json" or f"{method.upper()} {path}" in PAGE, (method, path)


async def test_what_is_answered_is_as_described(served: Served) -> None:
    client = served.client
    [device] = (await client.get("/v1/devices")).json()
    schema_of("Device").validate(device)
    assert list(device) == list(DOCUMENT["components"]["schemas"]["Device"]["properties"])
    schema_of("Status").validate((await client.get("/v1/enm/status")).json())
    schema_of("Health").validate((await client.get("/healthz")).json())
    schema_of("Error").validate((await client.get("/v1/devices/0")).json())
    schema_of("Plan").validate((await client.get("/v1/enm/plan")).json())
    schema_of("RolledBack").validate((await client.put("/v1/devices/1265892/rollback")).json())
    schema_of("RolledBack").validate((await client.delete("/v1/devices/1265892/rollback")).json())
    schema_of("RolledBack").validate((await client.put("/v1/enm/applications/lamps/rollback")).json())
    schema_of("RolledBack").validate((await client.delete("/v1/enm/applications/lamps/rollback")).json())
    assert served.control.rollbacks == [
        ("1265892", False, False),
        ("1265892", False, True),
        ("lamps", True, False),
        ("lamps", True, True),
    ]
    schema_of("Error").validate((await client.get("/nowhere")).json())
    news = await client.post("/v1/devices/a/identify")
    for line in news.text.splitlines():
        schema_of("News").validate(json.loads(line))


async def test_every_example_of_a_request_is_taken(served: Served) -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}) if method != "parameters" else {}
            if "application/json" in content:
                example, schema = content["application/json"]["example"], content["application/json"]["schema"]
                schema_of(schema["$ref"].rpartition("/")[2]).validate(example)
                answer = await served.client.request(method, path.format(uuid=UUID), json=example)
                assert str(answer.status_code) in operation["responses"]
                assert answer.is_success


def test_the_page_has_examples() -> None:
    assert len(COMMANDS) >= 8


async def test_the_examples_of_the_page_get_what_it_shows(served: Served) -> None:
    for command, shown in COMMANDS:
        answer = await served.client.send(curl(command, served.api.address))
        assert answer.is_success or '"error"' in shown, command
        assert [json.loads(line) for line in answer.text.splitlines()] == [
            json.loads(line) for line in shown.splitlines()
        ], command
    assert served.control.restarts == ["1265892"]
    assert [job.firmware for job in served.control.jobs] == [FIRMWARE]


@pytest.mark.parametrize(
    "status",
    sorted(
        {
            status
            for item in DOCUMENT["paths"].values()
            for operation in item.values()
            if isinstance(operation, dict)
            for status in operation["responses"]
        }
    ),
)
def test_every_status_is_in_the_page(status: str) -> None:
    assert status in PAGE
