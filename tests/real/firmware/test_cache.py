from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.errors import FirmwareError, SourceAwayError, StoreError
from enmctl.firmware.cache import AssetCache
from enmctl.firmware.claim import claimed

COMMIT = "c0ffee" * 6 + "1234"
OTHER = "beef" * 10
APPLICATION = 511898


def accept(folder: Path) -> None:
    if (folder / "firmware.bin").read_bytes() != b"good":
        raise FirmwareError("it is bad")


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


class Fetch:
    """A fetch that counts its calls, waits where told to, and fails as told."""

    def __init__(self, content: bytes = b"good", *, error: Exception | None = None, waits: bool = False) -> None:
        self.content = content
        self.error = error
        self.calls = 0
        self.found: list[str] = []
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        if not waits:
            self.go_on.set()

    async def __call__(self, folder: Path) -> None:
        self.calls += 1
        self.found = inside(folder)
        (folder / "asset.part").write_bytes(self.content[:2])
        self.started.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        (folder / "asset.part").unlink()
        (folder / "firmware.bin").write_bytes(self.content)


@pytest.fixture
def cache(tmp_path: Path) -> AssetCache:
    return AssetCache(tmp_path / "assets")


def names(cache: AssetCache) -> list[str]:
    return inside(cache._root / str(APPLICATION))


async def test_an_asset_is_fetched_once_and_found_again(cache: AssetCache, tmp_path: Path) -> None:
    fetch = Fetch()
    assert cache.get(APPLICATION, COMMIT) is None
    folder = await cache.ensure(APPLICATION, COMMIT, fetch, accept)
    assert folder == tmp_path / "assets" / str(APPLICATION) / COMMIT
    assert (folder / "firmware.bin").read_bytes() == b"good"
    assert await cache.ensure(APPLICATION, COMMIT, fetch, accept) == folder
    assert AssetCache(tmp_path / "assets").get(APPLICATION, COMMIT) == folder
    assert fetch.calls == 1
    assert names(cache) == [COMMIT]


def wrong(*, permanent: bool) -> FirmwareError:
    return FirmwareError("it is bad", permanent=permanent)


async def refused(cache: AssetCache, fetch: Fetch, wanted: object = None) -> None:
    with pytest.raises(FirmwareError, match="it is bad"):
        await cache.ensure(APPLICATION, COMMIT, fetch, accept, wanted=wanted)


@pytest.mark.parametrize("error", [None, wrong(permanent=True)])
async def test_what_was_found_wrong_for_good_is_not_fetched_again_until_nobody_wants_it(
    cache: AssetCache, error: FirmwareError | None
) -> None:
    fetch = Fetch(b"bad", error=error)
    for _ in range(3):
        await refused(cache, fetch)
    assert fetch.calls == 1
    await asyncio.to_thread(cache.prune, {(APPLICATION, COMMIT)})
    await refused(cache, fetch)
    assert fetch.calls == 1
    await asyncio.to_thread(cache.prune, {(APPLICATION, OTHER)})
    good = Fetch()
    await cache.ensure(APPLICATION, COMMIT, good, accept)
    assert good.calls == 1


async def test_what_was_found_wrong_otherwise_is_fetched_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = AssetCache(tmp_path / "assets", wrong_for=900.0)
    fetch = Fetch(error=wrong(permanent=False))
    for _ in range(2):
        await refused(cache, fetch)
    assert fetch.calls == 1
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 900.0)
    await refused(cache, fetch)
    assert fetch.calls == 2


async def test_what_is_wrong_for_one_config_is_fetched_for_another(cache: AssetCache) -> None:
    fetch = Fetch(b"bad")
    for config in ({"SIZE": "1"}, {"SIZE": "1"}, {"SIZE": "2"}):
        await refused(cache, fetch, config)
    assert fetch.calls == 2


async def test_no_more_is_remembered_of_wrong_assets_than_there_is_room_for(
    cache: AssetCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enmctl.firmware.cache.WRONG_MOST", 2)
    fetch = Fetch(b"bad")
    for commit in ("a", "b", "c", "b", "c", "a"):
        with pytest.raises(FirmwareError):
            await cache.ensure(APPLICATION, commit, fetch, accept)
    assert fetch.calls == 4


async def test_many_who_ask_at_once_share_one_fetch_and_its_failure(cache: AssetCache) -> None:
    fetch = Fetch(waits=True)
    asking = [asyncio.create_task(cache.ensure(APPLICATION, COMMIT, fetch, accept)) for _ in range(20)]
    await fetch.started.wait()
    fetch.go_on.set()
    assert len({*await asyncio.gather(*asking)}) == 1
    assert fetch.calls == 1

    failing = Fetch(error=SourceAwayError("away"), waits=True)
    asking = [asyncio.create_task(cache.ensure(APPLICATION, OTHER, failing, accept)) for _ in range(20)]
    await failing.started.wait()
    failing.go_on.set()
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(error, SourceAwayError) for error in errors)
    assert failing.calls == 1


async def test_a_broken_fetch_is_taken_up_where_it_ended(cache: AssetCache) -> None:
    with pytest.raises(SourceAwayError):
        await cache.ensure(APPLICATION, COMMIT, Fetch(error=SourceAwayError("away")), accept)
    assert cache.get(APPLICATION, COMMIT) is None
    again = Fetch()
    await cache.ensure(APPLICATION, COMMIT, again, accept)
    assert again.found == ["asset.part"]
    assert names(cache) == [COMMIT]


async def test_what_fails_verification_is_gone_and_the_next_try_starts_clean(cache: AssetCache) -> None:
    with pytest.raises(FirmwareError):
        await cache.ensure(APPLICATION, COMMIT, Fetch(b"bad"), accept)
    assert cache.get(APPLICATION, COMMIT) is None
    assert names(cache) == []
    again = Fetch()
    await cache.ensure(APPLICATION, COMMIT, again, accept, wanted="with another config")
    assert again.found == []


