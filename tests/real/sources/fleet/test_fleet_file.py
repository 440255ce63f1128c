"""What a fleet file may say, and each way in which it can be wrong: always with the line and the column."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from enmctl.errors import ExitCode, FleetError
from enmctl.models import Device
from enmctl.policy import Window
from tests.real.sources.fleet.rig import LAMPS, image, read, write

FULL = """\
[policy]
at_once = 4
canaries = ["bench", "1265892"]
well_for = "1h30m"
stop_after = "10%"
rollback = true
tries = 2
timezone = "Europe/Vienna"
windows = [{ days = ["fri", "sat"], from = "22:00", to = "05:00" }]

[applications.lamps]
board = "esp8266"
firmware = "firmware.bin"
version = "1.4.0"
boards = { applications = [511898], names = ["lamp-*"], addresses = ["10.0.0.7"] }
config = { ENM_OTA_USER = "admin" }
environment = { COLOUR = "blue" }
versions."1.3.0" = { firmware = "old.bin" }

[applications.badges]
board = "microbit"
firmware = "https://example.com/badge.hex"
sha256 = "HASH"
provision = "listed"
policy = { canaries = 0, at_once = 1 }

[devices.bench]
application = "lamps"
board = "1265892"
version = "1.3.0"
environment = { COLOUR = "red" }

