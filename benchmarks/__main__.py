"""All benchmarks, in one table: ``python -m benchmarks``, or some of them: ``python -m benchmarks --only hook``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import cycles, dfu, fleet, hook, load, rollout, startup
from benchmarks.figures import Figure, report


def measure_startup() -> list[Figure]:
    """How long commands take to begin, beside the least that could do the same."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            Figure(f"{ours}, CPU", seconds * 1000, "ms", peer_seconds * 1000, peer, startup.LIMIT)
            for ours, seconds, peer, peer_seconds in startup.figures(Path(folder))
        ]


BENCHMARKS: Mapping[str, Callable[[], list[Figure]]] = {
    "rollout": rollout.measure,
    "hook": hook.measure,
    "fleet": fleet.measure,
    "load": load.measure,
    "cycles": cycles.measure,
    "startup": measure_startup,
    "dfu": dfu.measure,
}


def main() -> int:
    """Run them; 1 where a figure is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    figures: list[Figure] = []
    for name in parser.parse_args().only or BENCHMARKS:
        started_at = time.monotonic()
        figures += BENCHMARKS[name]()
        print(f"{name}: {time.monotonic() - started_at:.0f} s", file=sys.stderr)
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
