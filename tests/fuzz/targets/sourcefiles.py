"""What a FROM may lead to: llamafiles, parts of split models, manifests of the Ollama store."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path
from random import Random
from typing import NamedTuple

from bundler.errors import BundleError
from tests.build.sources.making import content, find, gguf, part
from tests.build.sources.test_llamafile import ARGS, make
from tests.fuzz.mutation import mutated

SECONDS = 5.0

_PIECES = (
    *(struct.pack("<I", number) for number in (0, 1, 8, 30, 1 << 16, 1 << 31, (1 << 32) - 1)),
    *(struct.pack("<Q", number) for number in (0, 1, 64, 1 << 62, (1 << 64) - 1)),
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"../", b"/", b"\\", b"\0", b"GGUF", b"split.count", b"\xff",
    b"--temp\n", b"null", b"[]", b"{}", b"-1", b'"', b"sha256:", b"application/vnd.ollama.image.model",
)  # fmt: skip


def _llamafile() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder) / "m", {"small.gguf": gguf(), "usr/x": b"1"}, ARGS).read_bytes()


def _layer(kind: str, data: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": len(data)}


_BLOBS = {"model": gguf(), "params": b'{"temperature": 0.5, "stop": ["a"]}', "config": b"{}", "system": b"Be brief."}
_SEEDS = {
    "m.llamafile": _llamafile(),
    "m-00001-of-00002.gguf": part(0, 2, [0, 1], 5),
    "m-00002-of-00002.gguf": part(1, 2, [2, 3, 4], 5),
    "small": json.dumps(
        {
            "config": _layer("config", _BLOBS["config"]),
            "layers": [_layer(kind, data) for kind, data in _BLOBS.items() if kind != "config"],
        }
    ).encode(),
}


_MANIFEST = "store/manifests/registry.ollama.ai/library/small/latest"


class Case(NamedTuple):
    name: str
    """Of the file that is changed."""
    data: bytes


def case(chance: Random) -> Case:
    name = chance.choice(list(_SEEDS))
    seed = _SEEDS[name]
    if name != "m.llamafile":
        return Case(name, mutated(chance, seed, _PIECES, seed))
    at = seed.index(b"PK\x03\x04")  # what comes before is a program, and the same to everybody
    return Case(name, seed[:at] + mutated(chance, seed[at:], _PIECES, seed[at:]))


def attempt(case: Case) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in {**_SEEDS, case.name: case.data}.items():
            path = folder / (_MANIFEST if file == "small" else file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / "store" / "blobs").mkdir()
        for data in _BLOBS.values():
            (folder / "store" / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}").write_bytes(data)
        os.environ["OLLAMA_MODELS"] = str(folder / "store")
        try:
            for weights in find(case.name, folder).weights:
                content(weights.blob)
        except BundleError as error:
            _check_error(error)
            return False
    return True


def _check_error(error: BundleError) -> None:
    assert error.message.isprintable()
    assert error.hint
