"""What a gateway said in its log, counted: bad input is worth one line, not one for each try."""

from __future__ import annotations

import logging

import pytest


def said(caplog: pytest.LogCaptureFixture, *fragments: str) -> list[str]:
    """The lines for people that contain all the fragments."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    return [line for line in lines if all(fragment in line for fragment in fragments)]


def no_bug_is_told(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether everything that went wrong was expected by somebody: no line has a traceback or calls it a bug."""
    return not [record for record in caplog.records if record.exc_info or "bug in enmctl" in record.getMessage()]
