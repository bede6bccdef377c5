"""Ask llama.cpp itself whether it can load a model, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bundler.build import tool
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.errors import BundleError


class _Facts(msgspec.Struct, frozen=True):
    """Of what the runtime tells, what decides."""

    generates: bool


def check_model(pack: Pack, model: Path, progress: Progress, *, chats: bool) -> None:
    """Let the runtime of `pack`, which must be one for this machine, load `model` without its tensors.

    Raises:
        BundleError: llama.cpp does not know the model, it `chats` and cannot generate text, or the runtime does not
            work here.
    """
    with progress.stage(f"Checking {model.name} with llama.cpp"):
        facts = tool.ask(pack, f"check {model} with llama.cpp", "_dry-load", [os.path.abspath(model)], _Facts)
    if chats and not facts.generates:
        raise BundleError(f"failed to check {model}: it cannot generate text", "give the GGUF of a chat model")
