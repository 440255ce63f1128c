"""Fetching firmware assets from a Supervisor: streamed to disk, taken up where they broke off, capped and unpacked."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

import httpx

from enmctl.errors import ArchiveError, SourceAwayError, SourceGoneError, SourceRefusedError
from enmctl.firmware.archive import Limits, unpack_tar
from enmctl.firmware.disk import disk_errors, remove
from enmctl.settings import Settings
from enmctl.sources.contract import Progressed
from enmctl.sources.proxyvisor_client import ProxyvisorClient, describe

PART = ".asset.tar"
"""The asset on its way."""

VALIDATOR = ".asset.validator"
"""What the rest must still be valid by, as If-Range takes it."""

UNPACKED = ".unpacked"

SAME_AFTER = 60.0
"""Seconds that Last-Modified must lie behind Date to count as a strong validator: RFC 7232, 2.2.2."""

STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
"""RFC 9110, 8.8.3; a weak one (``W/``), as Express makes, cannot tell that two answers are equal byte by byte."""

_OVER = (httpx.codes.NOT_FOUND, httpx.codes.GONE)


class AssetFetch:
    """One asset into one folder.

    What a broken fetch left there is taken up where a strong validator allows it. It stays when the transfer breaks or
    the Supervisor is away, and is removed when the asset is gone, too large, or no tar.
    """

    def __init__(
        self, client: ProxyvisorClient, settings: Settings, application_id: int, commit: str, folder: Path
    ) -> None:
        self._client = client
        self._stall = settings.stall_timeout
        self._whole = settings.update_timeout
        self._path = ("dependent-apps", str(application_id), "assets", commit)
        self._what = f"the asset {commit[:8]} of application {application_id}"
        self._folder = folder
        self._part = folder / PART
        self._validator = folder / VALIDATOR
        self._most = settings.asset_max_size

    async def run(self, progressed: Progressed) -> None:
        """Fetch and unpack.

        Raises:
            SourceGoneError: the Supervisor has no such asset (any more).
            SourceAwayError: try again later; what came stays. A key that is not accepted too: it is put right by a
                person, not by another target.
            ArchiveError: what came is broken. Not for ever: a Supervisor that failed to build an asset answers the
                next request with an empty one, and may build it rightly later. One that is too large stays so.
            StoreError: the disk is full, or cannot be written.
        """
        there, headers = self._resumption()
        try:
            async with self._client.stream(*self._path, headers=headers) as response:
                await self._receive(response, there, progressed)
        except SourceRefusedError as error:
            raise SourceAwayError(error.message, remedy=error.remedy, reason=error.reason) from error
        await to_its_end(self._unpack)

    def _resumption(self) -> tuple[int, Mapping[str, str]]:
        """How many bytes are here and may be gone on from, and the headers that ask for the rest."""
        try:
            size, validator = self._part.stat().st_size, self._validator.read_text()
        except (OSError, ValueError):
            return 0, {}
        if not size or not validator.isascii() or not validator.isprintable() or not validator:
            return 0, {}
        return size, {"Range": f"bytes={size}-", "If-Range": validator}

    async def _receive(self, response: httpx.Response, there: int, progressed: Progressed) -> None:
        done = self._start_of(response, there)
        length = response.headers.get("content-length", "")
        total = done + int(length) if length.isascii() and length.isdigit() else 0
        if total > self._most:
            raise self._too_big()
        with disk_errors(f"fetching {self._what}"), self._opened(response, done) as file:
            done = await self._copy(response, file, done, total, progressed)
        if done < total:
            raise self._broken_off(done, f"{total} were announced")

    def _start_of(self, response: httpx.Response, there: int) -> int:
        """How many of the bytes here are the beginning of what comes. Raises where nothing usable comes."""
        status = response.status_code
        if status == httpx.codes.OK:
            return 0
        if status == httpx.codes.PARTIAL_CONTENT and there:
            if response.headers.get("content-range", "").startswith(f"bytes {there}-"):
                return there
            self._discard()
        if status in _OVER or status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._discard()
        if status in _OVER:
            raise SourceGoneError(
                f"the Supervisor does not have {self._what}",
                remedy="the target has probably changed: it is asked again",
            )
        raise SourceAwayError(
            f"the Supervisor answered {status} when asked for {self._what}", remedy="it is asked again later"
        )

    def _opened(self, response: httpx.Response, done: int) -> BinaryIO:
        """The file, ready for what comes. What it may be gone on from is written only once the old bytes are gone."""
        if not done:
            self._part.write_bytes(b"")
            self._validator.write_text(strong_validator(response.headers))
        file = self._part.open("r+b")
        file.seek(done)
        return file

    async def _copy(
        self, response: httpx.Response, file: BinaryIO, done: int, total: int, progressed: Progressed
    ) -> int:
        """Write what comes; how many bytes are there then.

        The waits are limited here: within ``disk_errors`` a TimeoutError would pass for one of the disk.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._whole
        pieces = response.aiter_raw()
        while True:
            try:
                async with asyncio.timeout_at(min(end, loop.time() + self._stall)):
                    piece = await _next(pieces)
            except TimeoutError:
                raise self._broken_off(done, "it came too slowly, or stalled") from None
            except httpx.HTTPError as error:
                raise self._broken_off(done, describe(error)) from error
            if not piece:
                return done
            done += len(piece)
            if done > self._most:
                raise self._too_big()
            file.write(piece)
            progressed(done, total)

    def _broken_off(self, done: int, why: str) -> SourceAwayError:
        return SourceAwayError(f"{self._what} broke off after {done} bytes ({why})", remedy="the rest is fetched later")

    def _too_big(self) -> ArchiveError:
        self._discard()
        return ArchiveError(
            f"{self._what} is larger than {self._most} bytes",
            remedy="make it smaller, or set ENM_ASSET_MAX_SIZE",
            reason="too-big",
        )

    def _discard(self) -> None:
        with disk_errors(f"removing {self._what}"):
            for path in (self._part, self._validator):
                path.unlink(missing_ok=True)

    def _unpack(self) -> None:
        """Put the members into the folder, but for those that begin with a dot on top: the Supervisor packs none."""
        unpacked = self._folder / UNPACKED
        with disk_errors(f"unpacking {self._what}"):
            for path in self._folder.iterdir():
                if path not in (self._part, self._validator):
                    remove(path)
        try:
            unpack_tar(self._part, unpacked, limits=Limits(size=self._most))
        except ArchiveError as error:
            self._discard()
            raise ArchiveError(
                error.message.replace(PART, self._what, 1),
                remedy="it is fetched again later; if it stays so, push the release again",
                reason=error.reason,
                permanent=False,
            ) from error
        self._discard()
        with disk_errors(f"unpacking {self._what}"):
            for path in list(unpacked.iterdir()):
                if not path.name.startswith("."):
                    path.replace(self._folder / path.name)
            remove(unpacked)


async def to_its_end(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread; when cancelled, wait for it: a thread goes on, and the folder is soon another's."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    """The next bytes of a body, b"" at its end."""
    while True:
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            return b""
        if piece:
            return piece


def strong_validator(headers: httpx.Headers) -> str:
    """What If-Range may hold: a strong ETag, or a date that is old enough to be one; "" where there is neither."""
    etag = str(headers.get("etag", ""))
    if STRONG_ETAG.fullmatch(etag):
        return etag
    modified, date = str(headers.get("last-modified", "")), headers.get("date", "")
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if (parsedate_to_datetime(date) - parsedate_to_datetime(modified)).total_seconds() >= SAME_AFTER:
            return modified
    return ""
