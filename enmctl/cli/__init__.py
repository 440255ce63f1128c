"""The command line: a file a command group, each thin.

``main`` is the console script. It imports the commands only once it is called, so that a plug-in or a test may import
this package for nothing, and an early Ctrl-C ends as quietly as a late one.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended; as in ``enmctl.errors``, which is not imported so early."""


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code."""
    try:
        from enmctl.cli.ending import as_ctrl_c

        as_ctrl_c()
        from enmctl.cli.application import command

        command().main(prog_name="enmctl")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
