"""The environment variables as ``enmctl run --help`` tells of them."""

from __future__ import annotations

import textwrap

from enmctl.settings import variables


def variables_for_help() -> str:
    """Every environment variable with its default and meaning, as text of at most 78 columns."""
    lines = ["Environment variables:"]
    for variable in variables().values():
        unit = f" {variable.unit}" if variable.unit else ""
        default = f" [{variable.default}{unit}]" if variable.default else ""
        lines.append("\n".join(("", " or ".join(variable.names) + default)))
        lines += textwrap.wrap(
            f"{variable.meaning} It is {variable.kind.allowed}.", 76, initial_indent="  ", subsequent_indent="  "
        )
    return "\n".join(lines).replace("[", "\\[")
