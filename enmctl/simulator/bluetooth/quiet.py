"""Keeps bumble's own log off the terminal."""

from __future__ import annotations

import logging

LOG = logging.getLogger(__name__)


def quiet_bumble() -> None:
    """Have bumble's warnings told at debug level, as ours, and the rest of its log not made at all."""
    logger = logging.getLogger("bumble")
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    if not any(isinstance(handler, _ToDebug) for handler in logger.handlers):
        logger.addHandler(_ToDebug())


class _ToDebug(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        LOG.debug("%s: %s", record.name, record.getMessage())
