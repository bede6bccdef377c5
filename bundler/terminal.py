"""What the `bundle` command shows: progress bars while it works on a terminal, warnings, lines of foreign text.

Draws what `bundler.build.progress` tells, on stderr, so that stdout stays for results. Respects NO_COLOR through rich.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from bundler.build.progress import Progress, Silent, Stage, Unit


class TerminalProgress:
    """One bar a stage, gone when the stage is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> Iterator[Stage]:
        with Bars(*_columns(total, unit), console=self._console, transient=True) as bars:
            task = bars.add_task(title, total=total)
            yield _Bar(bars, task)


class _Bar:
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, amount: int) -> None:
        self._bars.advance(self._task, amount)


def _columns(total: int | None, unit: Unit) -> list[ProgressColumn]:
    title = TextColumn("{task.description}")
    if total is None:
        return [SpinnerColumn(), title, TimeElapsedColumn()]
    if unit == "bytes":
        return [title, BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()]
    return [title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()]


class LineProgress:
    """One line a stage, for logs of work that takes minutes."""

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> Iterator[Stage]:
        print(f"{title} ...", file=sys.stderr, flush=True)
        with Silent().stage(title, total, unit) as silent:
            yield silent


def long_progress(*, quiet: bool) -> Progress:
    """Bars on a terminal, a line per stage elsewhere, nothing where silence was asked for."""
    if quiet:
        return Silent()
    console = Console(stderr=True)
    return TerminalProgress(console) if console.is_terminal else LineProgress()


def progress(*, quiet: bool) -> Progress:
    """Bars where stderr is a terminal and nobody asked for silence."""
    console = Console(stderr=True)
    return Silent() if quiet or not console.is_terminal else TerminalProgress(console)


def human_size(count: int) -> str:
    """Bytes for people, in binary units: 532 B, 14.2 MiB, 3.91 GiB."""
    value = float(count)
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.3g} {units[0]}"


def show(line: str) -> None:
    """Print a line with words of a file that somebody else made, which shall not steer the terminal."""
    click.echo("".join(char if char.isprintable() else "�" for char in line))


def warn(message: str) -> None:
    """Tell of a doubt on stderr."""
    click.echo(f"{click.style('warning:', fg='yellow')} {message}", err=True)
