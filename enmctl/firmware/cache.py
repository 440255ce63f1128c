"""The firmware that was fetched, by application and commit; what is in it was verified whole.

``{root}/{application}/{commit}/`` holds the members of one asset and a mark that says they were verified. What is on
its way stands beside it as ``.partial-{commit}`` and is taken up again by the next try. The original kept its assets at
the same paths, unverified: a folder without the mark counts for nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enmctl.errors import EnmError, FirmwareError, StoreError
from enmctl.firmware.claim import claimed
from enmctl.firmware.disk import NO_ROOM, disk_error, disk_errors, remove, sync_folder, sync_tree

Fetch = Callable[[Path], Awaitable[None]]
"""Fills a folder with the members of an asset; what an earlier, broken call left there it takes up or removes."""

Verify = Callable[[Path], object]
"""Raises ``FirmwareError`` where the members in a folder are not what they must be. Runs in a thread."""

COMMIT: Final = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}", re.ASCII)
MARK: Final = ".verified"
PARTIAL: Final = ".partial-"
PRIVATE: Final = "~"
OUTGOING: Final = ".removing-"

WRONG_MOST: Final = 256
"""So many assets that were found wrong are remembered."""


@dataclass(slots=True)
class _Flight:
    """One fetch under way, how many wait for it, and whether the last of them has gone."""

    task: asyncio.Task[Path]
    waiting: int = 0
    ending: bool = False


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What was found wrong with an asset, for whoever wants it so, until a time of the loop."""

    error: FirmwareError
    wanted: object
    until: float


class AssetCache:
    """Fetches each asset once, however many ask for it.

    Args:
        root: the folder of the cache; made when the first asset comes.
        wrong_for: seconds for which an asset that was found wrong is not fetched again; where the error is permanent,
            until ``prune`` hears that nobody wants it any more.
    """

    def __init__(self, root: Path, *, wrong_for: float = 0.0) -> None:
        self._root = root
        self._wrong_for = wrong_for
        self._flights: dict[tuple[int, str], _Flight] = {}
        self._wrong: dict[tuple[int, str], _Wrong] = {}

    def get(self, application: int, commit: str) -> Path | None:
        """The folder of an asset that is here, or None.

        Raises:
            FirmwareError: the commit is no name for a folder.
        """
        folder = self._folder(application, commit)
        return folder if (folder / MARK).is_file() else None

    async def ensure(
        self, application: int, commit: str, fetch: Fetch, verify: Verify, *, wanted: object = None
    ) -> Path:
        """The folder of an asset, fetched and verified first where it is not here yet.

        While one fetch runs, further callers wait for it and share its end; it is cancelled with the last of them.
        After a failed or cancelled fetch the rest stays for the next try, unless it was found to be wrong or the disk
        is full. What was found wrong is not fetched again for a while.

        Args:
            application: whose asset it is.
            commit: the asset's commit.
            fetch: brings the asset where it is not here.
            verify: looks at what came.
            wanted: what ``verify`` goes by besides; what is wrong for one may be right for another.

        Raises:
            FirmwareError: what came is not right, now or lately, or the commit is no name for a folder.
            StoreError: the disk is full (reason "disk-full") or cannot be written ("disk").
            EnmError: whatever ``fetch`` raises.
        """
        if (folder := self.get(application, commit)) is not None:
            return folder
        self._refuse_wrong((application, commit), wanted)
        flight = await self._flight(application, commit, fetch, verify, wanted)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.ending = True
                flight.task.cancel()
                await asyncio.wait({flight.task})
                if not flight.task.cancelled():
                    flight.task.exception()  # nobody is left to hear it

    def _refuse_wrong(self, key: tuple[int, str], wanted: object) -> None:
        known = self._wrong.get(key)
        if known is None or known.wanted != wanted:
            return
        if asyncio.get_running_loop().time() < known.until:
            raise known.error.with_traceback(None)
        del self._wrong[key]

    def _note_wrong(self, key: tuple[int, str], wanted: object, error: FirmwareError) -> None:
        until = math.inf if error.permanent else asyncio.get_running_loop().time() + self._wrong_for
        self._wrong.pop(key, None)
        self._wrong[key] = _Wrong(error, wanted, until)
        if len(self._wrong) > WRONG_MOST:
            del self._wrong[next(iter(self._wrong))]

    async def _flight(self, application: int, commit: str, fetch: Fetch, verify: Verify, wanted: object) -> _Flight:
        key = (application, commit)
        while (flight := self._flights.get(key)) is not None:
            if not flight.ending:
                return flight
            await asyncio.wait({flight.task})
        task = asyncio.get_running_loop().create_task(self._fly(key, fetch, verify, wanted))
        flight = self._flights[key] = _Flight(task)
        return flight

    async def _fly(self, key: tuple[int, str], fetch: Fetch, verify: Verify, wanted: object) -> Path:
        try:
            return await self._bring(*key, fetch, verify)
        except FirmwareError as error:
            self._note_wrong(key, wanted, error)
            raise
        finally:
            del self._flights[key]

    def orphans(self, keep: Collection[tuple[int, str]]) -> list[Path]:
        """The folders, whole and partial, of assets that ``keep`` does not name and nobody is fetching."""
        wanted = {*keep, *self._flights}
        return [folder for key, folder in self._held() if key not in wanted]

    def prune(self, keep: Collection[tuple[int, str]]) -> list[Path]:
        """Remove the orphans; return the folders that went. Reads and writes the disk: call it in a thread.

        What was wrong with an asset that ``keep`` does not name is forgotten.

        Raises:
            StoreError: the cache cannot be written.
        """
        for key in self._wrong.keys() - set(keep):
            self._wrong.pop(key, None)
        gone = []
        with disk_errors("tidying the firmware cache"):
            for folder in self.orphans(keep):
                with claimed(folder) as ours:
                    if ours:
                        _take_away(folder)
                        gone.append(folder)
        return gone

    def _folder(self, application: int, commit: str) -> Path:
        if not COMMIT.fullmatch(commit):
            raise FirmwareError(
                f"the commit {commit[:140]!r} cannot be the name of a folder",
                remedy="push the release again",
                reason="commit-name",
            )
        return self._root / str(int(application)) / commit

    def _held(self) -> Iterator[tuple[tuple[int, str] | None, Path]]:
        """Every folder that this cache made, with the asset that it is for; None for one that nobody will take up."""
        if not self._root.is_dir():
            return
        for application in self._root.iterdir():
            if not application.name.isascii() or not application.name.isdigit() or not application.is_dir():
                continue
            for folder in application.iterdir():
                name = folder.name
                if name.startswith(OUTGOING) or PRIVATE in name:
                    yield None, folder
                elif name.startswith(PARTIAL):
                    yield (int(application.name), name.removeprefix(PARTIAL)), folder
                elif (folder / MARK).is_file():
                    yield (int(application.name), name), folder

    async def _bring(self, application: int, commit: str, fetch: Fetch, verify: Verify) -> Path:
        folder = self._folder(application, commit)
        doing = f"keeping firmware {commit[:12]} of application {application}"
        with ExitStack() as claims:
            staging = await asyncio.to_thread(_stage, folder, claims, doing)
            try:
                if self.get(application, commit) is None:
                    await fetch(staging)
                    await asyncio.to_thread(_settle, staging, folder, verify, doing)
                else:
                    await asyncio.to_thread(remove, staging)
            except Exception as error:
                if PRIVATE in staging.name or not _can_be_resumed(error):
                    await asyncio.to_thread(remove, staging)
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    raise disk_error(doing, error) from error
                raise
        return folder


