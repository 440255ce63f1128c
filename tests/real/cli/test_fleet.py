"""A gateway without a server, on the command line: write a fleet file, check it, plan, run, roll back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enmctl.cli.fleet_files import _sections
from enmctl.errors import ExitCode
from enmctl.models import Device, DiscoveredBoard, PinnedBy, Radio
from enmctl.simulator.images import esp8266_image
from enmctl.sources.fleet.fleet import read_fleet
from enmctl.store import Store
from enmctl.store.reading import read_devices
from tests.real.cli.outside import QUICK, outside
from tests.real.cli.rig import Run, document

TEXT = """\
[applications.lamps]
board = "esp8266"
firmware = "firmware.bin"
version = "1.0"
boards = { applications = [511898] }
"""


@pytest.fixture
def file(folder: Path) -> Path:
    """A fleet file in the folder where the commands run."""
    (folder / "firmware.bin").write_bytes(esp8266_image(fw="1.0", size=16 * 1024))
    path = folder / "fleet.toml"
    path.write_text(TEXT, "utf-8")
    return path


@pytest.fixture
def lamp(file: Path, database: Path) -> Device:
    """A device of the file's application, on its target, that ran something else before."""
    commit = read_fleet(file, ["esp8266"], most=1 << 20).releases["lamps"][None].commit
    nothing: dict[str, str] = {}
    device = Device(
        "64a1ae375b213d7e",
        511898,
        "esp8266",
        "1265892",
        "lamps-1265892",
        commit=commit,
        target_commit=commit,
        config=nothing,
        target_config=nothing,
        environment=nothing,
        target_environment=nothing,
        good_commit="0.9-aaaaaaaa",
        first_listed=1,
    )
    with Store.open(database) as store:
        store.add_device(device)
    return device


def test_a_right_file_is_told_with_what_it_comes_to(enmctl: Run, file: Path) -> None:
    result = enmctl("fleet", "check")
    assert result.exit_code == 0
    assert "ESP8266 image 1.0" in result.stdout
    assert "fleet.toml is right" in result.stderr
    said = document(enmctl("fleet", "check", file, "--json"))
    assert said["faults"] == []
    assert [each["name"] for each in said["applications"]] == ["lamps"]


def test_each_fault_is_a_line_with_its_place_and_exit_code_4(enmctl: Run, file: Path) -> None:
    file.write_text(TEXT.replace('"1.0"', "1") + "colour = 1\n", "utf-8")
    result = enmctl("fleet", "check")
    assert result.exit_code == ExitCode.FILE
    assert "enmctl fleet check" not in result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("fleet.toml:4:11: 1 cannot be `version`")
    assert second.startswith("fleet.toml:6:1: unknown key 'colour'")
    as_json = enmctl("fleet", "check", "--json")
    assert [(fault["line"], fault["column"]) for fault in json.loads(as_json.stdout)["faults"]] == [(4, 11), (6, 1)]


def test_more_faults_than_anybody_reads_are_counted(enmctl: Run, file: Path) -> None:
    file.write_text(TEXT + "".join(f"x{number} = 1\n" for number in range(200)), "utf-8")
    *told, last = enmctl("fleet", "check").stdout.splitlines()
    assert (len(told), last) == (100, "and 100 more")
    assert json.loads(enmctl("fleet", "check", "--json").stdout)["untold"] == 100


def test_firmware_that_no_board_of_the_type_takes_is_a_fault_too(enmctl: Run, file: Path) -> None:
    (file.parent / "firmware.bin").write_bytes(b"<html>not found</html>")
    result = enmctl("fleet", "check")
    assert result.exit_code == ExitCode.FILE
    assert result.stdout.startswith("fleet.toml:3:12: ")
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert enmctl("fleet", "check").stdout == result.stdout


def test_config_that_no_board_of_the_type_takes_is_a_fault_too(enmctl: Run, file: Path) -> None:
    file.write_text(TEXT + 'config = { A = "1", ENM_OTA_MAX_SIZE = "lots" }\n', "utf-8")
    result = enmctl("fleet", "check")
    assert result.exit_code == ExitCode.FILE
    assert result.stdout.startswith("fleet.toml:6:40: ENM_OTA_MAX_SIZE in the config is 'lots': it must be a number")


def test_of_a_file_that_cannot_be_read_the_way_out_is_told(enmctl: Run, folder: Path) -> None:
    result = enmctl("fleet", "check")
    assert result.exit_code == ExitCode.FILE
    assert "fleet.toml cannot be read" in result.stdout
    assert "enmctl fleet init writes one" in result.stderr
    (folder / "fleet.toml").write_bytes(b"\xff\xfe")
    assert "save it as UTF-8" in enmctl("fleet", "check").stderr


def test_a_file_that_is_no_firmware_by_its_name_is_told_in_the_words_of_the_fleet_file(enmctl: Run, file: Path) -> None:
    (file.parent / "notes.txt").write_text("not firmware")
    file.write_text(TEXT.replace("firmware.bin", "notes.txt"), "utf-8")
    result = enmctl("fleet", "check")
    assert result.exit_code == ExitCode.FILE
    assert result.stdout.startswith("fleet.toml:3:12: notes.txt is no firmware for esp8266 boards: name a .bin")


