"""``python -m enmctl`` is ``enmctl``."""

from enmctl.cli import main

main()
