"""How a person wants a board updated otherwise than usual, in the words that a board's config has for it."""

from __future__ import annotations

from typing import Final

FULL: Final = "ENM_FULL_FLASH"
"""All of a program is sent where a part would do."""

NO_RESUME: Final = "ENM_NO_RESUME"
"""A transfer begins anew where it could go on."""

ALLOW_SYSTEM: Final = "ENM_ALLOW_SYSTEM"
"""An image may replace a SoftDevice or a bootloader."""

WORDS: Final = {FULL: "full", NO_RESUME: "no-resume", ALLOW_SYSTEM: "allow-system"}
"""What a command's options and a request's query call them."""


def manner(*, full: bool = False, resume: bool = True, allow_system: bool = False) -> dict[str, str]:
    """The config that says so, to stand before a board's own."""
    said = {FULL: full, NO_RESUME: not resume, ALLOW_SYSTEM: allow_system}
    return {name: "1" for name, is_on in said.items() if is_on}
