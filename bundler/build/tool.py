"""A runtime pack as a program without a model, which answers what only llama.cpp knows.

Build never imports the runtime: it runs it as a process. The program is a bundle like any other, so that a question
takes the same way as every bundle later.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from bundler import __version__
from bundler.build import cache
from bundler.build.archive import Content
from bundler.build.packs import Pack
from bundler.build.progress import Silent
from bundler.build.write import write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, RuntimeParts

_TIMEOUT = 600.0

Answer = TypeVar("Answer")


class RefusedError(BundleError):
    """The runtime was asked, and llama.cpp does not take what it was given."""


def part_contents(pack: Pack) -> list[Content]:
    """The archive members of the pack's parts; a name carries the part's digest, as the launcher expects."""
    return [
        Content(f"runtime/{pack.target}/{part.file}", pack.root / part.file) for _, part in sorted(pack.parts.items())
    ]


def runtime_parts(pack: Pack) -> RuntimeParts:
    """What the manifest says of the pack."""
    return RuntimeParts(
        pack=pack.id,
        llama_cpp=pack.llama_cpp,
        parts={name: f"runtime/{pack.target}/{part.file}" for name, part in sorted(pack.parts.items())},
    )


def ask(
    pack: Pack, task: str, command: str, arguments: Sequence[str | Path], answer: type[Answer], given: bytes = b""
) -> Answer:
    """What a hidden command of the runtime answers, as JSON in its last line, after reading `given`.

    `pack` must be one for this machine; `task` says in errors what failed, as in "failed to TASK".

    Raises:
        RefusedError: llama.cpp refuses, or crashes.
        BundleError: it does not answer, or the runtime does not work here.
    """
    program = _program(pack)
    try:
        result = subprocess.run(
            [program, command, *arguments], input=given, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as cause:
        raise BundleError(
            f"failed to {task}: llama.cpp did not answer within {_TIMEOUT:.0f} s", "the file may be damaged"
        ) from cause
    except OSError as cause:
        raise _unstartable(task, program, cause) from cause
    if result.returncode:
        raise _refusal(task, result.returncode, result.stderr.decode("utf-8", "replace"))
    return _answer(task, (result.stdout.splitlines() or [b""])[-1], answer)


def follow(
    pack: Pack,
    task: str,
    command: str,
    arguments: Sequence[str | Path],
    answer: type[Answer],
    heard: Callable[[str], None],
) -> Answer:
    """As `ask`, for work of any length: `heard` is told each line before the last. Whatever interrupts it ends both.

    Raises:
        BundleError: see `ask`.
    """
    program = _program(pack)
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [program, command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as cause:
            raise _unstartable(task, program, cause) from cause
        last = b""
        with process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if last:
                        heard(last.decode("utf-8", "replace").rstrip("\n"))
                    last = line
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            raise _refusal(task, process.returncode, errors.read().decode("utf-8", "replace"))
    return _answer(task, last, answer)


def _answer(task: str, line: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(line, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise BundleError(
            f"failed to {task}: the runtime pack answered with nothing known",
            "build the pack again: bundle runtime remove, then bundle runtime build",
        ) from cause


def _unstartable(task: str, program: Path, cause: OSError) -> BundleError:
    return BundleError(
        f"failed to {task}: {program} cannot be started: {cause.strerror}",
        "set BUNDLE_CACHE to a folder that programs can be started from",
    )


def _program(pack: Pack) -> Path:
    """The pack with a launcher, made once and kept in the cache."""
    path = cache.folder("tools") / f"{pack.id[:16]}{'.exe' if pack.target.startswith('windows-') else ''}"
    with cache.locked(path):
        if not path.exists():
            manifest = Manifest(name="tool", bundler=__version__, runtime={pack.target: runtime_parts(pack)}, models=[])
            write_bundle(path, pack.launcher, part_contents(pack), {}, manifest, Silent())
    return path


def _refusal(task: str, code: int, output: str) -> RefusedError:
    fields = dict(line.split(": ", 1) for line in output.splitlines() if line.startswith(("error: ", "hint: ")))
    if code < 0:
        return RefusedError(
            f"failed to {task}: llama.cpp crashed on it (signal {-code})",
            "the file is damaged, or of a kind that this version of llama.cpp cannot read",
        )
    message = fields.get("error") or (output.strip().splitlines() or [f"exit code {code}"])[-1]
    return RefusedError(f"failed to {task}: {message}", fields.get("hint", ""))
