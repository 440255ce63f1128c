"""Figures and the one table that shows them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside what it is measured by.

    ``beside`` is a limit or a reference in the same unit, ``said`` what it is in words. The ratio of both must be no
    more than ``at_most`` and no less than ``at_least``, None where it may be anything.
    """

    name: str
    measured: float
    unit: str
    beside: float
    said: str = "limit"
    at_most: float | None = 1.0
    at_least: float | None = None

    @property
    def ratio(self) -> float:
        """Measured by reference."""
        return self.measured / self.beside

    @property
    def is_met(self) -> bool:
        """Whether the ratio is as small and as large as it must be."""
        return (self.at_least or 0) <= self.ratio <= (inf if self.at_most is None else self.at_most)

    @property
    def limit(self) -> str:
        """What the ratio must be, "" where it may be anything."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return " ".join(f"{sign} {bound:.2f}" for sign, bound in bounds if bound is not None)

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        return (
            self.name,
            f"{shown(self.measured)} {self.unit}",
            f"{shown(self.beside)} {self.unit} ({self.said})",
            f"{self.ratio:.2f}",
            self.limit,
            ("met" if self.is_met else "NOT MET") if self.limit else "",
        )


HEADINGS = ("figure", "measured", "beside", "ratio", "limit", "")


def shown(value: float) -> str:
    """A number with three figures that count."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def table(figures: Iterable[Figure]) -> str:
    """The figures, a line each, as Markdown."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def machine() -> str:
    """What the figures were measured on, in one line."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}, "
        f"{os.getloadavg()[0]:.1f} processes running in the last minute"
    )


def report(figures: list[Figure]) -> int:
    """Print the table; the exit code: 1 where a figure is not met."""
    print(machine())
    print(table(figures))
    return int(not all(figure.is_met for figure in figures))
