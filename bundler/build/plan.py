"""What goes into a bundle: everything but the weights' bytes and the runtime.

Reads the Modelfile and the GGUF's header, tries the chat template, and answers with a `Plan`. Writes nothing and
prints nothing: `write` and the command line take it from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bundler import __version__
from bundler.build import resolve, template, traps
from bundler.errors import BundleError
from bundler.formats import gguf, vocabulary, weights
from bundler.formats.excerpt import clipped
from bundler.formats.manifest import Manifest, Message
from bundler.formats.modelfile import Command, Modelfile, Notice
from bundler.formats.source import FileSource

DATA_ALIGNMENT: Final = 32
"""llama.cpp reads tensors from inside another file only where their data starts at a multiple of this."""

MAX_NAME: Final = 128
"""Characters of a model's name."""

_LATER = ("adapter", "draft")


@dataclass(frozen=True, slots=True)
class Plan:
    """A bundle before it is written."""

    modelfile: Path
    """The file that was read."""
    text: str
    """The Modelfile as it goes into the bundle: as given, FROM pointing to the member of the archive."""
    models: dict[str, Path]
    """The file of each model, by archive member."""
    licenses: dict[str, str]
    """The texts of the model's licences, by archive member."""
    manifest: Manifest
    """Without runtime parts, members and digests: whoever writes the bundle fills those in."""
    warnings: list[str]
    """What should be told, a line each."""


def plan(argument: Path, name: str) -> Plan:
    """Plan the bundle of a Modelfile, or of a folder with one; `name` is the model's name in every API.

    Raises:
        BundleError: the Modelfile or the model cannot be used; the message says where and why.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BundleError(
            f"failed to name the model {name[:40]!r}: a name has 1 to {MAX_NAME} characters that print",
            "choose another one with --name",
        )
    path, modelfile = resolve.read_modelfile(argument)
    resolve.check_drafts(modelfile, path.parent)
    origin = _only_from(modelfile)
    file = resolve.weights_file(modelfile, origin, path.parent)
    member = f"models/{_member_stem(file.stem)}.gguf"
    with file.open("rb") as opened:
        header = gguf.read_header(FileSource(opened.fileno()), clipped(origin.value))
        _check_loadable(modelfile, origin, header)
        model = weights.describe(header, member)
        chosen = template.choose(modelfile, origin, header) if model.role == "chat" else None
        pairs = header.string("tokenizer.chat_template.rerank")
        specials = list(vocabulary.control_tokens(header)) if pairs else []
    system, requires = modelfile.last("system"), modelfile.last("requires")
    messages = [_message(command) for command in modelfile.all("message")]
    licenses = _licenses(modelfile)
    notices = [
        *modelfile.notices,
        *(chosen.notices if chosen else _notices_of_unused(modelfile)),
        *(traps.try_out(modelfile, chosen, messages) if chosen else ()),
        *_context_notices(modelfile, model.context_length),
    ]
    manifest = Manifest(
        name=name,
        bundler=__version__,
        runtime={},
        models=[model],
        template=chosen.template if chosen else None,
        system=system.value if system and system.value else None,
        messages=messages,
        parameters=modelfile.parameters(),
        specials=list(chosen.specials) if chosen else specials,
        requires=requires.value if requires else "",
        licenses=list(licenses),
    )
    text = modelfile.with_values([(origin, f"./{member}")])
    warnings = [modelfile.warning(notice) for notice in sorted(notices)]
    return Plan(path, text, {member: file}, licenses, manifest, warnings)


def _member_stem(name: str) -> str:
    """A file's name as one inside the archive: other characters than letters, digits, `._-` become `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "model"


def _only_from(modelfile: Modelfile) -> Command:
    for command in modelfile.commands:
        if command.name in _LATER:
            raise modelfile.error(
                command.place,
                f"{command.name.upper()} is not supported yet by this version",
                "leave the command out, or use a newer version of bundle",
            )
    first, *others = modelfile.all("from")
    if others:
        raise modelfile.error(
            others[0].place,
            "more than one FROM is not supported yet by this version",
            "name one GGUF; a projector or an adapter cannot be added yet",
        )
    return first


def _check_loadable(modelfile: Modelfile, origin: Command, header: gguf.Header) -> None:
    place, value = origin.value_place, clipped(origin.value)
    kind = weights.kind(header)
    parts = weights.split_count(header)
    if parts > 1:
        raise modelfile.error(
            place,
            f"{value} is one of {parts} parts of a model",
            "merge them first: llama-gguf-split --merge FIRST MERGED",
        )
    if kind in ("adapter", "projector"):
        raise modelfile.error(place, f"{value} holds no model: it is {_an(kind)}", "name the model's own GGUF")
    if not weights.architecture(header):
        raise modelfile.error(place, f"{value} does not say its architecture", "convert the model again")
    if not header.tensors:
        raise modelfile.error(place, f"{value} holds a vocabulary and no weights", "name the model's own GGUF")
    gguf.check_complete(header)
    if header.data_offset % DATA_ALIGNMENT:
        raise modelfile.error(
            place,
            f"the tensors of {value} start at byte {header.data_offset}, which is no multiple of {DATA_ALIGNMENT}",
            "write the GGUF again with general.alignment 32, for example with llama-quantize",
        )


def _message(command: Command) -> Message:
    return msgspec.convert({"role": command.key, "content": command.value}, Message)


def _notices_of_unused(modelfile: Modelfile) -> list[Notice]:
    """What a model that makes embeddings has no use for."""
    return [
        Notice(command.place, f"{command.name.upper()} has no effect: the model makes embeddings and generates no text")
        for command in modelfile.commands
        if command.name in ("system", "message", "template", "renderer", "parser")
    ]


def _licenses(modelfile: Modelfile) -> dict[str, str]:
    commands = modelfile.all("license")
    names = ["LICENSES/model.txt", *(f"LICENSES/model-{index}.txt" for index in range(2, len(commands) + 1))]
    return {name: command.value for name, command in zip(names, commands, strict=False)}


def _context_notices(modelfile: Modelfile, trained: int) -> list[Notice]:
    asked = [command for command in modelfile.all("parameter") if command.key == "num_ctx"]
    if asked and 0 < trained < int(asked[-1].value):
        text = f"num_ctx {int(asked[-1].value)} is more than the {trained} tokens that the model was trained for"
        return [Notice(asked[-1].value_place, text)]
    return []


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
