"""Assets from a Supervisor: whole or not at all, taken up only where a strong validator allows it, within every cap."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from enmctl.errors import ArchiveError, EnmError, SourceAwayError, SourceGoneError
from enmctl.sources.proxyvisor_assets import PART, UNPACKED, VALIDATOR
from enmctl.sources.supervisor import SupervisorSource
from tests.real.sources.rig import APP, APPLICATION, COMMIT, answering, for_ever, ok, source_at, supervised

FIRMWARE = bytes(range(256)) * 400
OLD, NOW = formatdate(1_000_000, usegmt=True), formatdate(1_000_000 + 3600, usegmt=True)
DATED = (f"Last-Modified: {OLD}".encode(), f"Date: {NOW}".encode())


def tar_of(**members: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


TAR = tar_of(firmware__bin=FIRMWARE)


async def fetch(source: SupervisorSource, folder: Path) -> list[tuple[int, int]]:
    """Fetch the asset; the progress that was told."""
    progress: list[tuple[int, int]] = []
    await source.fetch_asset(APPLICATION, COMMIT, folder, lambda done, total: progress.append((done, total)))
    return progress


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Halves:
    """Sends the first half and breaks off; then serves ranges as a server does, and notes what it is asked."""

    def __init__(self, *headers: bytes, tar: bytes = TAR, later: bytes | None = None) -> None:
        self.headers = headers
        self.tar = tar
        self.later = tar if later is None else later
        self.ranges: list[tuple[str | None, str | None]] = []

    async def __call__(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        lines = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
        asked = (lines.get("range"), lines.get("if-range"))
        self.ranges.append(asked)
        if len(self.ranges) == 1:
            writer.write(ok(self.tar, *self.headers)[: -len(self.tar) // 2])
        elif asked[0] is None or self.later is not self.tar:
            writer.write(ok(self.later, *self.headers))
        else:
            start = int(asked[0].removeprefix("bytes=").removesuffix("-"))
            where = b"Content-Range: bytes %d-%d/%d" % (start, len(self.tar) - 1, len(self.tar))
            writer.write(ok(self.tar[start:], where, *self.headers, status=b"206 Partial Content"))
        await writer.drain()


@pytest.mark.parametrize("era", ["v6", "v11", "v12"])
async def test_an_asset_of_the_simulated_supervisor_is_unpacked_and_nothing_else_stays(
    era: str, tmp_path: Path
) -> None:
    async with supervised(era=era) as (supervisor, source):
        supervisor.push(APP, {"firmware.bin": FIRMWARE, "more/notes.txt": b"x"}, COMMIT)
        progress = await fetch(source, tmp_path)
    assert names(tmp_path) == ["firmware.bin", "more"]
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE
    assert progress == sorted(progress)
    assert progress[-1][0] == progress[-1][1] > len(FIRMWARE)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        (DATED, OLD.lower()),
        ((b'ETag: "abc"',), '"abc"'),
        ((b'ETag: "abc"', *DATED), '"abc"'),
        ((b'ETag: W/"abc"', *DATED), OLD.lower()),
    ],
)
async def test_what_broke_off_is_taken_up_by_a_strong_validator(
    headers: tuple[bytes, ...], validator: str, tmp_path: Path
) -> None:
    halves = Halves(*headers)
    async with answering(halves) as server, source_at(server.address) as source:
        with pytest.raises(SourceAwayError, match="broke off"):
            await fetch(source, tmp_path)
        there = (tmp_path / PART).stat().st_size
        assert 0 < there < len(TAR)
        progress = await fetch(source, tmp_path)
    assert halves.ranges == [(None, None), (f"bytes={there}-", validator)]
    assert progress[0][0] > there
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE
    assert names(tmp_path) == ["firmware.bin"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b'ETag: W/"abc"',),
        (b"ETag: abc",),
        (f"Last-Modified: {OLD}".encode(), f"Date: {formatdate(1_000_059, usegmt=True)}".encode()),
        (b"Last-Modified: yesterday", f"Date: {NOW}".encode()),
    ],
)
async def test_without_a_strong_validator_it_begins_anew(headers: tuple[bytes, ...], tmp_path: Path) -> None:
    halves = Halves(*headers)
    async with answering(halves) as server, source_at(server.address) as source:
        with pytest.raises(SourceAwayError):
            await fetch(source, tmp_path)
        await fetch(source, tmp_path)
    assert halves.ranges == [(None, None), (None, None)]
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE


async def test_an_asset_that_changed_meanwhile_is_not_joined_to_the_old_half(tmp_path: Path) -> None:
    newer = bytes(reversed(FIRMWARE))
    halves = Halves(*DATED, later=tar_of(firmware__bin=newer))
    async with answering(halves) as server, source_at(server.address) as source:
        with pytest.raises(SourceAwayError):
            await fetch(source, tmp_path)
        await fetch(source, tmp_path)
    assert halves.ranges[1][0] is not None
    assert (tmp_path / "firmware.bin").read_bytes() == newer


async def test_a_kill_between_the_old_bytes_and_the_new_validator_joins_nothing(tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(b"old bytes of another asset")
    async with answering(ok(TAR, *DATED)) as server, source_at(server.address) as source:
        await fetch(source, tmp_path)
        assert b"range:" not in server.asked[0].lower()
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE


@pytest.mark.parametrize("validator", [b"", b"a\r\nX-Injected: yes", b"\xff\xfe", "é".encode()])
async def test_a_validator_that_is_none_is_not_sent(validator: bytes, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(TAR[:1000])
    (tmp_path / VALIDATOR).write_bytes(validator)
    async with answering(ok(TAR)) as server, source_at(server.address) as source:
        await fetch(source, tmp_path)
        assert b"range:" not in server.asked[0].lower()
        assert b"x-injected" not in server.asked[0].lower()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (b"206 Partial Content", (b"Content-Range: bytes 0-9/10",)),
        (b"206 Partial Content", ()),
        (b"416 Range Not Satisfiable", (b"Content-Range: bytes */5",)),
        (b"304 Not Modified", ()),
        (b"204 No Content", ()),
        (b"100 Continue", ()),
        (b"302 Found", (b"Location: http://192.0.2.1/",)),
    ],
)
@pytest.mark.parametrize("there", [0, 1000])
async def test_an_answer_that_fits_no_question_is_away_and_the_next_fetch_works(
    status: bytes, headers: tuple[bytes, ...], there: int, tmp_path: Path
) -> None:
    if there:
        (tmp_path / PART).write_bytes(TAR[:there])
        (tmp_path / VALIDATOR).write_text('"abc"')
    async with answering(ok(b"0123456789", *headers, status=status)) as server, source_at(server.address) as source:
        with pytest.raises(SourceAwayError):
            await fetch(source, tmp_path)
    halves = Halves(b'ETag: "abc"')
    halves.ranges.append((None, None))
    async with answering(halves) as server, source_at(server.address) as source:
        await fetch(source, tmp_path)
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE


@pytest.mark.parametrize(("status", "error", "stays"), [(404, SourceGoneError, False), (410, SourceGoneError, False)])
async def test_an_asset_that_is_gone_leaves_nothing(
    status: int, error: type[EnmError], stays: bool, tmp_path: Path
) -> None:
    await _refused_with(status, error, tmp_path, stays=stays)


@pytest.mark.parametrize("status", [401, 500, 503, 429])
async def test_a_supervisor_that_is_away_costs_no_byte_that_is_here(status: int, tmp_path: Path) -> None:
    await _refused_with(status, SourceAwayError, tmp_path, stays=True)


async def _refused_with(status: int, error: type[EnmError], folder: Path, *, stays: bool) -> None:
    (folder / PART).write_bytes(TAR[:1000])
    (folder / VALIDATOR).write_text('"abc"')
    async with answering(ok(b"Oh", status=b"%d Oh" % status)) as server, source_at(server.address) as source:
        with pytest.raises(error) as raised:
            await fetch(source, folder)
    assert raised.value.remedy
    assert not raised.value.permanent, "no new target is needed to try again"
    assert (folder / PART).exists() == stays
    assert (folder / VALIDATOR).exists() == stays


@pytest.mark.parametrize("fault", ["truncated", "garbage-tar", "escaping", "links", "empty", "zero", "garbage"])
async def test_what_is_no_sound_tar_is_refused_for_now_and_removed(fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "asset"
    folder.mkdir()
    async with supervised() as (supervisor, source):
        supervisor.push(APP, {"firmware.bin": FIRMWARE}, COMMIT)
        supervisor.fail("assets", fault, times=1)
        with pytest.raises(ArchiveError) as raised:
            await fetch(source, folder)
        assert not raised.value.permanent
        assert COMMIT[:8] in raised.value.message
        assert raised.value.remedy
        assert PART not in names(folder)
        await fetch(source, folder)
    assert names(folder) == ["firmware.bin"]
    assert names(tmp_path) == ["asset"]


@pytest.mark.parametrize("announced", [True, False])
async def test_an_asset_beyond_the_cap_is_ended_there_and_removed(announced: bool, tmp_path: Path) -> None:
    taken = 0

    async def huge(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 999999999\r\n\r\n" if announced else b"\r\n"))
        while not writer.transport.is_closing():
            writer.write(bytes(65536))
            await writer.drain()
            taken += 65536

    async with answering(huge) as server, source_at(server.address, asset_max_size=100_000) as source:
        with pytest.raises(ArchiveError) as raised:
            await fetch(source, tmp_path)
    assert (raised.value.reason, raised.value.permanent) == ("too-big", True)
    assert "ENM_ASSET_MAX_SIZE" in raised.value.remedy
    assert names(tmp_path) == []
    assert taken < 32 << 20


async def test_a_small_tar_that_unpacks_to_more_than_the_cap_is_refused(tmp_path: Path) -> None:
    async with answering(ok(TAR)) as server, source_at(server.address, asset_max_size=len(FIRMWARE) - 1) as source:
        with pytest.raises(ArchiveError):
            await fetch(source, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("begins", [b"", ok(TAR)[:2000]], ids=["nothing", "half"])
async def test_a_stall_is_given_up_and_what_came_stays(begins: bytes, tmp_path: Path) -> None:
    async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(begins)
        await for_ever(writer, b"")

    limits = {"stall_timeout": 0.2} if begins else {"supervisor_timeout": 0.5}
    async with answering(stall) as server, source_at(server.address, **limits) as source:
        with pytest.raises(SourceAwayError):
            await fetch(source, tmp_path)
    assert bool(begins) == (PART in names(tmp_path))


async def test_a_trickle_ends_at_the_limit_of_an_update(tmp_path: Path) -> None:
    async def trickle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(TAR)[:1000])
        await for_ever(writer, b"x", every=0.05)

    async with answering(trickle) as server, source_at(server.address, update_timeout=1.0) as source:
        with pytest.raises(SourceAwayError, match="too slowly"):
            await fetch(source, tmp_path)
        assert (tmp_path / PART).exists()


async def test_a_supervisor_that_packs_the_asset_first_may_take_longer_than_a_stall(tmp_path: Path) -> None:
    async def slow(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.write(ok(TAR))
        await writer.drain()

    async with answering(slow) as server, source_at(server.address, stall_timeout=0.2) as source:
        await fetch(source, tmp_path)
    assert names(tmp_path) == ["firmware.bin"]


async def test_a_fetch_that_is_cancelled_while_it_unpacks_leaves_nobody_at_work_in_the_folder(tmp_path: Path) -> None:
    tar = tar_of(**{f"{number}__bin": FIRMWARE for number in range(200)})

    async def unpacking() -> None:
        while not (fetching.done() or (tmp_path / UNPACKED).exists()):  # noqa: ASYNC110 - a folder has no event
            await asyncio.sleep(0)

    async with answering(ok(tar)) as server, source_at(server.address) as source:
        fetching = asyncio.ensure_future(fetch(source, tmp_path))
        await unpacking()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    assert UNPACKED not in names(tmp_path)
    assert len(names(tmp_path)) == 200


async def test_what_an_earlier_fetch_left_in_the_folder_does_not_mix_with_the_new(tmp_path: Path) -> None:
    (tmp_path / ".unpacked").mkdir()
    (tmp_path / ".unpacked" / "stale").touch()
    (tmp_path / "stale.bin").touch()
    async with answering(ok(TAR)) as server, source_at(server.address) as source:
        await fetch(source, tmp_path)
    assert names(tmp_path) == ["firmware.bin"]


async def test_members_that_are_called_like_our_own_files_do_no_harm(tmp_path: Path) -> None:
    tar = tar_of(
        __asset__tar=b"x", __asset__validator=b'"evil"', __unpacked=b"y", __verified=b"", firmware__bin=FIRMWARE
    )
    async with answering(ok(tar)) as server, source_at(server.address) as source:
        await fetch(source, tmp_path)
    assert (tmp_path / "firmware.bin").read_bytes() == FIRMWARE
    assert names(tmp_path) == ["firmware.bin"]


async def test_a_slow_transfer_is_no_stall_as_long_as_a_byte_comes(tmp_path: Path) -> None:
    async def slow(_: bytes, writer: asyncio.StreamWriter) -> None:
        answer = ok(TAR)
        for start in range(0, len(answer), 8192):
            writer.write(answer[start : start + 8192])
            await writer.drain()
            await asyncio.sleep(0.1)

    async with answering(slow) as server, source_at(server.address, stall_timeout=1.0) as source:
        await fetch(source, tmp_path)
    assert names(tmp_path) == ["firmware.bin"]


FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from enmctl.errors import EnmError
from enmctl.models import Application
from enmctl.settings import Settings
from enmctl.sources.supervisor import SupervisorSource

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    application = Application(13015, "lamps", "esp8266", "c" * 40)
    async with SupervisorSource(Settings(supervisor_address=sys.argv[1]), ("esp8266",)) as source:
        try:
            await source.fetch_asset(application, "c" * 40, Path(sys.argv[2]), lambda done, total: None)
        except EnmError as error:
            print(json.dumps([type(error).__name__, error.reason, error.permanent, error.remedy]))

asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
async def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    async with answering(ok(TAR)) as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "error", "-c", FULL, server.address, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    told: list[Any] = json.loads(done.stdout)
    assert told[:3] == ["StoreError", "disk-full", False]
    assert "ENM_ASSETS_DIRECTORY" in told[3]
