"""The fleet file as a source: what it hands out, when it says that something changed, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enmctl.errors import EnmError, FirmwareError, FleetError, SourceAwayError, SourceGoneError, SourceRefusedError
from enmctl.models import Application, Device
from enmctl.settings import Settings
from enmctl.sources.fleet import source as fleet_source
from enmctl.sources.fleet import watching
from enmctl.sources.fleet.fleet import Fleet, read_fleet
from enmctl.sources.fleet.source import FleetSource
from enmctl.store import Store
from tests.real.sources.fleet.https_server import Answers, serving
from tests.real.sources.fleet.rig import LAMPS, TYPES, image, write

APPLICATION = Application(511898, "lamps", "esp8266", None)
WITHIN = 10.0


def settings(path: Path) -> Settings:
    return Settings(fleet_file=path, source="fleet", db_directory=path.parent / "database")


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[FleetSource]:
    async with FleetSource(settings(path), TYPES) as source:
        yield source


async def handed_out(source: FleetSource, commit: str, folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - a test's own folder
    await source.fetch_asset(APPLICATION, commit, folder, lambda _done, _total: None)
    return {file.name: file.read_bytes() for file in folder.iterdir()}  # noqa: ASYNC240


async def commit_of(source: FleetSource) -> str:
    desired = await source.fetch()
    assert desired is not None
    return desired.applications[511898].commit or ""


async def test_what_has_not_changed_is_not_told_again(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as source:
        assert await source.fetch() is not None
        assert await source.fetch() is None
        assert await source.reachable()


async def test_a_device_is_the_same_each_time_and_listed_from_then_on(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with opened(path) as source:
        await source.fetch()
        made = await source.provision(APPLICATION, "1265892")
        assert made.listed is not None
        assert (made.name, made.listed.uuid) == ("lamps-1265892", made.uuid)
        assert await source.listed(made.uuid)
        desired = await source.fetch()
        assert desired is not None
        assert list(desired.devices.values()) == [made.listed]
    async with opened(path) as again:
        await again.fetch()
        assert (await again.provision(APPLICATION, "1265892")).uuid == made.uuid


async def test_devices_that_the_database_knows_keep_their_uuids(tmp_path: Path) -> None:
    path = write(tmp_path)
    with Store.open(tmp_path / "database" / "enm.db") as store:
        store.add_device(Device("from-a-supervisor", 511898, "esp8266", "1265892"))
    async with opened(path) as source:
        desired = await source.fetch()
        assert desired is not None
        assert list(desired.devices) == ["from-a-supervisor"]


async def test_a_board_that_the_file_does_not_list_becomes_no_device(tmp_path: Path) -> None:
    async with opened(write(tmp_path, LAMPS + 'provision = "listed"\n')) as source:
        await source.fetch()
        with pytest.raises(SourceRefusedError, match="does not want board 7"):
            await source.provision(APPLICATION, "7")


async def test_firmware_is_handed_out_under_the_name_that_drivers_know(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as source:
        assert await handed_out(source, await commit_of(source), tmp_path / "out") == {"firmware.bin": image("1.0")}
        with pytest.raises(SourceGoneError):
            await handed_out(source, "0.9-aaaaaaaa", tmp_path / "out")


async def test_other_files_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "program.hex").write_bytes(b":00000001FF\n")
    async with opened(write(tmp_path, LAMPS.replace("firmware.bin", "program.hex"))) as source:
        assert await handed_out(source, await commit_of(source), tmp_path / "out") == {"program.hex": b":00000001FF\n"}


async def test_firmware_that_changed_after_the_file_was_read_is_not_handed_out(tmp_path: Path) -> None:
    async with opened(write(tmp_path)) as source:
        commit = await commit_of(source)
        (tmp_path / "firmware.bin").write_bytes(image("1.0", seed=2))
        with pytest.raises(SourceGoneError, match="was changed meanwhile"):
            await handed_out(source, commit, tmp_path / "out")


async def test_a_broken_file_is_an_error_until_it_is_put_right_and_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with opened(path) as source:
        await source.fetch()
        path.write_text("x =\n")
        for _ in range(2):
            with pytest.raises(FleetError, match=r":1:4: this is no TOML"):
                await source.fetch()
        assert (await source.provision(APPLICATION, "7")).listed is not None, "the last good one is in force"
        path.write_text(LAMPS + "# right again\n")
        assert await source.fetch() is not None


def _write_in_place(path: Path) -> None:
    path.write_text(LAMPS + "# changed\n", "utf-8")


def _replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(LAMPS + "# changed\n", "utf-8")
    new.replace(path)


def _change_firmware(path: Path) -> None:
    (path.parent / "firmware.bin").write_bytes(image("1.0", seed=3))


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("how", [_write_in_place, _replace, _change_firmware, _remove])
@pytest.mark.parametrize("has_inotify", [True, False])
async def test_a_change_is_told_at_once(
    how: Callable[[Path], None], *, has_inotify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_inotify and sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    if not has_inotify:
        monkeypatch.setattr(watching, "_open_inotify", lambda: None)
        monkeypatch.setattr(watching, "LOOK_INTERVAL", 0.02)
    path, changed = write(tmp_path), asyncio.Event()
    async with opened(path) as source:
        await source.fetch()
        source.watch(changed.set)
        how(path)
        async with asyncio.timeout(WITHIN):
            await changed.wait()


@pytest.mark.parametrize(
    ("how", "is_right"),
    [(_write_in_place, True), (_replace, True), (_change_firmware, True), (_write_in_place, False), (_replace, False)],
)
@pytest.mark.parametrize("has_inotify", [True, False])
async def test_a_change_while_the_file_is_read_is_told_and_taken_up(
    how: Callable[[Path], None], *, is_right: bool, has_inotify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_inotify and sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    if not has_inotify:
        monkeypatch.setattr(watching, "_open_inotify", lambda: None)
        monkeypatch.setattr(watching, "LOOK_INTERVAL", 0.02)
    path, changed, meanwhile = write(tmp_path, LAMPS if is_right else LAMPS + "x = 1\n"), asyncio.Event(), [how]

    def read(*args: Any, **words: Any) -> Fleet:
        try:
            return read_fleet(*args, **words)
        finally:
            while meanwhile:
                meanwhile.pop()(path)

    monkeypatch.setattr(fleet_source, "read_fleet", read)
    async with opened(path) as source:
        with nullcontext() if is_right else pytest.raises(FleetError):
            await source.check()
        source.watch(changed.set)
        async with asyncio.timeout(WITHIN):
            await changed.wait()
        commit = await commit_of(source)
        assert list((await handed_out(source, commit, tmp_path / "out")).values()) == [
            (tmp_path / "firmware.bin").read_bytes()
        ]


async def test_a_swapped_link_is_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    (tmp_path / "current").symlink_to(tmp_path / "one")
    (tmp_path / "fleet.toml").symlink_to(tmp_path / "current" / "fleet.toml")
    (tmp_path / "firmware.bin").write_bytes(image("1.0"))
    changed = asyncio.Event()
    async with opened(tmp_path / "fleet.toml") as source:
        await source.fetch()
        source.watch(changed.set)
        (tmp_path / "next").symlink_to(tmp_path / "two")
        (tmp_path / "next").replace(tmp_path / "current")
        async with asyncio.timeout(WITHIN):
            await changed.wait()


def signed(data: bytes, secret: Ed25519PrivateKey) -> str:
    signature = secret.sign(hashlib.blake2b(data).digest())
    line, over_all = (base64.b64encode(each).decode() for each in (b"ED12345678" + signature, secret.sign(signature)))
    return f"untrusted comment: x\n{line}\ntrusted comment: \n{over_all}\n"


async def test_signed_firmware_is_taken_and_unsigned_is_not(tmp_path: Path) -> None:
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    path = write(tmp_path, LAMPS + f'public_key = "{key}"\n')
    signature = tmp_path / "firmware.bin.minisig"
    async with opened(path) as source:
        with pytest.raises(FleetError, match=r":6:14: firmware.bin is refused: it is not signed"):
            await source.fetch()
        signature.write_text(signed(image("1.1"), secret))
        with pytest.raises(FleetError, match=r":6:14: firmware.bin is refused: the signature does not fit"):
            await source.fetch()
        signature.write_text(signed(image("1.0"), secret))
        commit = await commit_of(source)
        assert await handed_out(source, commit, tmp_path / "out") == {"firmware.bin": image("1.0")}
        signature.write_text(signed(image("1.1"), secret))
        with pytest.raises(FirmwareError, match=r"does not fit"):
            await handed_out(source, commit, tmp_path / "out")


async def test_without_cryptography_what_should_be_signed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    path = write(tmp_path, LAMPS + f'public_key = "{key}"\n')
    (tmp_path / "firmware.bin.minisig").write_text(signed(image("1.0"), secret))
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    async with opened(path) as source:
        with pytest.raises(FleetError, match=r"pip install 'enmctl\[signatures\]'"):
            await source.fetch()


FETCHED = image("2.0")
FETCHES: dict[str, tuple[Answers, type[EnmError] | None, str]] = {
    "whole": ({"/f.bin": (200, {"Content-Length": str(len(FETCHED))}, FETCHED)}, None, ""),
    "moved to what is not there": (
        {"/f.bin": (302, {"Location": "/g.bin?s3cret"}, b"")},
        SourceGoneError,
        "nothing is at",
    ),
    "moved": ({"/f.bin": (302, {"Location": "/g.bin"}, b""), "/g.bin": (200, {}, FETCHED)}, None, ""),
    "changed": ({"/f.bin": (200, {}, FETCHED + b"x")}, FirmwareError, "another SHA-256"),
    "cut off": ({"/f.bin": (200, {"Content-Length": "99999"}, FETCHED)}, SourceAwayError, "cannot be fetched"),
    "gone": ({}, SourceGoneError, "nothing is at"),
    "failing": ({"/f.bin": (500, {}, b"")}, SourceAwayError, "answers 500"),
    "in a circle": ({"/f.bin": (302, {"Location": "/f.bin"}, b"")}, SourceAwayError, "redirects for ever"),
    "out of https": ({"/f.bin": (302, {"Location": "http://127.0.0.1/"}, b"")}, FirmwareError, "not https"),
    "compressed": ({"/f.bin": (200, {"Content-Encoding": "br"}, FETCHED)}, SourceAwayError, r"comes compressed \(br\)"),
    "said to be plain": ({"/f.bin": (200, {"Content-Encoding": "identity"}, FETCHED)}, None, ""),
    "too large": ({"/f.bin": (200, {}, bytes(64 << 20))}, FirmwareError, "larger than"),
}


@pytest.mark.parametrize("case", FETCHES)
async def test_firmware_is_fetched_by_its_hash_or_not_at_all(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, error, words = FETCHES[case]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    async with serving(tmp_path, answers, compresses=True) as address:
        text = LAMPS.replace("firmware.bin", f"{address}/f.bin")
        text += f'sha256 = "{hashlib.sha256(FETCHED).hexdigest()}"\n'
        async with opened(write(tmp_path, text)) as source:
            commit = await commit_of(source)
            if error is None:
                assert await handed_out(source, commit, tmp_path / "out") == {"firmware.bin": FETCHED}
                return
            with pytest.raises(error, match=words) as raised:
                await handed_out(source, commit, tmp_path / "out")
            assert "s3cret" not in str(raised.value)


SIGNATURES: dict[str, tuple[str, str]] = {
    "beside it": ("", "/f.bin.minisig?token=1"),
    "elsewhere": ('signature = "ADDRESS/signatures/f"\n', "/signatures/f"),
    "here": ('signature = "f.minisig"\n', "f.minisig"),
}
"""What the fleet file says of where a signature is, and where it is."""


@pytest.mark.parametrize("case", SIGNATURES)
@pytest.mark.parametrize("fits", [True, False])
async def test_the_signature_of_fetched_firmware_is_looked_for_where_the_file_says(
    case: str, *, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, place = SIGNATURES[case]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    signature = signed(FETCHED if fits else b"other", secret).encode()
    (tmp_path / "f.minisig").write_bytes(signature)
    answers: Answers = {"/f.bin?token=1": (200, {}, FETCHED), place: (200, {}, signature)}
    async with serving(tmp_path, answers) as address:
        text = LAMPS.replace("firmware.bin", f"{address}/f.bin?token=1") + line.replace("ADDRESS", address)
        text += f'sha256 = "{hashlib.sha256(FETCHED).hexdigest()}"\npublic_key = "{key}"\n'
        async with opened(write(tmp_path, text)) as source:
            commit = await commit_of(source)
            with nullcontext() if fits else pytest.raises(FirmwareError, match=r"f.bin is refused"):
                assert await handed_out(source, commit, tmp_path / "out") == {"firmware.bin": FETCHED}


async def test_a_version_is_checked_by_the_key_of_its_application(tmp_path: Path) -> None:
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    (tmp_path / "firmware.bin.minisig").write_text(signed(image("1.0"), secret))
    text = LAMPS + f'public_key = "{key}"\nversions.old = {{ firmware = "firmware.bin", signature = "old.minisig" }}\n'
    (tmp_path / "old.minisig").write_text(signed(image("1.1"), secret))
    async with opened(write(tmp_path, text)) as source:
        with pytest.raises(FleetError, match=r":7:57: firmware.bin is refused: the signature does not fit"):
            await source.fetch()
        (tmp_path / "old.minisig").write_text(signed(image("1.0"), secret))
        assert await source.fetch() is not None


async def test_a_server_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    async with serving(tmp_path, {"/f.bin": (200, {}, FETCHED)}) as address:
        text = LAMPS.replace("firmware.bin", f"{address}/f.bin")
        text += f'sha256 = "{hashlib.sha256(FETCHED).hexdigest()}"\n'
        async with opened(write(tmp_path, text)) as source:
            with pytest.raises(SourceAwayError, match="cannot be fetched"):
                await handed_out(source, await commit_of(source), tmp_path / "out")
