"""The little of curl that documentation uses, so that a test can replay it."""

from __future__ import annotations

import shlex

import httpx

FIRMWARE = b"\xe9firmware"
"""What stands in the place of every file."""


def curl(command: str, address: str) -> httpx.Request:
    """The request that a command sends, to ``address`` instead of localhost:1337."""
    words = iter(shlex.split(command)[1:])
    method, headers, body, url = "", {"Accept": "*/*"}, None, ""
    for word in words:
        match word:
            case "-i" | "-s":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(":")
                headers[name] = value.strip()
            case "--data":
                body = next(words).encode()
            case "--data-binary":
                assert next(words).startswith("@")
                body = FIRMWARE
            case _:
                assert word.startswith("localhost:1337/"), word
                url = address + word.removeprefix("localhost:1337")
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    return httpx.Request(method or ("GET" if body is None else "POST"), url, headers=headers, content=body)
