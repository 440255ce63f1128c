"""By what a broken transfer may be taken up again: only what tells that two answers are equal byte by byte."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest

from enmctl.sources.proxyvisor_assets import strong_validator

OLD, NOW = formatdate(1_000_000, usegmt=True), formatdate(1_000_000 + 3600, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, ""),
        ({"ETag": '"x"'}, '"x"'),
        ({"ETag": 'W/"x"'}, ""),
        ({"ETag": '"x'}, ""),
        ({"Last-Modified": OLD, "Date": NOW}, OLD),
        ({"Last-Modified": NOW, "Date": OLD}, ""),
        ({"Last-Modified": OLD}, ""),
        ({"Last-Modified": OLD.replace("GMT", "-0000"), "Date": NOW}, ""),
        ({"Last-Modified": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Date": NOW}, ""),
        ({"Last-Modified": "", "Date": ""}, ""),
    ],
)
def test_what_is_a_strong_validator(headers: dict[str, str], validator: str) -> None:
    assert strong_validator(httpx.Headers(headers)) == validator
