"""Ask llama.cpp itself whether it can load a model, before anything is written.

Runs the runtime of a pack as a process: build never imports it. The pack becomes a small program of its own, a bundle
without a model ("tool"), so that the check takes the same way as every bundle later.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bundler import __version__
from bundler.build import cache
from bundler.build.packs import Pack
from bundler.build.progress import Progress, Silent
from bundler.build.write import Content, write_bundle
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, RuntimeParts

_TIMEOUT = 600.0


def part_contents(pack: Pack) -> list[Content]:
    """The archive members of the pack's parts; a name carries the part's digest, as the launcher expects."""
    return [
        Content(f"runtime/{pack.target}/{part.file}", path=pack.root / part.file)
        for _, part in sorted(pack.parts.items())
    ]


def runtime_parts(pack: Pack) -> RuntimeParts:
    """What the manifest says of the pack."""
    return RuntimeParts(
        pack=pack.id,
        llama_cpp=pack.llama_cpp,
        parts={name: f"runtime/{pack.target}/{part.file}" for name, part in sorted(pack.parts.items())},
    )


def tool(pack: Pack) -> Path:
    """The pack as a program: launcher and runtime without a model, made once and kept in the cache."""
    path = cache.folder("tools") / f"{pack.id[:16]}{'.exe' if pack.target.startswith('windows-') else ''}"
    with cache.locked(path):
        if not path.exists():
            manifest = Manifest(name="tool", bundler=__version__, runtime={pack.target: runtime_parts(pack)}, models=[])
            write_bundle(path, pack.launcher, part_contents(pack), {}, manifest, Silent())
    return path


def check_model(pack: Pack, model: Path, progress: Progress) -> None:
    """Let the runtime of `pack`, which must be one for this machine, load `model` without its tensors.

    Raises:
        BundleError: llama.cpp does not know the model, or the runtime does not work here.
    """
    program = tool(pack)
    with progress.stage(f"Checking {model.name} with llama.cpp"):
        try:
            result = subprocess.run(
                [program, "_dry-load", os.path.abspath(model)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as cause:
            raise BundleError(
                f"failed to check {model}: llama.cpp did not answer within {_TIMEOUT:.0f} s", "the file may be damaged"
            ) from cause
        except OSError as cause:
            raise BundleError(
                f"failed to check {model}: {program} cannot be started: {cause.strerror}",
                "set BUNDLE_CACHE to a folder that programs can be started from",
            ) from cause
    if result.returncode:
        raise _refusal(model, result.returncode, result.stderr)
    if not _generates(model, result.stdout):
        raise BundleError(
            f"failed to check {model}: it cannot generate text, as embedding models cannot",
            "give the GGUF of a chat model",
        )


def _generates(model: Path, output: str) -> bool:
    """What the runtime's facts say, its last line."""
    try:
        return bool(json.loads(output.splitlines()[-1])["generates"])
    except (ValueError, IndexError, KeyError, TypeError) as cause:
        raise BundleError(
            f"failed to check {model}: the runtime pack answered with nothing known",
            "build the pack again: bundle runtime remove, then bundle runtime build",
        ) from cause


def _refusal(model: Path, code: int, output: str) -> BundleError:
    fields = dict(line.split(": ", 1) for line in output.splitlines() if line.startswith(("error: ", "hint: ")))
    if code < 0:
        return BundleError(
            f"failed to check {model}: llama.cpp crashed on it (signal {-code})",
            "the file is damaged, or of a kind that this version of llama.cpp cannot read",
        )
    message = fields.get("error") or (output.strip().splitlines() or [f"exit code {code}"])[-1]
    return BundleError(f"failed to check {model} with llama.cpp: {message}", fields.get("hint", ""))
