"""Variables that look like ours and are none: what somebody set, and nothing would ever tell that it has no effect."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from enmctl.settings import variables

OURS: Final = "ENM_"
"""How the names of our own variables begin, but for a few that the original had otherwise."""

OF_BOARDS: Final = "ENM_OTA_"
"""How the names in a board's config begin; they are no settings of the gateway."""


def misspelt(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Each name in the environment that is no variable of ours though it begins like one, with the likeliest meant."""
    known = {name for variable in variables().values() for name in variable.names}
    strangers = [name for name in environment if name.startswith(OURS) and not name.startswith(OF_BOARDS)]
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1)), None)
        for name in sorted(strangers)
        if name not in known
    }
