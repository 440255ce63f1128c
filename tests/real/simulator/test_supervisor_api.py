"""The simulated Supervisor's HTTP API answers as the proxyvisor does, over real HTTP."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import httpx
import pytest

COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"


async def test_without_key_everything_is_401_before_routing(supervise: Any) -> None:
    supervisor, _, _ = await supervise()
    async with httpx.AsyncClient(base_url=supervisor.url, trust_env=False) as stranger:
        for path in ("/", "/v1/devices", "/nowhere"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.text) == (401, "Unauthorized")
        assert (await stranger.post("/v1/devices", content=b"{", headers={"content-type": "application/json"})).is_error
        assert (await stranger.get("/ping")).text == "OK"


@pytest.mark.parametrize(
    ("era", "header", "status"),
    [
        ("v11", "ApiKey {key}", 200),
        ("v11", "Bearer {key}", 401),
        ("v11", "apikey {key}", 401),
        ("v11", "ApiKey other", 401),
        ("v12", "Bearer {key}", 200),
        ("v12", "apikey {key}", 200),
    ],
)
async def test_key_is_taken_as_each_era_takes_it(supervise: Any, era: str, header: str, status: int) -> None:
    supervisor, _, _ = await supervise(era=era)
    async with httpx.AsyncClient(base_url=supervisor.url, trust_env=False) as client:
        answer = await client.get("/v1/devices", headers={"Authorization": header.format(key=supervisor.api_key)})
        assert answer.status_code == status
        assert (await client.get("/v1/devices", params={"apikey": supervisor.api_key})).status_code == 200


async def test_v6_wants_a_key_even_for_ping(supervise: Any) -> None:
    supervisor, client, _ = await supervise(era="v6")
    assert (await client.get("/ping")).text == "OK"
    assert (await client.get(supervisor.url + "/ping", headers={"Authorization": ""})).status_code == 401


async def test_local_mode_wants_no_key_and_has_nothing_at_the_root(supervise: Any) -> None:
    _, client, _ = await supervise(api_key=None)
    answer = await client.get("/")
    assert answer.status_code == 404
    assert "Cannot GET /" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert (await client.get("/v1/devices")).json() == []


async def test_what_does_not_exist_is_404_html(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    for method, path in (("DELETE", f"/v1/devices/{uuid}"), ("PATCH", f"/v1/devices/{uuid}"), ("GET", "/v2/devices")):
        answer = await supervised.client.request(method, path)
        assert answer.status_code == 404
        assert f"Cannot {method} {path}" in answer.text


async def test_applications_are_listed_with_a_null_commit_before_the_first_push(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    listed = {"id": app, "commit": None, "name": "greenhouse", "config": {"RESIN_HOST_TYPE": "esp8266"}}
    assert (await client.get("/v1/dependent-apps")).json() == [listed]
    commit = supervisor.push(app, {"firmware.bin": b"x"})
    assert (await client.get("/v1/dependent-apps/")).json() == [listed | {"commit": commit}]
    assert len(commit) == 40


@pytest.mark.parametrize(
    ("era", "field", "device_type"), [("v6", "name", "generic-amd64"), ("v11", "device_name", "generic")]
)
async def test_new_device_is_told_in_the_words_of_its_era(
    supervise: Any, era: str, field: str, device_type: str
) -> None:
    supervised = await supervise(era=era)
    resource = await supervised.provision()
    assert resource[field]
    assert {"name", "device_name"} & set(resource) == {field}
    assert resource["device_type"] == device_type
    assert len(resource["uuid"]) == 62
    shown = await supervised.device(resource["uuid"])
    assert shown["deviceId"] == (str(resource["id"]) if era == "v6" else resource["id"])
    assert shown["status"] == ("Provisioned" if era == "v6" else None)
    assert supervised.supervisor.inserted == 1


async def test_a_device_shows_all_its_columns(supervise: Any) -> None:
    supervised = await supervise()
    commit = supervised.supervisor.push(supervised.app, {"firmware.bin": b"x"})
    resource = await supervised.provision(device_type="esp8266")
    assert await supervised.device(resource["uuid"]) == {
        "id": resource["id"],
        "uuid": resource["uuid"],
        "appId": supervised.app,
        "localId": None,
        "device_type": "esp8266",
        "deviceId": resource["id"],
        "is_online": None,
        "name": resource["device_name"],
        "status": None,
        "download_progress": None,
        "is_managed_by": None,
        "lock_expiry_date": None,
        "commit": None,
        "targetCommit": commit,
        "environment": {},
        "targetEnvironment": {},
        "config": {},
        "targetConfig": {"RESIN_HOST_TYPE": "esp8266"},
    }


async def test_with_null_names_name_and_target_come_with_the_next_poll(supervise: Any) -> None:
    supervised = await supervise(null_names=True)
    supervised.supervisor.push(supervised.app, {"firmware.bin": b"x"}, COMMIT)
    resource = await supervised.provision()
    shown = await supervised.device(resource["uuid"])
    assert (shown["name"], shown["targetCommit"], shown["targetConfig"]) == (None, None, {})
    assert supervised.supervisor.poll_target_state()
    shown = await supervised.device(resource["uuid"])
    assert (shown["name"], shown["targetCommit"]) == (resource["device_name"], COMMIT)


@pytest.mark.parametrize("app_id", [None, 0, -1, "zero", "", True, [], {}])
async def test_application_id_must_be_a_positive_integer(supervise: Any, app_id: Any) -> None:
    supervisor, client, _ = await supervise()
    answer = await client.post("/v1/devices", json={"appId": app_id})
    assert (answer.status_code, answer.text) == (400, "appId must be a positive integer")
    assert supervisor.inserted == 0


async def test_application_id_is_read_as_javascript_reads_it(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    for body in ({"json": {"appId": f"{app}abc"}}, {"json": {"appId": str(app)}}, {"data": {"appId": str(app)}}):
        assert (await client.post("/v1/devices", **body)).status_code == 201
    assert supervisor.inserted == 3


async def test_an_unknown_application_cannot_be_provisioned_for(supervise: Any) -> None:
    _, client, app = await supervise()
    answer = await client.post("/v1/devices", json={"appId": app + 1})
    assert (answer.status_code, answer.text) == (400, "Provisioning failed, invalid appId or credentials")


async def test_malformed_json_is_503_with_json(supervise: Any) -> None:
    _, client, _ = await supervise()
    for content in (b'{"appId":', b'"text"', b"17"):
        answer = await client.post("/v1/devices", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 503
        assert answer.json()["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"is_online": "true", "status": ""}, "is_online must be a boolean"),
        ({"is_online": None}, "is_online must be a boolean"),
        ({"is_online": 1}, "is_online must be a boolean"),
        ({"status": "", "commit": ""}, "status must be a non-empty string"),
        ({"status": None}, "status must be a non-empty string"),
        ({"commit": ""}, "commit must be a non-empty string"),
        ({"releaseId": 5}, "commit must be a non-empty string"),
        ({"environment": None}, "environment must be an object"),
        ({"config": "x"}, "config must be an object"),
        ({}, "At least one device attribute must be updated"),
        ({"download_progress": 50, "name": "x"}, "At least one device attribute must be updated"),
        ([], "At least one device attribute must be updated"),
    ],
)
async def test_wrong_report_is_refused_in_the_words_of_the_real_one(supervise: Any, body: Any, text: str) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    answer = await supervised.client.put(f"/v1/devices/{uuid}", json=body)
    assert (answer.status_code, answer.text) == (400, text)


async def test_report_is_taken_and_progress_only_remembered(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    answer = await supervised.client.put(
        f"/v1/devices/{uuid}",
        json={
            "status": "Installing",
            "is_online": True,
            "commit": COMMIT,
            "environment": {"A": "1"},
            "config": {},
            "download_progress": 40,
            "unheard_of": 1,
        },
    )
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["is_online"], shown["commit"]) == ("Installing", 1, COMMIT)
    assert (shown["environment"], shown["config"], shown["download_progress"]) == ({"A": "1"}, {}, None)
    await supervised.client.put(f"/v1/devices/{uuid}", json={"status": "Offline", "is_online": False})
    supervisor = supervised.supervisor
    assert (await supervised.device(uuid))["is_online"] == 0
    assert supervisor.status_history[uuid] == ["Installing", "Offline"]
    assert supervisor.commit_history[uuid] == [COMMIT]
    assert supervisor.progress[uuid] == [40]
    assert supervisor.cloud_devices[uuid].reported == {"status": "Offline", "is_online": False, "commit": COMMIT}


async def test_v6_answers_a_report_with_the_row_as_it_was(supervise: Any) -> None:
    supervised = await supervise(era="v6")
    uuid = (await supervised.provision())["uuid"]
    answer = await supervised.client.put(f"/v1/devices/{uuid}", json={"status": "Idle"})
    assert answer.json()["status"] == "Provisioned"
    assert (await supervised.device(uuid))["status"] == "Idle"


async def test_release_id_is_a_trap(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    answer = await supervised.client.put(f"/v1/devices/{uuid}", json={"releaseId": "5", "status": "Idle"})
    assert answer.status_code == 503
    assert supervised.supervisor.devices[uuid].status is None
    assert supervised.supervisor.cloud_devices[uuid].reported["status"] == "Idle"


async def test_lists_pass_for_objects(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    assert (await supervised.client.put(f"/v1/devices/{uuid}", json={"config": []})).status_code == 200


async def test_an_unknown_device_is_404_and_a_deleted_one_410(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    for known, status, text in ((False, 404, "Device not found"), (True, 410, "Device deleted")):
        path = f"/v1/devices/{uuid if known else '0' * 62}"
        if known:
            supervised.supervisor.delete_device(uuid)
        for answer in (
            await supervised.client.get(path),
            await supervised.client.put(path, json={"status": "Idle"}),
            await supervised.client.post(f"{path}/logs", json={"message": "x"}),
        ):
            assert (answer.status_code, answer.text) == (status, text)
    listed = (await supervised.client.get("/v1/devices")).json()
    assert [device["uuid"] for device in listed] == [uuid], "the list does not tell which are deleted"


async def test_logs_are_kept_in_order(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    for message in ("one", "two", {"three": 3}):
        answer = await supervised.client.post(f"/v1/devices/{uuid}/logs", json={"message": message, "timestamp": 1})
        assert (answer.status_code, answer.text) == (202, "OK")
    assert supervised.supervisor.logs[uuid] == ["one", "two", "{'three': 3}"]


async def test_while_the_cloud_is_away_nothing_that_concerns_it_is_taken(supervise: Any) -> None:
    supervised = await supervise()
    supervisor, client, app = supervised
    uuid = (await supervised.provision())["uuid"]
    supervisor.cloud_online = False
    assert (await client.post("/v1/devices", json={"appId": app})).status_code == 503
    answer = await client.put(f"/v1/devices/{uuid}", json={"status": "Idle", "config": {"A": "1"}})
    assert answer.status_code == 503
    assert (await supervised.device(uuid))["config"] == {}
    answer = await client.put(f"/v1/devices/{uuid}", json={"environment": {"A": "1"}, "config": {"A": "1"}})
    assert answer.status_code == 200
    commit = supervisor.push(app, {"firmware.bin": b"x"})
    assert (await supervised.device(uuid))["targetCommit"] is None
    supervisor.cloud_online = True
    assert (await supervised.device(uuid))["targetCommit"] == commit
    assert supervisor.inserted == 1


async def test_dashboard_changes_reach_the_rows(supervise: Any) -> None:
    supervised = await supervise()
    supervisor, _, app = supervised
    first, second = (await supervised.provision())["uuid"], (await supervised.provision())["uuid"]
    commit = supervisor.push(app, {"firmware.bin": b"x"})
    supervisor.set_environment(app, {"A": "app", "B": "app"})
    supervisor.set_environment(first, {"A": "own"})
    supervisor.set_config(second, {"RESIN_SUPERVISOR_DELTA": "1"})
    supervisor.rename(first, "tomatoes")
    supervisor.pin(second, COMMIT)
    one, two = await supervised.device(first), await supervised.device(second)
    assert one["targetEnvironment"] == {"A": "own", "B": "app"}
    assert two["targetEnvironment"] == {"A": "app", "B": "app"}
    assert two["targetConfig"] == {"RESIN_HOST_TYPE": "esp8266", "RESIN_SUPERVISOR_DELTA": "1"}
    assert (one["name"], one["targetCommit"], two["targetCommit"]) == ("tomatoes", commit, COMMIT)


async def test_application_that_is_removed_takes_its_devices_along_without_a_hook(supervise: Any) -> None:
    supervised = await supervise()
    uuid = (await supervised.provision())["uuid"]
    supervised.supervisor.remove_application(supervised.app)
    assert (await supervised.client.get("/v1/dependent-apps")).json() == []
    assert (await supervised.client.get(f"/v1/devices/{uuid}")).status_code == 404
    assert supervised.supervisor.hooks_at_rest()


async def test_late_versions_list_no_applications_and_no_targets(supervise: Any) -> None:
    supervised = await supervise(era="v14")
    supervised.supervisor.push(supervised.app, {"firmware.bin": b"x"})
    uuid = (await supervised.provision())["uuid"]
    assert (await supervised.client.get("/v1/dependent-apps")).json() == []
    shown = await supervised.device(uuid)
    assert (shown["targetCommit"], shown["name"]) == (None, None)


async def test_requests_are_logged_without_the_key(supervise: Any) -> None:
    supervisor, client, app = await supervise(api_key="secretkey")
    await client.post("/v1/devices", params={"apikey": "secretkey"}, json={"appId": app})
    record = supervisor.requests[-1]
    assert (record.method, record.path, record.status, record.body) == ("POST", "/v1/devices", 201, {"appId": app})
    assert "secretkey" not in repr(supervisor.requests)


async def test_asset_is_a_plain_tar_like_the_real_one(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    commit = supervisor.push(app, {"firmware.bin": b"\xe9" * 5000, "sub/deep/x.txt": b"x", ".hidden": b"no"})
    answer = await client.get(f"/v1/dependent-apps/{app}/assets/{commit}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"]
    assert answer.headers["last-modified"]
    assert len(answer.content) == int(answer.headers["content-length"])
    assert len(answer.content) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:") as tar:
        assert tar.getnames() == ["firmware.bin", "sub", "sub/deep", "sub/deep/x.txt"]
        member = tar.extractfile("firmware.bin")
        assert member is not None
        assert member.read() == b"\xe9" * 5000
        assert {(info.uname, info.uid) for info in tar} == {("root", 0)}


async def test_asset_can_be_had_in_parts(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    commit = supervisor.push(app, {"firmware.bin": bytes(range(256)) * 100})
    path = f"/v1/dependent-apps/{app}/assets/{commit}"
    whole = await client.get(path)
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    for asked, part in (
        ("bytes=600-", whole.content[600:]),
        ("bytes=0-9", whole.content[:10]),
        ("bytes=-5", whole.content[-5:]),
    ):
        answer = await client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"].endswith(f"/{len(whole.content)}")
    for fresh in (whole.headers["etag"], whole.headers["last-modified"]):
        answer = await client.get(path, headers={"Range": "bytes=600-", "If-Range": fresh})
        assert answer.status_code == 206
    for stale in ('"other"', "Mon, 01 Jan 2001 00:00:00 GMT", "nonsense"):
        answer = await client.get(path, headers={"Range": "bytes=600-", "If-Range": stale})
        assert (answer.status_code, answer.content) == (200, whole.content)
    answer = await client.get(path, headers={"Range": f"bytes={len(whole.content)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(whole.content)}"
    assert (await client.get(path, headers={"If-None-Match": whole.headers["etag"]})).status_code == 304


async def test_older_commit_is_404_the_moment_the_target_changes(supervise: Any) -> None:
    supervised = await supervise()
    supervisor, client, app = supervised
    old = supervisor.push(app, {"firmware.bin": b"old"})
    new = supervisor.push(app, {"firmware.bin": b"new"})
    gone = await client.get(f"/v1/dependent-apps/{app}/assets/{old}")
    assert (gone.status_code, gone.text) == (404, "Not found")
    assert (await client.get(f"/v1/dependent-apps/{app}/assets/{new}")).status_code == 200
    assert (await client.get(f"/v1/dependent-apps/{app + 1}/assets/{new}")).status_code == 404
    supervisor.pin((await supervised.provision())["uuid"], old)
    assert (await client.get(f"/v1/dependent-apps/{app}/assets/{old}")).status_code == 200


async def test_asset_without_files_fails_once_and_is_an_empty_tar_from_then_on(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    commit = supervisor.push(app, {".only-hidden": b"x"})
    path = f"/v1/dependent-apps/{app}/assets/{commit}"
    assert (await client.get(path)).status_code == 503
    second = await client.get(path)
    assert (second.status_code, second.content) == (200, bytes(10240))


async def test_the_gateway_itself_has_an_update_pending_until_hooks_rest(supervise: Any) -> None:
    supervised = await supervise()
    supervised.supervisor.push(supervised.app, {"firmware.bin": b"x"})
    await supervised.provision()
    assert (await supervised.client.get("/v1/device")).json()["update_pending"] is True
    assert (await supervised.client.post("/v1/update")).status_code == 204
