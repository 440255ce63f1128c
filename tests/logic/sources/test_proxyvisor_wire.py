"""Reading the Supervisor's lists: whatever it says, good entries come through and odd ones cost a line each."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import SourceAnswerError
from enmctl.models import Desired, ListedDevice
from enmctl.sources.proxyvisor_wire import LARGEST, DesiredReader, line, read_json, shown, whole_number

TYPES = ("esp8266", "microbit")
COMMIT = "c" * 40
UUID = "5a" * 31
APPLICATION = {"id": 13015, "name": "lamps", "commit": COMMIT, "config": {"RESIN_HOST_TYPE": "esp8266"}}
DEVICE = {"uuid": UUID, "appId": 13015, "name": "porch", "targetCommit": COMMIT}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Any value that JSON can spell, halves of characters and infinities too."""


def read(applications: Any, devices: Any = ()) -> tuple[Desired, list[str]]:
    reader = DesiredReader(TYPES)
    desired = reader.read(json.dumps(applications).encode(), json.dumps(devices).encode(), asked_at=1.0)
    return desired, reader.complaints


def device(**fields: Any) -> ListedDevice:
    desired, _ = read([APPLICATION], [{**DEVICE, **fields}])
    return desired.devices[UUID]


def test_an_application_and_a_device_are_read_as_documented() -> None:
    desired, complaints = read(
        [APPLICATION],
        [
            {
                "id": 7,
                "uuid": UUID,
                "appId": 13015,
                "localId": None,
                "device_type": "generic",
                "deviceId": "7",
                "is_online": 1,
                "name": "porch",
                "status": "Idle",
                "download_progress": None,
                "commit": None,
                "targetCommit": COMMIT,
                "environment": {},
                "targetEnvironment": {"A": "b"},
                "config": {},
                "targetConfig": {"RESIN_HOST_TYPE": "esp8266"},
            }
        ],
    )
    assert complaints == []
    application = desired.applications[13015]
    assert (application.name, application.board_type, application.commit, application.problem) == (
        "lamps",
        "esp8266",
        COMMIT,
        "",
    )
    listed = desired.devices[UUID]
    assert (listed.name, listed.target_commit, listed.commit, listed.status) == ("porch", COMMIT, None, "Idle")
    assert (listed.is_online, listed.target_environment) == (True, {"A": "b"})
    assert desired.asked_at == 1.0


@pytest.mark.parametrize(
    ("said", "heard"), [(1, True), (0, False), (None, None), (True, True), (False, False), ("1", None)]
)
def test_is_online_comes_as_numbers_null_or_booleans(said: Any, heard: bool | None) -> None:
    assert device(is_online=said).is_online is heard


@pytest.mark.parametrize("commit", [None, "", 5, [], {}])
def test_the_target_is_the_applications_commit_where_the_device_has_none(commit: Any) -> None:
    assert device(targetCommit=commit).target_commit == COMMIT
    desired, _ = read([{**APPLICATION, "commit": commit}], [{**DEVICE, "targetCommit": commit}])
    assert desired.devices[UUID].target_commit is None


@pytest.mark.parametrize("field", ["name", "targetConfig", "targetEnvironment", "status", "commit"])
def test_null_says_nothing_and_so_does_a_field_that_is_missing(field: str) -> None:
    nothing, missing = device(**{field: None}), device()
    said = {"name": "name", "targetConfig": "target_config", "targetEnvironment": "target_environment"}.get(
        field, field
    )
    assert getattr(nothing, said) is None
    assert field == "name" or getattr(missing, said) is None


@pytest.mark.parametrize("app_id", [13015, "13015"])
def test_ids_are_numbers_or_texts_of_digits(app_id: Any) -> None:
    desired, complaints = read([{**APPLICATION, "id": app_id}], [{**DEVICE, "appId": app_id}])
    assert list(desired.applications) == [13015]
    assert desired.devices[UUID].application_id == 13015
    assert complaints == []


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, True, None, "", "0", "-1", "+1", " 1", "1e3", "٣", "1" * 30, LARGEST + 1, [1]]
)
def test_what_is_no_id_is_none(value: Any) -> None:
    assert whole_number(value) is None
    desired, complaints = read([{**APPLICATION, "id": value}, APPLICATION], [{**DEVICE, "appId": value}])
    assert (len(desired.applications), len(desired.devices), len(complaints)) == (1, 0, 2)


@pytest.mark.parametrize("uuid", [None, "", 5, "..", ".hidden", "a/b", "a b", "a\nb", "é", "\ud800", "x" * 129, ["a"]])
def test_a_uuid_that_could_be_no_part_of_a_path_is_left_out(uuid: Any) -> None:
    desired, complaints = read([APPLICATION], [{**DEVICE, "uuid": uuid}, DEVICE])
    assert list(desired.devices) == [UUID]
    assert len(complaints) == 1