[devices.badge-2]
application = "badges"
board = "C0:FF:EE:00:00:02"
"""


def test_a_whole_file_says_what_each_device_should_run(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(image("1.3.0"))
    fleet = read(write(tmp_path, FULL.replace("HASH", "ab" * 32)))
    lamps, badges = fleet.document.applications.values()
    assert (lamps.id, badges.id > 1_000_000_000_000) == (511898, True)
    assert badges.members.lists("c0:ff:ee:00:00:02")
    assert not badges.members.is_open
    assert (badges.policy.at_once, badges.policy.has_canaries, badges.policy.rollback) == (1, False, True)
    assert lamps.policy.windows == (Window(22 * 60, 5 * 60, frozenset({4, 5})),)
    assert (lamps.policy.well_for, lamps.policy.stop_share, lamps.policy.tries) == (5400.0, 0.1, 2)
    devices = [
        Device("u1", lamps.id, "esp8266", "1265892"),
        Device("u2", lamps.id, "esp8266", "7"),
        Device("u3", badges.id, "microbit", "c0:ff:ee:00:00:02"),
        Device("u4", badges.id, "microbit", "c0:ff:ee:00:00:03"),
        Device("u5", 12, "esp8266", "8"),
    ]
    desired = fleet.desired(devices)
    assert desired.at_once == 4
    assert list(desired.devices) == ["u1", "u2", "u3"], "what is not listed is looked after no more"
    pinned, plain, badge = desired.devices.values()
    new, old = (hashlib.sha256(image(version)).hexdigest()[:8] for version in ("1.0", "1.3.0"))
    assert (pinned.name, pinned.target_commit) == ("bench", f"1.3.0-{old}")
    assert (plain.name, plain.target_commit) == ("lamps-7", f"1.4.0-{new}")
    assert (badge.name, badge.target_commit) == ("badge-2", "ab" * 20)
    assert pinned.target_environment == {"COLOUR": "red"}
    assert plain.target_environment == {"COLOUR": "blue"}
    assert plain.target_config == {"ENM_OTA_USER": "admin"}


def test_another_content_under_the_same_version_is_another_commit(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = read(path).releases["lamps"][None].commit
    (tmp_path / "firmware.bin").write_bytes(image("1.0", seed=1))
    after = read(path).releases["lamps"][None].commit
    assert before.startswith("1.0-")
    assert after.startswith("1.0-")
    assert before != after


FAULTS = {
    "no TOML": ("[applications", "1:14", "this is no TOML"),
    "no TOML at all": ("x = ", "1:5", "this is no TOML"),
    "the same key twice": (LAMPS + "version = '2'\n", "6:14", "this is no TOML"),
    "nothing": ("", "1:1", "has no application"),
    "unknown key": (LAMPS + 'verison = "2"\n', "6:1", "unknown key 'verison', version perhaps: allowed here are board"),
    "unknown table": (LAMPS + "[applicationz.x]\n", "6:1", "unknown key 'applicationz', applications perhaps"),
    "unknown key in a window": (
        '[policy]\nwindows = [{ from = "22:00", to = "23:00", day = "mon" }]\n' + LAMPS,
        "2:44",
        "unknown key 'day', days perhaps",
    ),
    "wrong type": (LAMPS.replace('"1.0"', "1.0"), "4:11", "1.0 cannot be `version`: it must be 1 to 64 letters"),
    "a flag for a number": (
        "[policy]\nat_once = true\n" + LAMPS,
        "2:11",
        "true cannot be `at_once`: it must be a whole",
    ),
    "out of range": ("[policy]\nat_once = 0\n" + LAMPS, "2:11", "it must be a whole number from 1"),
    "text for a list": ("[policy]\ncanaries = 'a'\n" + LAMPS, "2:12", "it must be a list of boards, or how many"),
    "a number in a list of text": ("[policy]\ncanaries = ['a', 2]\n" + LAMPS, "2:18", "2 cannot be in canaries"),
    "a number in an environment": (
        LAMPS + "environment = { A = 1 }\n",
        "6:21",
        "A in environment is a whole number: it must be text, in quotes",
    ),
    "a date for a version": (LAMPS.replace('"1.0"', "2026-01-01"), "4:11", "a date or a time cannot be `version`"),
    "no span": ("[policy]\nwell_for = 'soon'\n" + LAMPS, "2:12", "'soon' is no span of time"),
    "no share": ("[policy]\nstop_after = '101%'\n" + LAMPS, "2:14", 'a share above 0 like "10%"'),
    "no zone": ("[policy]\ntimezone = 'Vienna'\n" + LAMPS, "2:12", "'Vienna' is no time zone here"),
    "no clock": (
        "[policy]\nwindows = [{ from = '25:00', to = '5:00' }]\n" + LAMPS,
        "2:21",
        'a time of day like "22:00"',
    ),
    "a window from the end of a day": (
        "[policy]\nwindows = [{ from = '24:00', to = '05:00' }]\n" + LAMPS,
        "2:21",
        """'24:00' cannot be `from`: it must be a time of day like "22:00", from "00:00" to "23:59\"""",
    ),
    "a window from the end of a day to its beginning": (
        "[policy]\nwindows = [{ from = '24:00', to = '00:00' }]\n" + LAMPS,
        "2:21",
        "'24:00' cannot be `from`",
    ),
    "half a window": ("[policy]\nwindows = [{ from = '22:00' }]\n" + LAMPS, "2:12", "the window has no to"),
    "a window without length": (
        "[policy]\nwindows = [{ from = '22:00', to = '22:00' }]\n" + LAMPS,
        "2:35",
        "never opens",
    ),
    "a window without days": (
        "[policy]\nwindows = [{ days = [], from = '22:00', to = '23:00' }]\n" + LAMPS,
        "2:21",
        "never opens: name its days",
    ),
    "no such day": (
        "[policy]\nwindows = [{ days = ['Monday'], from = '22:00', to = '23:00' }]\n" + LAMPS,
        "2:22",
        "one of mon, tue, wed",
    ),
    "no board type": (LAMPS.replace('board = "esp8266"\n', ""), "1:1", "[applications.lamps] has no board"),
    "a type that is not installed": (
        LAMPS.replace("esp8266", "esp32"),
        "2:9",
        "no driver for 'esp32' boards is installed: it must be an installed board type: esp8266, microbit",
    ),
    "no firmware": (LAMPS.replace('firmware = "firmware.bin"\n', ""), "1:1", "has no firmware"),
    "missing firmware": (LAMPS.replace("firmware.bin", "other.bin"), "3:12", "other.bin cannot be read: No such file"),
    "changed firmware": (LAMPS + f'sha256 = "{"0" * 64}"\n', "6:10", "has the SHA-256"),
    "no hash": (LAMPS + 'sha256 = "abc"\n', "6:10", "the 64 hex digits that sha256sum prints"),
    "a URL without a hash": (LAMPS.replace("firmware.bin", "https://a.b/c"), "3:12", "needs a sha256"),
    "no https": (
        LAMPS.replace("firmware.bin", "http://a.b/c"),
        "3:12",
        "it must be a path, or the https URL of a file",
    ),
    "no key": (LAMPS + 'public_key = "RWQ"\n', "6:14", "'RWQ' is no public key"),
    "not signed": (
        LAMPS + 'public_key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"\n',
        "6:14",
        "firmware.bin is refused: it is not signed",
    ),
    "a signature without a key": (LAMPS + 'signature = "x"\n', "6:13", "needs a public_key"),
    "no boards": (LAMPS.replace("boards = { applications = [511898] }\n", ""), "1:1", "has no boards"),
    "boards of nothing": (LAMPS.replace("applications = [511898]", ""), "5:10", "it names no board"),
    "no such way": (LAMPS + 'provision = "some"\n', "6:13", 'it must be one of "all" and "listed"'),
    "two claim an application's boards": (
        LAMPS + LAMPS.replace("lamps", "other") + "id = 9\n",
        "10:27",
        "lamps and other both claim the boards of application 511898",
    ),
    "two claim a name": (
        (LAMPS + LAMPS.replace(".lamps", ".other"))
        .replace("{ applications = [511898] }", '{ names = ["lamp-*"] }', 1)
        .replace("{ applications = [511898] }", '{ names = ["lamp-kitchen*"] }', 1),
        "10:20",
        "both claim boards called lamp-kitchen*",
    ),
    "two of one id": (LAMPS + LAMPS.replace("lamps", "other"), "6:1", "lamps and other are both application 511898"),
    "a device of no application": (LAMPS + "[devices.a]\nboard = '1'\napplication = 'x'\n", "8:15", "one of lamps"),
    "a device without a board": (LAMPS + "[devices.a]\n", "6:1", "[devices.a] has no board"),
    "a device with a strange board": (LAMPS + "[devices.a]\nboard = 'a b'\n", "7:9", "a board's own id"),
    "one board twice": (
        LAMPS + "[devices.a]\nboard = 'Ab'\n[devices.b]\nboard = 'aB'\n",
        "9:9",
        "a and b are the same board",
    ),
    "a version that is not there": (
        LAMPS + "[devices.a]\nboard = '1'\nversion = '0.9'\n",
        "8:11",
        "lamps has no version '0.9': it must be one of 1.0",
    ),
}


