"""One line of the printed tables: a figure of both subjects, and their ratio."""

from __future__ import annotations

OURS, THEIRS = "bundle", "llama-server"


def head(title: str) -> None:
    """The line above a table."""
    print(f"{title:52}{OURS:>12}{THEIRS:>14}{'ratio':>8}")


def row(title: str, mine: float, other: float) -> None:
    """Two figures of one kind; no ratio where the other one is 0."""
    ratio = f"{mine / other:8.2f}" if other else ""
    print(f"{title:52}{mine:12.3f}{other:14.3f}{ratio}")
