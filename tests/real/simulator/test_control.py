"""The control port drives a simulated world over real HTTP, and refuses what makes no sense."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from enmctl.errors import UsageError
from enmctl.simulator.control import control_app
from enmctl.simulator.serving import Listener
from enmctl.simulator.supervisor import SimulatedSupervisor

COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"


class Lamp:
    """The least that a board can be."""

    def __init__(self) -> None:
        self.on = True
        self.broken: tuple[str, int] | None = None

    async def power(self, on: bool) -> None:
        self.on = on

    def break_with(self, fault: str, times: int = 1) -> None:
        if fault != "dark":
            raise UsageError(f"there is no fault {fault!r}", remedy="take dark")
        self.broken = (fault, times)

    def describe(self) -> Mapping[str, Any]:
        return {"id": "7", "on": self.on, "broken": self.broken}


class SmallWorld:
    """A Supervisor, a lamp, and a record of what was pushed."""

    def __init__(self, supervisor: SimulatedSupervisor) -> None:
        self.supervisor = supervisor
        self.lamp = Lamp()
        self.all_boards = {"7": self.lamp}
        self.pushed: list[tuple[int, Mapping[str, bytes] | None, int | None]] = []

    def push(
        self,
        app_id: int,
        assets: Mapping[str, bytes] | None = None,
        *,
        size: int | None = None,
        commit: str | None = None,
    ) -> str:
        self.pushed.append((app_id, assets, size))
        return self.supervisor.push(app_id, assets or {"firmware.bin": b"x"}, commit)


@pytest.fixture
async def world(supervise: Any) -> SmallWorld:
    return SmallWorld((await supervise()).supervisor)


@pytest.fixture
async def control(world: SmallWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        Listener(control_app(world)) as listener,
        httpx.AsyncClient(base_url=listener.url, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def app(world: SmallWorld) -> int:
    return next(iter(world.supervisor.applications))


async def test_state_shows_everything_but_the_key(control: httpx.AsyncClient, world: SmallWorld, app: int) -> None:
    world.supervisor.provision(app, None)
    answer = await control.get("/state")
    state = answer.json()
    assert state["supervisor"]["url"] == world.supervisor.url
    assert state["supervisor"]["inserted"] == 1
    assert [(each["id"], each["name"]) for each in state["applications"]] == [(app, "greenhouse")]
    assert [device["uuid"] for device in state["devices"]] == list(world.supervisor.devices)
    assert state["boards"] == [{"id": "7", "on": True, "broken": None}]
    assert str(world.supervisor.api_key) not in answer.text


async def test_help_names_every_command(control: httpx.AsyncClient) -> None:
    text = (await control.get("/")).text
    for command in ("/push", "/break", "/boards/{id}/power", "/cloud", "/supervisor", "/environment", "/delete"):
        assert command in text


async def test_push_takes_an_application_by_id_or_name(control: httpx.AsyncClient, world: SmallWorld, app: int) -> None:
    for word in (app, str(app), "greenhouse"):
        answer = await control.post("/push", json={"application": word, "size": 8192})
        assert answer.json() == {"commit": world.supervisor.applications[app].commit}
    assert world.pushed == [(app, None, 8192)] * 3


async def test_push_takes_files_and_a_commit(control: httpx.AsyncClient, world: SmallWorld, app: int) -> None:
    assets = {"firmware.bin": base64.b64encode(b"\xe9firmware").decode()}
    answer = await control.post("/push", json={"application": app, "assets": assets, "commit": COMMIT})
    assert answer.json() == {"commit": COMMIT}
    assert world.pushed == [(app, {"firmware.bin": b"\xe9firmware"}, None)]


async def test_boards_are_broken_and_switched(control: httpx.AsyncClient, world: SmallWorld) -> None:
    answer = await control.post("/break", json={"board": "7", "fault": "dark", "times": 2})
    assert answer.json()["board"]["broken"] == ["dark", 2]
    await control.post("/boards/7/power", json={"on": False})
    assert world.lamp.describe()["on"] is False
    await control.post("/boards/7/power", json={"on": True})
    assert world.lamp.describe()["on"] is True


async def test_cloud_and_supervisor_go_away_and_come_back(control: httpx.AsyncClient, world: SmallWorld) -> None:
    supervisor = world.supervisor
    assert (await control.post("/cloud", json={"online": False})).json()["supervisor"]["cloudOnline"] is False
    assert not supervisor.cloud_online
    assert (await control.post("/supervisor", json={"listening": False})).json()["supervisor"]["listening"] is False
    assert not supervisor.listening
    assert (await control.post("/supervisor", json={"listening": True})).json()["supervisor"]["listening"] is True
    answer = await control.post("/supervisor", json={"operation": "devices", "fault": "500", "times": 3})
    assert answer.json()["supervisor"]["faults"] == [{"operation": "devices", "fault": "500", "left": 3}]
    assert (await control.post("/supervisor", json={"heal": True})).json()["supervisor"]["faults"] == []


async def test_dashboard_commands_reach_the_cloud(control: httpx.AsyncClient, world: SmallWorld, app: int) -> None:
    supervisor = world.supervisor
    supervisor.provision(app, None)
    uuid = next(iter(supervisor.devices))
    await control.post("/environment", json={"application": app, "values": {"A": "1"}})
    await control.post("/config", json={"device": uuid, "values": {"B": "2"}})
    await control.post("/rename", json={"device": uuid, "name": "tomatoes"})
    await control.post("/pin", json={"device": uuid, "commit": COMMIT})
    row = supervisor.devices[uuid]
    assert row.target_environment == {"A": "1"}
    assert row.target_config == {"RESIN_HOST_TYPE": "esp8266", "B": "2"}
    assert (row.name, row.target_commit) == ("tomatoes", COMMIT)
    await control.post("/pin", json={"device": uuid, "commit": None})
    assert row.target_commit is None
    await control.post("/delete", json={"device": uuid})
    assert row.marked_for_deletion
    await control.post("/delete", json={"application": app})
    assert not supervisor.applications


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/push", {}, 404),
        ("/push", {"application": "nowhere"}, 404),
        ("/push", {"application": "greenhouse", "assets": {"a": "*not base64*"}}, 400),
        ("/push", {"application": "greenhouse", "assets": {"a": 5}}, 400),
        ("/push", {"application": "greenhouse", "size": "big"}, 400),
        ("/push", [1], 400),
        ("/break", {"board": "8", "fault": "dark"}, 404),
        ("/break", {"board": "7", "fault": "light"}, 400),
        ("/break", {"board": "7", "fault": "dark", "times": True}, 400),
        ("/break", {"board": "7", "fault": "dark", "times": 0}, 400),
        ("/boards/8/power", {"on": True}, 404),
        ("/boards/7/power", {"on": 1}, 400),
        ("/cloud", {}, 400),
        ("/supervisor", {}, 400),
        ("/supervisor", {"operation": "devices", "fault": "nonsense"}, 400),
        ("/rename", {"device": "0", "name": "x"}, 404),
        ("/delete", {"device": "0"}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_reason(
    control: httpx.AsyncClient, path: str, body: Any, status: int
) -> None:
    answer = await control.post(path, json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "remedy"}
    assert answer.json()["error"]


async def test_bodies_that_are_no_json_are_refused(control: httpx.AsyncClient) -> None:
    for content in (b"{", b"\xff\xfe", b"5"):
        assert (await control.post("/push", content=content)).status_code == 400
