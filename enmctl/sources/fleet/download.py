"""Firmware that a fleet file names by an https URL: fetched whole, by its SHA-256 or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from enmctl.errors import FirmwareError, SourceAwayError, SourceGoneError
from enmctl.settings import Settings
from enmctl.sources.contract import Progressed
from enmctl.sources.fleet.document import told
from enmctl.sources.fleet.minisign import SIGNATURE_MOST, SUFFIX, verify
from enmctl.sources.fleet.releases import Release, read_signature

REDIRECTS_MOST = 5
"""So many redirects are followed; each must lead to https again."""

PLAIN = "identity"
"""Bytes as they are: their hash, their length and their limit are those of the file."""

GONE = (httpx.codes.NOT_FOUND, httpx.codes.GONE)


async def download(release: Release, folder: Path, settings: Settings, progressed: Progressed) -> tuple[str, bytes]:
    """The name and the bytes of a release, checked; ``folder`` is what paths in the fleet file are relative to.

    Raises:
        SourceGoneError: nothing is there.
        SourceAwayError: it cannot be fetched now.
        FirmwareError: what is there is not what the fleet file says, or too large, or not signed rightly.
    """
    url = release.entry.where
    async with httpx.AsyncClient(timeout=settings.connect_timeout, trust_env=True) as client:
        data = await _fetched(client, url, settings, settings.asset_max_size, progressed)
        if hashlib.sha256(data).hexdigest() != release.sha256:
            raise FirmwareError(
                f"{told(url)} has another SHA-256 than the fleet file says",
                remedy="put its hash into the fleet file if the new content is meant",
                reason="sha256",
            )
        name = release.entry.name
        if release.entry.public_key is not None:
            signature = await _signature(client, release, folder, settings)
            verify(data, signature, release.entry.public_key, name)
    return name, data


async def _signature(client: httpx.AsyncClient, release: Release, folder: Path, settings: Settings) -> str:
    entry = release.entry
    if entry.signature is not None and entry.has_signature_here:
        return await asyncio.to_thread(read_signature, folder / entry.signature, entry.name)
    firmware = urlsplit(entry.where)
    url = entry.signature or firmware._replace(path=firmware.path + SUFFIX).geturl()
    data = await _fetched(client, url, settings, SIGNATURE_MOST, lambda _done, _total: None)
    return data.decode("utf-8", "replace")


async def _fetched(client: httpx.AsyncClient, url: str, settings: Settings, most: int, progressed: Progressed) -> bytes:
    """Everything at a URL, at most so many bytes, within the limits of a transfer."""
    try:
        async with asyncio.timeout(settings.update_timeout):
            for _ in range(REDIRECTS_MOST + 1):
                async with client.stream("GET", url, headers={"Accept-Encoding": PLAIN}) as response:
                    if response.has_redirect_location:
                        url = _next_place(url, response)
                        continue
                    return await _body(response, url, settings, most, progressed)
    except TimeoutError:
        raise SourceAwayError(f"{told(url)} came too slowly, or stalled", remedy="it is fetched again later") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise SourceAwayError(f"{told(url)} cannot be fetched: {why}", remedy="it is fetched again later") from error
    raise SourceAwayError(f"{told(url)} redirects for ever", remedy="name the file itself in the fleet file")


def _next_place(url: str, response: httpx.Response) -> str:
    following = response.next_request
    if following is None or following.url.scheme != "https":
        raise FirmwareError(
            f"{told(url)} redirects to a place that is not https", remedy="name the file itself", reason="redirect"
        )
    return str(following.url)


async def _body(response: httpx.Response, url: str, settings: Settings, most: int, progressed: Progressed) -> bytes:
    if response.status_code in GONE:
        raise SourceGoneError(f"nothing is at {told(url)} ({response.status_code})", remedy="put the file there")
    if response.status_code != httpx.codes.OK:
        raise SourceAwayError(f"{told(url)} answers {response.status_code}", remedy="it is fetched again later")
    encoding = response.headers.get("content-encoding", PLAIN)
    if encoding.lower() != PLAIN:
        raise SourceAwayError(
            f"{told(url)} comes compressed ({encoding}), which was not asked for",
            remedy="have the server send the file as it is; it is fetched again later",
        )
    length = response.headers.get("content-length", "")
    total = int(length) if length.isascii() and length.isdigit() else 0
    taken = bytearray()
    pieces = response.aiter_raw()
    while True:
        async with asyncio.timeout(settings.stall_timeout):
            piece = await anext(pieces, b"")
        if not piece:
            return bytes(taken)
        taken += piece
        if len(taken) > most:
            raise FirmwareError(
                f"{told(url)} is larger than {most} bytes", remedy="see ENM_ASSET_MAX_SIZE", reason="too-big"
            )
        progressed(len(taken), total)