def _can_be_resumed(error: Exception) -> bool:
    """Whether the next try may start from what is there: not where it was found wrong, or fills the disk."""
    if isinstance(error, OSError):
        return error.errno not in NO_ROOM
    return isinstance(error, EnmError) and not isinstance(error, (FirmwareError, StoreError))


def _stage(folder: Path, claims: ExitStack, doing: str) -> Path:
    """The folder to fetch into: the one that a broken try left, or one of our own while another process has that."""
    with disk_errors(doing):
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = folder.with_name(f"{PARTIAL}{folder.name}")
        staging.mkdir(exist_ok=True)
        if not claims.enter_context(claimed(staging)):
            staging = staging.with_name(f"{staging.name}{PRIVATE}{secrets.token_hex(4)}")
            staging.mkdir()
            claims.enter_context(claimed(staging))
        return staging


def _settle(staging: Path, folder: Path, verify: Verify, doing: str) -> None:
    """Verify what was fetched, have it on the disk, and give it its name."""
    verify(staging)
    with disk_errors(doing):
        (staging / MARK).write_bytes(b"")
        sync_tree(staging)
        if folder.exists() and not (folder / MARK).is_file():
            _take_away(folder)
        try:
            staging.rename(folder)
        except OSError:
            if not (folder / MARK).is_file():
                raise
            remove(staging)
        sync_folder(folder.parent)


def _take_away(folder: Path) -> None:
    """Remove a folder so that at no moment a part of it stands under its name."""
    outgoing = folder.with_name(f"{OUTGOING}{secrets.token_hex(4)}")
    folder.rename(outgoing)
    remove(outgoing)
