"""Run a real bundle as a user would: as a process, asked over HTTP, stopped by a signal."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import httpx

START_LIMIT = 120.0
"""Seconds; far more than any start takes, so that a loaded machine fails no test."""


@dataclass
class Running:
    """A serving bundle: its process, its address, and what it printed."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)

    def wait_until_ready(self) -> None:
        """Block until the model is loaded."""
        transport = httpx.HTTPTransport(retries=3)
        with httpx.Client(transport=transport, base_url=self.url, timeout=START_LIMIT) as client:
            while client.get("/health").status_code == 503:
                threading.Event().wait(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def serving(
    command: Sequence[str | Path], *, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Running]:
    """Start a bundle's server on a free port and wait until it answers; stopped at the end whatever happens."""
    process = subprocess.Popen(
        [*command, "serve", "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {} if environment is None else environment,
        cwd=cwd,
    )
    running = Running(process)
    found: Queue[str] = Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            running.lines.append(line)
            match = re.search(r"http://[\w.:\[\]-]+", line)
            if match:
                found.put(match[0])
        found.put("")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        try:
            running.url = found.get(timeout=START_LIMIT)
        except Empty:
            raise AssertionError("no address was printed: " + "".join(running.lines)) from None
        assert running.url, "it ended before it served: " + "".join(running.lines)
        running.wait_until_ready()
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(10)
        if process.stdout:
            process.stdout.close()
