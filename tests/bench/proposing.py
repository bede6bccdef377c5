"""A model as large and as fast as the one it is made from, whose own choice is always JSON of one schema.

With random weights nearly every token is one that a constraint forbids; with trained ones nearly none is. This model is
such a one: whatever it is asked, it says `SAID`. Its layers are computed as before and add nothing, and the embedding
of each token is the output's row of the token that follows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from bundler.build import cache
from tests import models
from tests.bench import subjects

_BEGINNING = ('{"', "items", '":[')
_ITEM = (
    *(' {"', "name", '":"', "wal", "nut", " table", " with", " four", " turned", " legs", " and", " a", " drawer"),
    *('","', "count", '":', "12", ',"', "size", '":{\n', ' "', "width", '":\n', "40"),
    *('},"', "tags", '"', ':["', "wood", '"]', "},"),
)
"""Said again and again. A token says which one follows, so none comes twice."""
SAID = "".join((*_BEGINNING, *_ITEM))
SCHEMA = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1, "maximum": 5000},
                    "size": {
                        "type": "object",
                        "properties": {"width": {"type": "integer", "minimum": 10, "maximum": 300}},
                        "required": ["width"],
                        "additionalProperties": False,
                    },
                    "tags": {"type": "array", "items": {"enum": ["wood", "metal", "wool"]}, "minItems": 1},
                },
                "required": ["name", "count", "size", "tags"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}
GRAMMAR = r"""
root ::= object
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" space (pair ("," space pair)*)? "}" space
pair ::= string ":" space value
array ::= "[" space (value ("," space value)*)? "]" space
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" ["\\bfnrt/])* "\"" space
number ::= "-"? [0-9]+ ("." [0-9]+)? space
space ::= [ \n\t]*
"""
"""Any JSON object."""
_ADDS = ("attn_output.weight", "ffn_down.weight")
"""What a layer adds to its input is their product."""


def model(name: str) -> Path:
    """Made once from `subjects.model(name)` and kept."""
    path = cache.folder("bench") / f"{name}-json.gguf"
    if not path.exists():
        work = path.with_suffix(".tmp")
        _write(work, subjects.model(name), subjects.SHAPES[name])
        work.rename(path)
    return path


def _write(path: Path, source: Path, shape: models.Shape) -> None:
    vocabulary = models.real_vocabulary(source)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    output: Any = tensors.get("output.weight", tensors["token_embd.weight"])
    writer = models.begin(path, shape, vocabulary, {})
    for name, tensor in tensors.items():
        data = np.zeros_like(tensor.data) if name.endswith(_ADDS) else tensor.data
        kind = tensor.tensor_type
        if name == "token_embd.weight":
            data, kind = output.data[_followers(vocabulary)], output.tensor_type
        writer.add_tensor(name, data, raw_dtype=kind)
    if "output.weight" not in tensors:
        writer.add_tensor("output.weight", output.data, raw_dtype=output.tensor_type)
    models.finish(writer, path)


def _followers(vocabulary: models.Vocabulary) -> list[int]:
    """For each token the one that follows it; after one that `SAID` has not, `SAID` begins."""
    letters = models.byte_letters()
    ids = {piece: token for token, piece in enumerate(vocabulary.pieces)}
    said = [ids["".join(letters[byte] for byte in piece.encode())] for piece in (*_BEGINNING, *_ITEM)]
    if len(set(said)) != len(said):
        raise ValueError("a token comes twice")
    following = dict(zip(said, [*said[1:], said[len(_BEGINNING)]], strict=True))
    return [following.get(token, said[0]) for token in range(len(vocabulary))]