@pytest.mark.parametrize(
    ("config", "board_type", "problem"),
    [
        ({"RESIN_HOST_TYPE": "esp8266"}, "esp8266", ""),
        ({"BALENA_HOST_TYPE": "esp8266"}, "esp8266", ""),
        ({"BALENA_HOST_TYPE": "microbit", "RESIN_HOST_TYPE": "esp8266"}, "microbit", ""),
        ({"BALENA_HOST_TYPE": "", "RESIN_HOST_TYPE": "ESP8266 "}, "esp8266", ""),
        ({}, None, "no RESIN_HOST_TYPE"),
        ({"RESIN_HOST_TYPE": None}, None, "no RESIN_HOST_TYPE"),
        ({"RESIN_HOST_TYPE": "nrf51822dk"}, None, "no driver"),
        ({"RESIN_HOST_TYPE": 5}, None, "no text"),
        ({"RESIN_HOST_TYPE": {"a": "b"}}, None, "no text"),
        (None, None, "no config"),
        ([], None, "no config"),
        ("esp8266", None, "no config"),
    ],
)
def test_the_board_type_comes_from_the_config_in_either_spelling(
    config: Any, board_type: str | None, problem: str
) -> None:
    desired, _ = read([{**APPLICATION, "config": config}])
    application = desired.applications[13015]
    assert application.board_type == board_type
    assert problem in application.problem
    assert bool(application.problem) == (board_type is None)
    assert board_type or "esp8266" in application.problem or "RESIN_HOST_TYPE" in application.problem


def test_values_of_config_become_text_and_what_cannot_is_left_out_with_its_name() -> None:
    desired, complaints = read(
        [
            {
                **APPLICATION,
                "config": {"RESIN_HOST_TYPE": "esp8266", "n": 5, "t": True, "f": 0.5, "none": None, "deep": {}},
            }
        ]
    )
    assert desired.applications[13015].config == {"RESIN_HOST_TYPE": "esp8266", "n": "5", "t": "true", "f": "0.5"}
    assert len(complaints) == 2
    assert all("is left out" in complaint for complaint in complaints)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000, b'"\x00"', b"[1]]"]
)
def test_what_is_no_json_is_an_answer_that_makes_no_sense(body: bytes) -> None:
    with pytest.raises(SourceAnswerError) as raised:
        read_json(body, "a question")
    assert "BALENA_SUPERVISOR_ADDRESS" in raised.value.remedy


@pytest.mark.parametrize("answer", [None, {}, {"d": []}, 5, "[]", True])
def test_what_is_no_list_is_refused_as_a_whole(answer: Any) -> None:
    with pytest.raises(SourceAnswerError):
        read(answer)
    with pytest.raises(SourceAnswerError):
        read([], answer)


def test_no_secret_of_an_odd_entry_stands_in_a_complaint() -> None:
    odd = {"config": {"ENM_OTA_PASSWORD": "hunter2"}, "x": "hunter2", "hunter": ["hunter2"]}
    _, complaints = read([odd, ["hunter2"], "hunter2"], [odd, "hunter2", ["hunter2"]])
    assert len(complaints) == 6
    assert not any("hunter2" in complaint for complaint in complaints)


def test_complaints_are_counted_out() -> None:
    _, complaints = read([{}] * 1000, [5] * 1000)
    assert len(complaints) == 100


def test_equal_maps_of_a_fleet_are_one_object() -> None:
    devices = [{**DEVICE, "uuid": f"{number:062x}", "targetConfig": {"A": "b"}} for number in range(3)]
    desired, _ = read([APPLICATION], devices)
    assert len({id(listed.target_config) for listed in desired.devices.values()}) == 1


def test_ten_thousand_devices_are_read_in_a_second_or_so() -> None:
    devices = [
        {**DEVICE, "uuid": f"{number:062x}", "targetConfig": {"A": "b"}, "targetEnvironment": {}, "is_online": 1}
        for number in range(10_000)
    ]
    began = time.process_time()
    desired, complaints = read([APPLICATION], devices)
    assert time.process_time() - began < 3
    assert (len(desired.devices), complaints) == (10_000, [])


@given(JSON, JSON)
@settings(max_examples=200, deadline=None)
def test_no_answer_breaks_the_reader_or_spoils_what_is_good(first: Any, second: Any) -> None:
    desired, complaints = read([first, APPLICATION, second], [first, DEVICE, second])
    assert 13015 in desired.applications
    assert desired.devices[UUID].name == "porch"
    _can_be_kept(desired)
    for complaint in complaints:
        assert complaint.isprintable()
        assert len(complaint) < 600


@given(st.dictionaries(st.sampled_from([*APPLICATION, *DEVICE, "targetConfig", "is_online"]), JSON))
@settings(max_examples=200, deadline=None)
def test_no_field_of_an_entry_breaks_the_reader(fields: dict[str, Any]) -> None:
    desired, _ = read([{**APPLICATION, **fields}], [{**DEVICE, **fields}])
    _can_be_kept(desired)


def _can_be_kept(desired: Desired) -> None:
    """All of it fits into a database, a path and a line."""
    for application in desired.applications.values():
        assert 0 < application.id <= LARGEST
        assert application.name.isprintable()
        _is_encodable([application.name, application.commit, application.problem, *application.config.items()])
    for listed in desired.devices.values():
        assert listed.uuid.isascii()
        assert "/" not in listed.uuid
        assert listed.name is None or listed.name.isprintable()
        _is_encodable([listed.name, listed.status, listed.commit, listed.target_commit])
        _is_encodable([*(listed.target_config or {}).items(), *(listed.target_environment or {}).items()])


def _is_encodable(values: list[Any]) -> None:
    repr(values).encode()
    for value in values:
        for text in value if isinstance(value, tuple) else (value,):
            (text or "").encode()


@given(st.text(st.characters(exclude_categories=())))
def test_a_name_is_one_printable_line(value: str) -> None:
    assert line(value).isprintable()
    assert len(line(value)) <= 255
    line(value).encode()


@given(JSON)
def test_what_an_odd_value_is_fits_into_a_line(value: Any) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) < 300
