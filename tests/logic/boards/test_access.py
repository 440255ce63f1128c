from __future__ import annotations

import base64

import pytest

from enmctl.boards.access import Access, shown
from enmctl.errors import SettingError
from enmctl.models import DiscoveredBoard, Radio

BOARD = DiscoveredBoard("esp8266", None, "x", Radio.WIFI, "x", ("10.0.0.7",), 80)


def test_without_config_there_is_the_usual_path_and_no_credentials() -> None:
    access = Access.of({})
    assert (access.path, access.headers, access.max_size) == ("/update", {}, None)


def test_credentials_become_a_basic_header_also_beyond_ascii() -> None:
    for config, credentials in (
        ({"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": "päss"}, "admin:päss"),
        ({"ENM_OTA_PASSWORD": "p:w"}, ":p:w"),
        ({"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": ""}, "admin:"),
    ):
        scheme, _, value = Access.of(config).headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(value).decode() == credentials


def test_what_an_address_says_goes_before_config() -> None:
    board = DiscoveredBoard("esp8266", None, "x", Radio.WIFI, "x", (), 80, path="/here", user="me")
    access = Access.of({"ENM_OTA_PATH": "/there", "ENM_OTA_USER": "you"}, board)
    assert (access.path, access.user) == ("/here", "me")
    access = Access.of({"ENM_OTA_PATH": "there", "ENM_OTA_USER": "you"}, BOARD)
    assert (access.path, access.user) == ("/there", "you")


@pytest.mark.parametrize(
    "config",
    [
        {"ENM_OTA_PATH": "/a b"},
        {"ENM_OTA_PATH": "/a\r\nHost: x"},
        {"ENM_OTA_PATH": "/a#b"},
        {"ENM_OTA_PATH": "/ä"},
        {"ENM_OTA_USER": "a:b"},
        {"ENM_OTA_MAX_SIZE": "1M"},
        {"ENM_OTA_MAX_SIZE": "-1"},
        {"ENM_OTA_MAX_SIZE": "0"},
        {"ENM_OTA_MAX_SIZE": "٣"},
    ],
)
def test_config_that_cannot_be_used_names_the_variable(config: dict[str, str]) -> None:
    with pytest.raises(SettingError) as caught:
        Access.of(config)
    assert next(iter(config)) in caught.value.message
    assert caught.value.remedy
    assert not caught.value.permanent, "a config that is set right must be tried again"


def test_a_password_that_stands_behind_the_user_s_name_is_told_to_nobody() -> None:
    config = {"ENM_OTA_USER": "admin:se:cret"}
    with pytest.raises(SettingError) as caught:
        Access.of(config)
    assert "'admin:***'" in caught.value.message
    assert "ENM_OTA_PASSWORD" in (caught.value.remedy or "")
    assert shown(config) == {"ENM_OTA_USER": "admin:***"}
    assert shown({"ENM_OTA_USER": "admin", "OTHER": "a:b"}) == {"ENM_OTA_USER": "admin", "OTHER": "a:b"}


def test_the_password_is_in_no_representation() -> None:
    access = Access.of({"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": "s3cret!"})
    assert "s3cret" not in repr(access)
    assert "s3cret" not in str(access)