def test_a_first_file_is_written_from_what_is_heard_and_never_over_another(enmctl: Run, folder: Path) -> None:
    result = enmctl("--simulate", "fleet", "init")
    assert result.exit_code == 0, result.stderr
    assert "for 6 boards" in result.stdout
    written = (folder / "fleet.toml").read_text("utf-8")
    assert "1265892, 1265893, 1265894" in written
    assert enmctl("fleet", "check").exit_code == 0
    again = enmctl("--simulate", "fleet", "init")
    assert again.exit_code == ExitCode.FILE
    assert "is there already" in again.stderr
    assert (folder / "fleet.toml").read_text("utf-8") == written
    plan = enmctl("--simulate", "plan", "--fleet", "fleet.toml", "--json")
    assert plan.exit_code == ExitCode.REMAINS
    assert [action["action"] for action in json.loads(plan.stdout)["actions"]] == ["provision"] * 6


def test_no_firmware_is_overwritten_by_that_for_simulated_boards(enmctl: Run, folder: Path) -> None:
    (folder / "firmware-1.1.0.bin").write_bytes(b"mine")
    result = enmctl("--simulate", "fleet", "init")
    assert result.exit_code == ExitCode.FILE
    assert "firmware-1.1.0.bin is there already" in result.stderr
    assert (folder / "firmware-1.1.0.bin").read_bytes() == b"mine"
    assert not (folder / "fleet.toml").exists()
    (folder / "firmware-1.1.0.bin").unlink()
    assert enmctl("--simulate", "fleet", "init").exit_code == 0
    again = enmctl("--simulate", "fleet", "init", "my fleet.toml")
    assert again.exit_code == 0, again.stderr
    assert "enmctl fleet check 'my fleet.toml'" in again.stderr


def test_boards_of_two_types_that_name_one_application_are_two_applications() -> None:
    boards = [
        DiscoveredBoard(board_type, number, f"{board_type}-{number}", Radio.WIFI, "", (address,))
        for board_type, number, address in [("a", 7, "10.0.0.1"), ("b", 7, "10.0.0.2"), ("b", None, "10.0.0.3")]
    ]
    assert [(section["name"], section["boards"]) for section in _sections(boards, {})] == [
        ("a-7", "{ applications = [7] }"),
        ("b", '{ addresses = ["10.0.0.2", "10.0.0.3"] }'),
    ]


def test_a_plan_names_the_boards_that_nobody_takes(enmctl: Run, file: Path) -> None:
    file.write_text(TEXT.replace("applications = [511898]", 'names = ["lmap-*"]'), "utf-8")
    result = enmctl("--simulate", "plan", "--fleet", file)
    assert result.exit_code == 0
    assert "nothing is to be done" in result.stderr
    assert "heard, and of no application here: 1265892, 1265893, 1265894" in result.stderr
    names = 'names = ["*_1265892"]'
    one, other = (TEXT.replace("applications = [511898]", each) for each in (names, 'addresses = ["127.0.0.1"]'))
    file.write_text(one + other.replace("lamps", "other"), "utf-8")
    result = enmctl("--simulate", "plan", "--fleet", file)
    assert "1265892: lamps and other both claim it: left alone until only one does" in result.stderr


def test_the_simulated_boards_come_to_the_files_firmware(enmctl: Run, folder: Path) -> None:
    enmctl("--simulate", "fleet", "init")
    path = folder / "fleet.toml"
    path.write_text(path.read_text("utf-8").replace("canaries = 1", "canaries = 0"), "utf-8")
    result = enmctl("--simulate", "run", "--once", "--fleet", path)
    assert result.exit_code == 0, result.stderr


def test_nothing_to_do_is_exit_code_0_and_something_10(enmctl: Run, file: Path, lamp: Device) -> None:
    at_rest = enmctl("plan", "--fleet", file, "--timeout", "0s")
    assert (at_rest.exit_code, at_rest.stdout) == (0, "")
    assert "nothing is to be done" in at_rest.stderr
    file.write_text(TEXT.replace("1.0", "1.1"), "utf-8")
    some = enmctl("plan", "--timeout", "0s", "--json", env={"ENM_FLEET_FILE": str(file)})
    assert some.exit_code == ExitCode.REMAINS
    said = json.loads(some.stdout)
    [action] = said["actions"]
    assert (said["todo"], action["action"], action["name"]) == (1, "update", lamp.name)
    assert action["why"] == f"it runs {lamp.commit}, and its target is {action['commit']}"
    assert read_devices(file.parent.parent / "database" / "enm.db") == [lamp], "nothing was touched"


def test_a_device_that_is_behind_and_not_heard_is_still_to_do(enmctl: Run, file: Path, lamp: Device) -> None:
    file.write_text(TEXT.replace("1.0", "1.1"), "utf-8")
    result = enmctl("plan", "--fleet", file, "--timeout", "0.1s", "--json", env=QUICK)
    assert result.exit_code == ExitCode.REMAINS
    said = json.loads(result.stdout)
    [action] = said["actions"]
    assert (said["todo"], action["action"], action["name"]) == (1, "wait", lamp.name)
    assert (action["why"], action["commit"][:4]) == ("it is offline: not heard", "1.1-")


