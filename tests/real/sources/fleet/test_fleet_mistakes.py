"""Mistakes in a fleet file that no schema foresees: each is told with its place, and none of them is a bug of ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from enmctl.errors import FleetError
from tests.real.sources.fleet.rig import LAMPS, image, read, write

DIGITS = "1" * 5000
HUGE = "0x" + "f" * 5000
KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
AWAY = LAMPS.replace("firmware.bin", "https://a.b/c.bin") + f'sha256 = "{"0" * 64}"\n'

MISTAKES = {
    "a number of thousands of digits": (f"x = {DIGITS}\n", "1:5", "it must have 4300 digits at most"),
    "a number that cannot be printed": (LAMPS + f"id = {HUGE}\n", "6:6", "so large a number cannot be `id`"),
    "a setting that cannot be printed": (f"[policy]\nat_once = {HUGE}\n{LAMPS}", "2:11", "so large a number cannot be"),
    "a text that cannot be printed": (LAMPS.replace('"1.0"', HUGE), "4:11", "so large a number cannot be `version`"),
    "a span that cannot be printed": (f"[policy]\nwell_for = {HUGE}\n{LAMPS}", "2:12", "so large a number s cannot"),
    "a span of thousands of digits": (f"[policy]\nwell_for = '{DIGITS}d'\n{LAMPS}", "2:12", "is no span of time"),
    "an application beyond all numbers": (LAMPS.replace("511898", HUGE), "5:28", "so large a number cannot be in"),
    "a null character in a path": (LAMPS.replace("firmware.bin", "fw\\u0000.bin"), "3:12", "cannot be `firmware`"),
    "a line feed in a path": (
        LAMPS.replace("firmware.bin", "fw\\n.bin"),
        "3:12",
        "it must be a path, or the https URL of a file",
    ),
    "a signature elsewhere of a file": (
        LAMPS + f'public_key = "{KEY}"\nsignature = "https://a.b/c.minisig"\n',
        "7:13",
        "it must be the path of a .minisig file",
    ),
    "a signature that is not fetched safely": (
        AWAY + f'public_key = "{KEY}"\nsignature = "http://a.b/c.minisig"\n',
        "8:13",
        "beside a firmware URL an https URL",
    ),
    "a signature of firmware elsewhere that is not there": (
        AWAY + f'public_key = "{KEY}"\nsignature = "c.minisig"\n',
        "8:13",
        "c.bin is refused: it is not signed, for c.minisig cannot be read",
    ),
    "a signature of a file that is not there": (
        LAMPS + f'public_key = "{KEY}"\nsignature = "c.minisig"\n',
        "7:13",
        "for c.minisig cannot be read",
    ),
    "a misspelt key of the policy": (
        f"[policy]\ncanarys = 1\n{LAMPS}",
        "2:1",
        "allowed here are at_once, canaries, rollback, stop_after, timezone, tries, well_for, windows",
    ),
    "a version without quotes": (LAMPS.replace('"1.0"', "1.0"), "4:11", "letters, digits, dots, _ and -, in quotes"),
    "a list of boards": (
        LAMPS.replace("{ applications = [511898] }", '["lamp-*"]'),
        "5:10",
        'it must be a table like { names = ["lamp-*"] }',
    ),
    "a pattern for a list": (
        LAMPS.replace("{ applications = [511898] }", '{ names = "lamp-*" }'),
        "5:20",
        'it must be a list in which each is a pattern like "lamp-*"',
    ),
    "an application without a name": (
        LAMPS.replace(".lamps", ""),
        "2:9",
        "cannot be in applications: it must be a table for each application, like [applications.lamps]",
    ),
    "a version that is a path": (LAMPS + 'versions.old = "a.bin"\n', "6:16", "like { firmware ="),
    "a policy that is a number": (LAMPS + "policy = 1\n", "6:10", "a table like { canaries = 1 }"),
    "a window that is a table": (
        f"[policy]\nwindows = {{ from = '22:00', to = '05:00' }}\n{LAMPS}",
        "2:11",
        "it must be a list like [{ days = ",
    ),
    "the same table twice": (LAMPS + LAMPS, "6:20", "cannot declare [applications.lamps] twice: it stands further up"),
    "the same key twice": (LAMPS + "version = '2'\n# end\n", "6:14", "cannot overwrite a value: the same key stands"),
    "text without quotes": (LAMPS.replace('"esp8266"', "esp8266"), "2:9", "invalid value: text stands in quotes"),
    "a path of Windows": (LAMPS.replace("firmware.bin", r"C:\Users\a.bin"), "3:17", "a backslash is written twice"),
    "the home folder": (LAMPS.replace("firmware.bin", "~/a.bin"), "3:12", "directory: ~ and $ stand for themselves"),
    "a variable in a path": (LAMPS.replace("firmware.bin", "$HOME/a.bin"), "3:12", "~ and $ stand for themselves"),
    "a folder for a file": (LAMPS.replace("firmware.bin", "."), "3:12", "cannot be read: Is a directory"),
    "a device for a file": (LAMPS.replace("firmware.bin", "/dev/zero"), "3:12", "It is no regular file"),
    "a URL of no file": (LAMPS.replace("firmware.bin", "https://a.b"), "3:12", "'https://a.b' cannot be fetched"),
    "a password in a URL": (
        LAMPS.replace("firmware.bin", "https://me:s3cret@a.b/c?s3cret"),
        "3:12",
        "'https://***@a.b/c?***' cannot be fetched: it must be a path, or the https URL of a file, without user",
    ),
    "a token in a URL": (
        LAMPS.replace("firmware.bin", "https://a.b/c?s3cret"),
        "3:12",
        "https://a.b/c?*** needs a sha256",
    ),
    "an address with a port": (
        LAMPS.replace("applications = [511898]", "addresses = ['10.0.0.7:80']"),
        "5:25",
        "it must be an IP or Bluetooth address, as enmctl scan shows it, without a port",
    ),
    "a name for an address": (
        LAMPS.replace("applications = [511898]", "addresses = ['kitchen']"),
        "5:25",
        "an IP or Bluetooth address",
    ),
    "a device without a name": (LAMPS + "[devices.'']\nboard = '1'\n", "6:1", "'' cannot be the name of a device"),
    "a device with an endless name": (
        LAMPS + f"[devices.{DIGITS}]\nboard = '1'\n",
        "6:1",
        "cannot be the name of a device: it must be 1 to 64 letters",
    ),
    "a device that commands the terminal": (
        LAMPS + '[devices."\\u001b[2J"]\nboard = "1"\n',
        "6:1",
        "'\\x1b[2J' cannot be",
    ),
    "a variable without a name": (LAMPS + "environment = { '' = 'x' }\n", "6:17", "a word without spaces"),
    "a variable of two words": (LAMPS + "config = { 'A B' = 'x' }\n", "6:12", "'A B' cannot be a name in config"),
    "a version that is another one": (
        LAMPS + "versions.'1.0' = { firmware = 'other.bin' }\n",
        "6:31",
        "1.0 is lamps's own version, with other firmware",
    ),
    "a share of nothing": (f"[policy]\nstop_after = '0.0%'\n{LAMPS}", "2:14", "a share above 0"),
    "a table over several lines": (LAMPS + "config = {\n}\n", "6:11", "a table in { } stands on one line"),
    "an application that takes every board": (
        LAMPS + LAMPS.replace("lamps", "other").replace("applications = [511898]", "names = ['*']"),
        "10:20",
        "lamps and other both claim boards, for one of them takes every board of its type: leave it to one of them",
    ),
    "an application beside one that takes every board": (
        LAMPS.replace("applications = [511898]", "names = ['*']") + LAMPS.replace("lamps", "other"),
        "10:1",
        "for one of them takes every board of its type",
    ),
    "a null character in a signature": (LAMPS + 'signature = "a\\u0000"\n', "6:13", "cannot be `signature`"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_never_a_bug(case: str, tmp_path: Path) -> None:
    text, place, words = MISTAKES[case]
    path = write(tmp_path, text)
    (tmp_path / "other.bin").write_bytes(image("1.1"))
    with pytest.raises(FleetError) as raised:
        read(path)
    assert any(fault.startswith(f"{path}:{place}: ") and words in fault for fault in raised.value.faults), (
        raised.value.faults
    )
    assert all(len(fault) < 1000 and "s3cret" not in fault for fault in raised.value.faults)


@pytest.mark.parametrize("address", ["10.0.0.7", "fe80::1%wlan0", "C0:FF:EE:00:00:02", "2001:db8::7"])
def test_an_address_is_taken_as_radios_tell_it(address: str, tmp_path: Path) -> None:
    fleet = read(write(tmp_path, LAMPS.replace("applications = [511898]", f"addresses = ['{address}']")))
    assert fleet.document.applications["lamps"].members.addresses == {address.lower()}


def test_a_share_may_be_less_than_one_in_a_hundred(tmp_path: Path) -> None:
    fleet = read(write(tmp_path, f"[policy]\nstop_after = '0.5%'\n{LAMPS}"))
    assert fleet.document.applications["lamps"].policy.stop_share == 0.005


def test_the_own_version_may_stand_among_the_versions_too(tmp_path: Path) -> None:
    releases = read(write(tmp_path, LAMPS + "versions.'1.0' = { firmware = 'firmware.bin' }\n")).releases["lamps"]
    assert releases["1.0"].commit == releases[None].commit


def test_a_url_may_be_written_in_capitals(tmp_path: Path) -> None:
    assert read(write(tmp_path, AWAY.replace("https", "HTTPS"))).releases["lamps"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have no names there")
@pytest.mark.parametrize("lines", ["", f'public_key = "{KEY}"\nsignature = "pipe"\n'])
def test_a_pipe_is_not_waited_for(lines: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = LAMPS + lines if lines else LAMPS.replace("firmware.bin", "pipe")
    with pytest.raises(FleetError, match=r"pipe cannot be read.*It is no regular file"):
        read(write(tmp_path, text))
