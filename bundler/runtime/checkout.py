"""A manifest for a bare GGUF, so that the runtime can be tried from a checkout without building a bundle.

Never used in a bundle: there the build has written the manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from bundler import __version__
from bundler.formats import gguf, manifest, vocabulary, weights
from bundler.formats.manifest import Manifest
from bundler.formats.source import Source


def manifest_of(source: Source, path: Path) -> tuple[Manifest, str]:
    """The manifest that a bare `FROM` would give, and its SHA-256.

    Raises:
        GgufError: the file is no usable GGUF.
    """
    header = gguf.read_header(source, str(path))
    gguf.check_complete(header)
    # There is no digest of the header to compare it with at start: the file is whatever it is now.
    model = msgspec.structs.replace(weights.describe(header, f"models/{path.name}"), header_size=0)
    made = Manifest(
        name=path.stem,
        bundler=__version__,
        runtime={},
        models=[model],
        template=weights.own_template(header),
        specials=vocabulary.control_tokens(header),
    )
    return made, hashlib.sha256(manifest.encode(made)).hexdigest()