async def test_a_verification_that_breaks_down_keeps_nothing_either(cache: AssetCache) -> None:
    def break_down(_: Path) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await cache.ensure(APPLICATION, COMMIT, Fetch(), break_down)
    assert names(cache) == []


async def test_one_who_stops_waiting_does_not_stop_the_others(cache: AssetCache) -> None:
    fetch = Fetch(waits=True)
    first = asyncio.create_task(cache.ensure(APPLICATION, COMMIT, fetch, accept))
    await fetch.started.wait()
    second = asyncio.create_task(cache.ensure(APPLICATION, COMMIT, fetch, accept))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    fetch.go_on.set()
    assert (await second).is_dir()


async def test_the_last_who_stops_waiting_ends_the_fetch_and_a_newcomer_starts_another(cache: AssetCache) -> None:
    fetch = Fetch(waits=True)
    asking = asyncio.create_task(cache.ensure(APPLICATION, COMMIT, fetch, accept))
    await fetch.started.wait()
    asking.cancel()
    newcomer = asyncio.create_task(cache.ensure(APPLICATION, COMMIT, again := Fetch(), accept))
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert (await newcomer).is_dir()
    assert again.found == ["asset.part"]
    assert not cache._flights


async def test_the_originals_unverified_assets_at_the_same_path_count_for_nothing(cache: AssetCache) -> None:
    old = cache._root / str(APPLICATION) / COMMIT
    old.mkdir(parents=True)
    (old / "binary.tar").write_bytes(b"half")
    (old / "firmware.bin").write_bytes(b"half")
    assert cache.get(APPLICATION, COMMIT) is None
    assert cache.prune([]) == []
    assert old.is_dir()
    folder = await cache.ensure(APPLICATION, COMMIT, Fetch(), accept)
    assert sorted(path.name for path in folder.iterdir()) == [".verified", "firmware.bin"]


@pytest.mark.parametrize("commit", ["", ".", "..", ".partial-x", "a/b", "../x", "a b", "x" * 129, "grün", "a\0", "a\n"])
async def test_a_commit_that_is_no_safe_name_is_refused(commit: str, cache: AssetCache) -> None:
    fetch = Fetch()
    with pytest.raises(FirmwareError) as caught:
        await cache.ensure(APPLICATION, commit, fetch, accept)
    assert caught.value.reason == "commit-name"
    assert not fetch.calls


async def test_prune_keeps_what_is_wanted_and_what_is_under_way(cache: AssetCache) -> None:
    await cache.ensure(APPLICATION, COMMIT, Fetch(), accept)
    await cache.ensure(APPLICATION, OTHER, Fetch(), accept)
    with pytest.raises(SourceAwayError):
        await cache.ensure(APPLICATION, "left", Fetch(error=SourceAwayError("away")), accept)
    fetch = Fetch(waits=True)
    running = asyncio.create_task(cache.ensure(APPLICATION, "running", fetch, accept))
    await fetch.started.wait()
    assert {path.name for path in cache.orphans([(APPLICATION, COMMIT)])} == {OTHER, ".partial-left"}
    await asyncio.to_thread(cache.prune, [(APPLICATION, COMMIT)])
    assert names(cache) == [".partial-running", COMMIT]
    fetch.go_on.set()
    assert (await running).is_dir()
    assert len(cache.prune([])) == 2
    assert AssetCache(cache._root / "none").prune([]) == []


async def test_prune_leaves_what_is_not_the_caches_own(cache: AssetCache) -> None:
    stranger = cache._root / "lost+found" / "x"
    stranger.mkdir(parents=True)
    (cache._root / "12" / "sources").mkdir(parents=True)
    assert cache.prune([]) == []
    assert stranger.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="claims are granted to everybody on Windows")
async def test_while_another_process_has_the_staging_folder_a_fetch_uses_its_own(cache: AssetCache) -> None:
    theirs = cache._root / str(APPLICATION) / f".partial-{COMMIT}"
    theirs.mkdir(parents=True)
    (theirs / "asset.part").write_bytes(b"theirs")
    with claimed(theirs) as ours:
        assert ours
        fetch = Fetch()
        await cache.ensure(APPLICATION, COMMIT, fetch, accept)
    assert fetch.found == []
    assert (theirs / "asset.part").read_bytes() == b"theirs"
    assert names(cache) == [f".partial-{COMMIT}", COMMIT]


async def test_who_comes_second_takes_what_another_process_finished_first(cache: AssetCache) -> None:
    class Overtaken(Fetch):
        async def __call__(self, folder: Path) -> None:
            await super().__call__(folder)
            final = cache._root / str(APPLICATION) / COMMIT
            final.mkdir()
            (final / "firmware.bin").write_bytes(b"good")
            (final / ".verified").write_bytes(b"theirs")

    folder = await cache.ensure(APPLICATION, COMMIT, Overtaken(), accept)
    assert (folder / ".verified").read_bytes() == b"theirs"
    assert names(cache) == [COMMIT]


FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from enmctl.errors import EnmError
from enmctl.firmware.cache import AssetCache

async def fetch(folder):
    (folder / "firmware.bin").write_bytes(bytes(1_000_000))

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    root = Path(sys.argv[1])
    try:
        await AssetCache(root).ensure(1, "c", fetch, lambda folder: None)
    except EnmError as error:
        left = [path.name for path in (root / "1").iterdir()]
        print(json.dumps([type(error).__name__, error.reason, error.permanent, left]))

asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
def test_a_full_disk_is_said_and_nothing_half_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [StoreError.__name__, "disk-full", False, []]
