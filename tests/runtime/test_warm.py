"""The state of a precomputed prompt: looked through before it is mapped, and left alone where that fails."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.formats.container import Archive, Entry
from bundler.formats.manifest import Manifest, Model, RuntimeParts, Warm
from bundler.formats.source import FileSource, Source
from bundler.runtime import warm
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.engine.interface import LoadOptions, Warmth

STATE = bytes(range(256)) * 40
OFFSET = 5000
TARGET = "linux-x86_64"


class Unreadable:
    """A medium with a bad sector."""

    size = OFFSET + len(STATE)

    def read_at(self, offset: int, length: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def warmth(
    folder: Path, *, state: bytes = STATE, recorded: int = len(STATE), source: Source | None = None, context: int = 4096
) -> Warmth | None:
    """That of a file with `state` in it, whose entry says that it has `recorded` bytes."""
    path = folder / "bundle"
    path.write_bytes(bytes(OFFSET) + state)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    entry = Entry(name="state/1", header_offset=0, offset=OFFSET, size=recorded, crc32=0)
    manifest = Manifest(
        name="warm",
        bundler="1",
        runtime={TARGET: RuntimeParts(pack="", llama_cpp="1", parts={})},
        models=[Model(role="chat", member="m", size=0, sha256="weights", architecture="llama")],
        warm=Warm(
            member=entry.name,
            size=len(STATE),
            sha256=hashlib.sha256(STATE).hexdigest(),
            tokens=list(range(300)),
            exact=300,
            guard=warm.guard("weights", "1"),
        ),
    )
    archive = Archive(entries={entry.name: entry}, manifest_sha256="", outside_sha256="", outside_end=0, end=0)
    bundle = BundleFile(path, descriptor, source or FileSource(descriptor), archive, manifest, "")
    return warm.warmth(bundle, TARGET, LoadOptions(context_length=context))


def test_a_state_is_the_bytes_in_the_file(tmp_path: Path) -> None:
    found = warmth(tmp_path)
    assert found is not None
    assert bytes(found.read()) == STATE


@pytest.mark.parametrize(
    ("state", "recorded"),
    [(STATE, len(STATE) - 1), (STATE[:-1], len(STATE)), (STATE[:-1] + b"x", len(STATE))],
    ids=["another size", "cut short", "another byte"],
)
def test_a_damaged_state_is_left_alone(tmp_path: Path, state: bytes, recorded: int) -> None:
    found = warmth(tmp_path, state=state, recorded=recorded)
    assert found is not None
    with pytest.raises(BundleError) as error:
        found.read()
    assert error.value.message == (
        "failed to read the precomputed prompt: it is damaged, so the prompt is computed again"
    )


def test_a_state_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    found = warmth(tmp_path, source=Unreadable())
    assert found is not None
    with pytest.raises(BundleError) as error:
        found.read()
    assert error.value.message == (
        "failed to read the precomputed prompt: [Errno 5] Input/output error; it is computed again"
    )


@pytest.mark.parametrize("context", [256, 300])
def test_a_state_for_which_the_context_is_too_short_is_not_read(
    tmp_path: Path, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread.name))
    assert warmth(tmp_path, context=context) is None
    assert started == []
