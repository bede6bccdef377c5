"""The precomputed prompt: what every chat of a bundle begins with, and when its saved state may be used.

A state is right for the very weights, cache types and version of llama.cpp that made it; llama.cpp itself checks only
shapes. So the manifest keeps a digest of all of that, and where it differs the prompt is computed as without a state.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest, Warm
from bundler.formats.source import chunks
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.engine.interface import LoadOptions, Vocabulary, Warmth
from bundler.runtime.engine.sequence import common_prefix
from bundler.runtime.prompting import Prompter
from bundler.runtime.request import ChatMessage, Request
from bundler.runtime.tuning import Tuning, tune

STATE_VERSION: Final = 2
"""To be raised when the engine makes its context, or computes a prompt, in another way."""
_AS_COMPUTED = LoadOptions()
_QUESTIONS = ("Hello", "What is 2 + 2?", "zażółć", "1")
"""As different as questions can begin; what their prompts have in common every prompt begins with."""


def guard(
    weights_sha256: str,
    llama_cpp: str,
    tuning: Tuning | None = None,
    *,
    adapters: Sequence[tuple[str, float]] = (),
) -> str:
    """A digest of all that a state depends on beside its tokens: weights, adapters, cache types, RoPE, versions."""
    tuning = tuning or tune(_AS_COMPUTED)
    facts = {
        "state": STATE_VERSION,
        "weights": weights_sha256,
        "adapters": list(adapters),
        "cache": {"key": tuning.key_type, "value": tuning.value_type},
        "flash_attention": tuning.flash_attention,
        "rope": "as the model says",
        "llama_cpp": llama_cpp,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def beginning(manifest: Manifest, vocabulary: Vocabulary) -> list[int]:
    """The tokens that every chat begins with, whatever the user says.

    Raises:
        BundleError: the template fails.
    """
    prompter = Prompter(manifest)
    prompts = [
        prompter.tokens(Request(messages=[ChatMessage("user", question)]), vocabulary, 1 << 24)
        for question in _QUESTIONS
    ]
    first, *others = prompts
    return first[: min(common_prefix(first, other) for other in others)]


def usable(manifest: Manifest, target: str, options: LoadOptions = _AS_COMPUTED) -> str:
    """Why the bundle's state may not be used on this target; empty where it may, or where there is none."""
    warm, model, runtime = manifest.warm, manifest.model("chat"), manifest.runtime.get(target)
    if warm is None:
        return ""
    adapters = [(adapter.sha256, adapter.scale) for adapter in manifest.adapters]
    if model is None or runtime is None:
        return "it was computed for other weights or another version of llama.cpp"
    if warm.guard != guard(model.sha256, runtime.llama_cpp, tune(options), adapters=adapters):
        if warm.guard == guard(model.sha256, runtime.llama_cpp, adapters=adapters):
            return "it was computed with another KV cache"
        return "it was computed for other weights or adapters, or another version of llama.cpp"
    return ""


def warmth(bundle: BundleFile, target: str, options: LoadOptions) -> Warmth | None:
    """The state that comes with the bundle, where it may be used."""
    warm = bundle.manifest.warm
    if warm is None or usable(bundle.manifest, target, options):
        return None
    if options.context_length and len(warm.tokens) >= options.context_length:
        return None
    read = partial(_state, bundle, warm)
    # on Windows a read moves the position at which llama.cpp reads the weights, so there it waits for them
    return Warmth(tokens=warm.tokens, exact=warm.exact, read=read if sys.platform == "win32" else _Reading(read).result)


class _Reading:
    """A state that is looked through in a thread while the weights are loaded."""

    def __init__(self, read: Callable[[], memoryview]) -> None:
        self._outcome: Future[memoryview] = Future()
        threading.Thread(target=self._run, args=(read,), name="warm", daemon=True).start()

    def result(self) -> memoryview:
        """The state.

        Raises:
            BundleError: it cannot be read, or is damaged.
        """
        return self._outcome.result()

    def _run(self, read: Callable[[], memoryview]) -> None:
        try:
            self._outcome.set_result(read())
        except Exception as error:
            self._outcome.set_exception(error)


def _state(bundle: BundleFile, warm: Warm) -> memoryview:
    """Where the file holds the state: mapped, so that it is neither copied nor private memory.

    It is read before, as a page that cannot be read would end the process.

    Raises:
        BundleError: it cannot be read, or is damaged.
    """
    entry = bundle.archive.entries.get(warm.member) if bundle.archive else None
    if entry is not None and entry.size == warm.size > 0:
        begin = entry.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        end = entry.offset + entry.size
        digest = hashlib.sha256()
        try:
            for chunk in chunks(bundle.source, entry.offset, entry.size):
                digest.update(chunk)
            if digest.hexdigest() == warm.sha256:
                mapped = mmap.mmap(bundle.descriptor, end - begin, access=mmap.ACCESS_COPY, offset=begin)
                return memoryview(mapped)[entry.offset - begin :]
        except (OSError, ValueError) as cause:
            raise BundleError(f"failed to read the precomputed prompt: {cause}; it is computed again") from cause
    raise BundleError(
        "failed to read the precomputed prompt: it is damaged, so the prompt is computed again",
        "get the bundle again from its source",
    )
