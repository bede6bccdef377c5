"""A manifest for a bare GGUF, so that the runtime can be tried from a checkout without building a bundle.

Never used in a bundle: there the build has written the manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bundler import __version__
from bundler.formats import gguf, manifest, weights
from bundler.formats.manifest import Manifest, Model, Template
from bundler.formats.source import Source


def manifest_of(source: Source, path: Path) -> tuple[Manifest, str]:
    """The manifest that a bare `FROM` would give, and its SHA-256.

    Raises:
        GgufError: the file is no usable GGUF.
    """
    header = gguf.read_header(source, str(path))
    gguf.check_complete(header)
    template = weights.chat_template(header)
    made = Manifest(
        name=path.stem,
        bundler=__version__,
        runtime={},
        models=[
            Model(
                role="chat",
                member=f"models/{path.name}",
                size=source.size,
                sha256="",
                architecture=weights.architecture(header),
                name=weights.name(header),
                quantization=weights.quantization(header),
                parameters=weights.parameters(header),
                context_length=weights.context_length(header),
                vocabulary=weights.vocabulary(header),
            )
        ],
        template=None
        if template is None
        else Template(
            kind="jinja",
            text=template,
            source="gguf",
            reason="the model's own template",
            bos_token=weights.bos_token(header),
            eos_token=weights.eos_token(header),
            add_bos=weights.add_bos(header),
        ),
    )
    return made, hashlib.sha256(manifest.encode(made)).hexdigest()