def test_a_window_may_last_to_the_end_of_a_day(tmp_path: Path) -> None:
    windows = "{ from = '00:00', to = '24:00' }, { from = '22:00', to = '00:00' }"
    fleet = read(write(tmp_path, f"[policy]\nwindows = [{windows}]\n{LAMPS}"))
    policy = fleet.document.applications["lamps"].policy
    assert policy.windows == (Window(0, 24 * 60), Window(22 * 60, 0))


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_is_told_with_its_place_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    text, place, words = FAULTS[case]
    path = write(tmp_path, text)
    with pytest.raises(FleetError) as raised:
        read(path)
    assert raised.value.exit_code is ExitCode.FILE
    assert any(fault.startswith(f"{path}:{place}: ") and words in fault for fault in raised.value.faults), (
        raised.value.faults
    )


@pytest.mark.parametrize("name", ["config", "environment"])
@pytest.mark.parametrize("value", ["{ A = 87654321 }", "{ A = 8765.4321 }", "'87654321'", "87654321", "['87654321']"])
def test_what_may_be_a_password_is_not_told(name: str, value: str, tmp_path: Path) -> None:
    for text in (LAMPS + f"{name} = {value}\n", LAMPS + f"[devices.a]\nboard = 'x'\n{name} = {value}\n"):
        with pytest.raises(FleetError, match=name) as raised:
            read(write(tmp_path, text))
        assert "8765" not in str([*raised.value.faults, raised.value])


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = LAMPS.replace('"1.0"', "1").replace("esp8266", "esp32") + "colour = 1\n"
    with pytest.raises(FleetError, match="and 2 more") as raised:
        read(write(tmp_path, text))
    assert len(raised.value.faults) == 3


def test_of_ten_thousand_faults_the_first_hundred_are_told_and_the_number_of_the_others(tmp_path: Path) -> None:
    devices = "".join(f'[devices.lamp-{n}]\nboard = "{n}"\nx = 1\n' for n in range(10_000))
    with pytest.raises(FleetError, match=r":8:1: unknown key 'x'.* \(and 9999 more\)") as raised:
        read(write(tmp_path, LAMPS + devices))
    assert len(raised.value.faults) == 100
    assert raised.value.untold == 9900
    assert ":305:1: " in raised.value.faults[-1]


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="enmctl fleet init"):
        read(tmp_path / "none.toml")


def test_a_file_that_is_not_utf_8_has_a_place_too(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(FleetError, match=":2:6: this is not UTF-8"):
        read(path)


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_line_ends_and_a_byte_order_mark_of_windows_are_taken(tmp_path: Path, ending: bytes) -> None:
    path = write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + LAMPS.encode().replace(b"\n", ending))
    assert read(path).document.applications["lamps"].id == 511898


def test_ten_thousand_devices_are_read_and_a_fault_among_them_is_found(tmp_path: Path) -> None:
    devices = "".join(f'[devices.lamp-{n}]\nboard = "{n}"\n' for n in range(10_000))
    fleet = read(write(tmp_path, LAMPS + devices))
    assert len(fleet.document.devices) == 10_000
    with pytest.raises(FleetError, match=":20006:1: unknown key 'x'"):
        read(write(tmp_path, LAMPS + devices + "x = 1\n"))
