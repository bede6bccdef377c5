"""`embed`: print texts as vectors, without a server. Nothing but the vectors goes to stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import msgspec

from bundler.errors import BundleError
from bundler.runtime.announce import ProgressLine
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.defaults import from_manifest
from bundler.runtime.embedding import TextTooLong, normalised
from bundler.runtime.embedding import embed as embed_texts
from bundler.runtime.piped import piped
from bundler.runtime.settings import LoadSettings, UsageError
from bundler.runtime.startup import Startup, load_model


def read_texts(words: Sequence[str], stdin: TextIO | None, program: str) -> list[str]:
    """The texts of the command line; where there are none, what is piped in.

    Raises:
        UsageError: there is neither, or a text is empty.
        BundleError: what is piped in is no text.
    """
    texts = list(words) or [text for text in [piped(stdin)] if text]
    if not texts or not all(text.strip() for text in texts):
        raise UsageError("there is no text" if not texts else "a text is empty", f'give one: {program} embed "A dog"')
    return texts


def embed(
    bundle: BundleFile,
    texts: Sequence[str],
    values: Mapping[str, Any],
    load: LoadSettings,
    environment: Mapping[str, str],
) -> int:
    """Load the model and print a vector for each text; returns the exit code. `values`: those of `arguments.EMBEDDING`.

    Raises:
        BundleError: the model cannot be loaded, or a text is too long.
    """
    with ProgressLine() as progress:
        startup = Startup(progress.tell)
        options = load.options(from_manifest(bundle.manifest))
        startup.begin(lambda tell: load_model(bundle, options, environment, tell))
        loaded = asyncio.run(startup.wait())
        try:
            embedded = embed_texts(loaded, texts, truncate=values.get("truncate", False))
        except TextTooLong as error:
            raise BundleError(f"failed to embed: {error}", "shorten it, or cut it with --truncate") from error
        finally:
            loaded.engine.close()
        wanted = values.get("dimensions", embedded.dimensions)
        if wanted > embedded.dimensions:
            raise BundleError(f"failed to embed: the vectors of this model have {embedded.dimensions} dimensions")
    for vectors in embedded.vectors:
        for vector in vectors:
            numbers = vector if embedded.pooling == "rank" else normalised(vector, wanted)
            print(msgspec.json.encode(numbers).decode(), flush=True)
    return 0