@pytest.mark.parametrize("words", [["plan"], ["run"], ["run", "--once"]])
def test_a_broken_file_ends_a_command_with_its_place_and_exit_code_4(enmctl: Run, file: Path, words: list[str]) -> None:
    file.write_text("[applications\n", "utf-8")
    result = enmctl(*words, "--fleet", file)
    assert result.exit_code == ExitCode.FILE
    assert "fleet.toml:1:" in result.stderr
    assert f"enmctl fleet check {file} tells when it is" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_device_of_a_fleet_file_is_deleted_without_asking_a_supervisor(
    enmctl: Run, database: Path, lamp: Device, file: Path
) -> None:
    result = enmctl("devices", "delete", lamp.name, env={"ENM_FLEET_FILE": str(file)})
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "enmctl provision brings it back" in result.stderr
    [device] = read_devices(database, deleted=None)
    assert device.deleted


def test_a_device_goes_back_and_comes_forward_without_a_gateway(
    enmctl: Run, database: Path, lamp: Device, file: Path
) -> None:
    back = enmctl("rollback", "lamps-1265892")
    assert back.stdout == "lamps-1265892 goes back to 0.9-aaaaaaaa until its target changes\n"
    [device] = read_devices(database)
    assert (device.pin, device.pinned_by) == ("0.9-aaaaaaaa", PinnedBy.PERSON)
    shown = document(enmctl("devices", "show", "lamps-1265892", "--json"))
    assert (shown["pinned_commit"], shown["state"]) == ("0.9-aaaaaaaa", "behind")
    plan = enmctl("plan", "--fleet", file, "--timeout", "0s")
    assert "it was rolled back by hand" in plan.stdout
    with Store.open(database) as store:
        store.change(lamp.uuid, commit="0.9-aaaaaaaa")
    assert "1 rolled back until its target changes" in enmctl("status").stdout
    assert "rolled back" in enmctl("devices").stdout
    forward = enmctl("rollback", "lamps-1265892", "--clear")
    assert "comes to its target 1.0-" in forward.stdout
    [device] = read_devices(database)
    assert device.pinned_commit is None
    nothing = enmctl("rollback", "lamps-1265892", "--clear", "--json")
    assert document(nothing) == {"done": []}


@pytest.mark.usefixtures("lamp")
def test_an_application_is_named_by_its_id_or_as_the_fleet_file_does(enmctl: Run, database: Path, file: Path) -> None:
    assert enmctl("rollback", "--application", "511898").exit_code == 0
    assert enmctl("rollback", "--application", "lamps", "--clear", env={"ENM_FLEET_FILE": str(file)}).exit_code == 0
    assert read_devices(database)[0].pin is None
    assert enmctl("rollback", "--application", "nix").exit_code == ExitCode.UNKNOWN
    assert enmctl("rollback", "--application", "12").exit_code == ExitCode.UNKNOWN


@pytest.mark.parametrize("words", [[], ["lamp", "--application", "lamps"]])
def test_a_device_or_an_application_is_to_be_named(enmctl: Run, words: list[str]) -> None:
    assert enmctl("rollback", *words).exit_code == ExitCode.USAGE


def test_a_device_without_an_earlier_firmware_cannot_go_back(enmctl: Run, database: Path) -> None:
    with Store.open(database) as store:
        store.add_device(Device("u1", 1, "esp8266", "1", "new", commit="c1", target_commit="c1"))
    result = enmctl("rollback", "new")
    assert result.exit_code == ExitCode.UNKNOWN
    assert "no earlier firmware" in result.stderr


def test_status_shows_the_fleet_file_and_what_is_wrong_with_it(enmctl: Run, file: Path) -> None:
    env = {"ENM_FLEET_FILE": str(file)}
    assert f"fleet at {file}, reachable" in enmctl("status", env=env).stdout
    file.write_text("x = \n", "utf-8")
    assert f"fleet at {file}, broken: {file}:1:5: this is no TOML" in enmctl("status", env=env).stdout


def test_a_board_that_the_file_gives_to_another_application_is_known_by_hand_too(
    enmctl: Run, file: Path, database: Path
) -> None:
    with outside(boards_per_application=1) as world:
        [board] = world.world.boards.values()
        file.write_text(TEXT.replace("applications = [511898]", f'names = ["*_{board.local_id}"]'), "utf-8")
        number = read_fleet(file, ["esp8266"], most=1 << 20).document.applications["lamps"].id
        with Store.open(database) as store:
            store.add_device(Device("u1", number, "esp8266", board.local_id, "lamp"))
        env = {"ENM_FLEET_FILE": str(file), **QUICK}
        [heard] = [each for each in document(enmctl("scan", "--json", env=env)) if each["local_id"] == board.local_id]
        assert (heard["application_id"], heard["device_name"]) == (number, "lamp")
        assert enmctl("flash", file.parent / "firmware.bin", "lamp", env=env).exit_code == 0
        assert board.fw == "1.0"
