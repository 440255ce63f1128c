"""Real firmware files of other projects, where they lie beside the checkout: all that is told of them is right."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from enmctl.firmware.hex import Family
from enmctl.firmware.inspect import Inspection, inspect
from enmctl.firmware.microbit_regions import user_part
from enmctl.firmware.nordic_init import LegacyInit, SecureInit, read_init
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target

FILES = Path(__file__).parents[4] / "shared" / "fixtures"
FAMILIES = {"V1": Target.MICROBIT_V1, "V2": Target.MICROBIT_V2}

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="the shared fixtures are not beside this checkout")


def expectations(folder: str) -> list[Any]:
    place = FILES / folder / "expected.json"
    rows: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    return [pytest.param(FILES / folder / name, row, id=name) for name, row in rows.items()]


def payload_for(found: Inspection, target: Target) -> Payload | None:
    fitting = [payload for payload in found.payloads if target in payload.targets]
    assert len(fitting) <= 1
    return fitting[0] if fitting else None


@pytest.mark.parametrize(("path", "row"), expectations("microbit"))
def test_a_micro_bit_program_is_told_as_two_independent_decoders_have_it(path: Path, row: Any) -> None:
    began = time.process_time()
    found = inspect(path)
    assert time.process_time() - began < 0.9
    assert (found.size, found.sha256) == (row["bytes"], row["sha256"])
    pieces = [(piece.address, piece.size) for piece in found.contents]
    blocks = [(int(start, 16), int(end, 16)) for part in row["parts"] for start, end in part["blocks"]]
    assert pieces == [(start, end - start) for start, end in blocks]
    for family, target in FAMILIES.items():
        expected = [part["app"][family] for part in row["parts"] if part["sendable"][family]]
        payload = payload_for(found, target)
        if not expected:
            assert payload is None
            continue
        (app,) = expected
        assert payload is not None
        assert (payload.address, payload.size) == (int(app["start"], 16), app["size"])
        assert (payload.sha256, payload.init_packet) == (app["sha256"], app["init_packet"])
        assert payload.crc16 == int(app["crc16"], 16)


@pytest.mark.parametrize(
    ("name", "boards", "refused"),
    [
        ("microbit-small-heart-makecode-v0.hex", {"V1"}, {"V2": "wrong-board"}),
        ("bluetooth-v1-no-magnetometer.hex", {"V1"}, {"V2": "wrong-board"}),
        ("microbit-small-heart-makecode-v3.hex", {"V1", "V2"}, {}),
        ("microbit-small-heart-makecode-v8.hex", {"V1", "V2"}, {}),
        ("microbit-micropython-v1.hex", set(), {"V1": "no-softdevice", "V2": "wrong-board"}),
        ("microbit-micropython-v2.hex", {"V2"}, {"V1": "wrong-board"}),
    ],
)
def test_each_program_goes_to_the_right_boards_and_no_others(
    name: str, boards: set[str], refused: dict[str, str]
) -> None:
    found = inspect(FILES / "microbit" / name)
    assert {target for payload in found.payloads for target in payload.targets} == {FAMILIES[name] for name in boards}
    assert {target: refusal.reason for refusal in found.refusals for target in refusal.targets} == {
        FAMILIES[name]: reason for name, reason in refused.items()
    }


@pytest.mark.parametrize(("path", "row"), expectations("nordic"))
def test_a_package_is_told_as_two_independent_decoders_have_it(path: Path, row: Any) -> None:
    found = inspect(path)
    assert (found.size, found.sha256, found.refusals) == (row["size"], row["sha256"], ())
    by_role = {payload.role.value: payload for payload in found.payloads}
    assert by_role.keys() == {image["role"] for image in row["images"]}
    for image in row["images"]:
        payload = by_role[image["role"]]
        assert (payload.size, payload.sha256) == (image["bin_size"], image["bin_sha256"])
        assert (payload.crc16, payload.init_packet) == (int(image["bin_crc16"], 16), image["dat_hex"])
        assert payload.protocol == f"{image['init']['kind']}-dfu"
        check_init(bytes.fromhex(image["dat_hex"]), image["init"], payload)


def check_init(packet: bytes, expected: Any, payload: Payload) -> None:
    init = read_init(packet)
    if expected["kind"] == "legacy":
        assert isinstance(init, LegacyInit)
        assert [init.device_type, init.device_revision, init.application_version] == [
            int(expected[field], 16) for field in ("device_type", "device_rev", "app_version")
        ]
        assert list(payload.softdevices) == [int(id_, 16) for id_ in expected["softdevices"]]
        assert init.crc16 == int.from_bytes(bytes.fromhex(expected["ext"]), "little")
        return
    assert isinstance(init, SecureInit)
    assert (init.firmware_version, init.hardware_version) == (expected["fw_version"], expected["hw_version"])
    assert payload.hardware_version == expected["hw_version"]
    assert list(payload.softdevices) == [int(id_, 16) for id_ in expected["sd_req"]]
    assert init.image_type.name.lower() == expected["type"]
    assert [init.softdevice_size, init.bootloader_size, init.application_size] == [
        expected[field] for field in ("sd_size", "bl_size", "app_size")
    ]
    assert init.sha256[::-1].hex() == expected["hash"]
    assert (init.debug, init.signed) == (bool(expected["is_debug"]), "signature" in expected)


@pytest.mark.parametrize(
    ("name", "target", "address", "size"),
    [
        ("microbit-small-heart-makecode-v8.hex", Target.MICROBIT_V1, 0x35400, 5184),
        ("microbit-small-heart-makecode-v8.hex", Target.MICROBIT_V2, 0x47000, 5184),
        ("microbit-small-heart-makecode-v3.hex", Target.MICROBIT_V1, 0x35000, 5056),
    ],
)
def test_the_users_part_of_a_makecode_program_is_found(name: str, target: Target, address: int, size: int) -> None:
    payload = payload_for(inspect(FILES / "microbit" / name), target)
    assert payload is not None
    assert payload.address is not None
    part = user_part(payload.data, payload.address, Family.V1 if target is Target.MICROBIT_V1 else Family.V2)
    assert part is not None
    assert (part.address, len(part.data)) == (address, size)
