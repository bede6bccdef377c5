"""What goes into a bundle: everything but the weights' bytes and the runtime.

Reads the Modelfile and the GGUF's header, tries the chat template, and answers with a `Plan`. Writes nothing and
prints nothing: `write` and the command line take it from here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from bundler import __version__
from bundler.build import resolve, template, traps
from bundler.build.blob import Blob
from bundler.build.gather import FOLDERS, Adapter, Gathered, Part, gather, identity
from bundler.build.progress import Progress, Silent
from bundler.build.sources.found import Found
from bundler.errors import BundleError
from bundler.formats import gguf, vocabulary, weights
from bundler.formats import manifest as manifests
from bundler.formats.adapters import misfit
from bundler.formats.excerpt import clipped
from bundler.formats.manifest import Manifest, Message, Model
from bundler.formats.modelfile import Command, Modelfile, Notice
from bundler.formats.quantization import renamed

DATA_ALIGNMENT: Final = 32
"""llama.cpp reads tensors from inside another file only where their data starts at a multiple of this."""

MAX_NAME: Final = 128
"""Characters of a model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A bundle before it is written."""

    modelfile: Path
    """The file that was read."""
    text: str
    """The Modelfile as it goes into the bundle: its paths are the archive's, and what its FROM says itself is in it."""
    models: dict[str, Blob]
    """The bytes of each GGUF, by archive member."""
    advice: str
    """What to do where llama.cpp does not know the model; mostly empty."""
    licenses: dict[str, str]
    """The texts of the model's licences, by archive member."""
    manifest: Manifest
    """Without runtime parts, members and digests: whoever writes the bundle fills those in."""
    warnings: list[str]
    """What should be told, a line each."""
    remarks: list[str]
    """What was taken from where, a line each."""
    base: Found | None
    """The bundle that this one comes from."""


def plan(
    argument: Path,
    name: str,
    progress: Progress | None = None,
    *,
    quantized: str = "",
    adapters: Sequence[Adapter] = (),
    taken: Collection[str] = (),
    shared: Mapping[str, Blob] = MappingProxyType({}),
) -> Plan:
    """Plan the bundle of a Modelfile, or of a folder with one; `name` is the model's name in every API.

    `quantized` is the type that whoever builds will turn the model into; its member is named after it. `adapters` go
    on top of the Modelfile's own. `taken` are members that the bundle has already; the GGUFs of `shared`, by member,
    are used where the Modelfile leads to the same ones.

    Raises:
        BundleError: the Modelfile or the model cannot be used; the message says where and why.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BundleError(
            f"failed to name the model {name[:40]!r}: a name has 1 to {MAX_NAME} characters that print",
            "choose another one with --name",
        )
    path, written = resolve.read_modelfile(argument)
    gathered = gather(written, path.parent, progress or Silent(), adapters)
    modelfile, origin = gathered.modelfile, gathered.origin
    members = _members(gathered, quantized, {*taken, *_of_added(gathered)}, shared)
    with gathered.model.weights.blob.opened() as source:
        header = gguf.read_header(source, gathered.model.weights.blob.label)
        _check_loadable(modelfile, origin, header)
        model = weights.describe(header, members[0])
        chosen = template.choose(modelfile, origin, header) if model.role == "chat" else None
        pairs = header.string("tokenizer.chat_template.rerank")
        specials = list(vocabulary.control_tokens(header)) if pairs else []
        beside = [
            _describe(modelfile, part, member, header)
            for part, member in zip(gathered.beside, members[1:], strict=True)
        ]
    system, requires = modelfile.last("system"), modelfile.last("requires")
    messages = [_message(command) for command in modelfile.all("message")]
    licenses = _licenses(modelfile)
    notices = [
        *modelfile.notices,
        *(chosen.notices if chosen else _notices_of_unused(modelfile)),
        *(traps.try_out(modelfile, chosen, messages) if chosen else ()),
        *_context_notices(modelfile, model.context_length),
        *_notices_of_sources(gathered),
    ]
    manifest = Manifest(
        name=name,
        bundler=__version__,
        runtime={},
        models=[model, *beside],
        template=chosen.template if chosen else None,
        system=system.value if system and system.value else None,
        messages=messages,
        parameters=modelfile.parameters(),
        specials=list(chosen.specials) if chosen else specials,
        requires=requires.value if requires else "",
        licenses=list(licenses),
    )
    return Plan(
        modelfile=path,
        text=gathered.text(members),
        models={member: part.weights.blob for part, member in zip(gathered.parts, members, strict=True)},
        advice=gathered.model.advice,
        licenses=licenses,
        manifest=manifest,
        warnings=[modelfile.warning(notice) for notice in sorted(notices)],
        remarks=[remark for _, found in gathered.found for remark in found.remarks],
        base=next((found for command, found in gathered.found if command is origin and found.bundle), None),
    )


def member_stem(name: str) -> str:
    """A file's name as one inside the archive: other characters than letters, digits, `._-` become `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "model"


def _of_added(gathered: Gathered) -> set[str]:
    """The members that only the models beside the main one of a base have; they keep their names."""
    base = next((found.manifest for command, found in gathered.found if command is gathered.origin), b"")
    if not base:
        return set()
    manifest = manifests.decode(base)
    return {model.member for model in manifest.weights} - {model.member for model in manifest.models}


def _members(gathered: Gathered, quantized: str, taken: set[str], shared: Mapping[str, Blob]) -> list[str]:
    """The names of the parts in the archive, in order; no two alike."""
    there = {identity(blob): member for member, blob in shared.items()}
    names: list[str] = []
    for part in gathered.parts:
        found = there.get(identity(part.weights.blob), "")
        if found.startswith(f"{FOLDERS[part.weights.kind]}/"):
            names.append(found)
            continue
        stem = member_stem(part.weights.name)
        stem = renamed(stem, quantized) if quantized and part is gathered.model else stem
        stems = [stem, *(f"{stem}-{number}" for number in range(2, len(gathered.parts) + len(taken) + 1))]
        every = [f"{FOLDERS[part.weights.kind]}/{each}.gguf" for each in stems]
        names.append(next(name for name in every if name not in names and name not in taken))
    return names


def _describe(modelfile: Modelfile, part: Part, member: str, model: gguf.Header) -> Model:
    """What the manifest says of a projector, a draft model, or an adapter of the model.

    Raises:
        ModelfileError, BundleError: it is damaged, or an adapter of another model.
    """
    blob = part.weights.blob
    with blob.opened() as source:
        header = gguf.read_header(source, blob.label)
        gguf.check_complete(header)
        if part.weights.kind == "adapter":
            return _adapter(modelfile, part, weights.describe(header, member, "adapter"), misfit(header, model))
        return weights.describe(header, member, "projector" if part.weights.kind == "projector" else "draft")


def _adapter(modelfile: Modelfile, part: Part, described: Model, cause: str) -> Model:
    if cause:
        cause, hint = f"{part.weights.blob.label} does not fit the model: {cause}", "name an adapter of this very model"
        if part.command is not None:
            raise modelfile.error(part.command.value_place, cause, hint)
        raise BundleError(f"failed to add an adapter: {cause}", hint)
    return msgspec.structs.replace(described, scale=part.weights.scale)


def _notices_of_sources(gathered: Gathered) -> list[Notice]:
    """What the sources left out, and what goes into the bundle and is not used yet."""
    found = [Notice(command.value_place, doubt) for command, each in gathered.found for doubt in each.doubts]
    for part in gathered.beside:
        if part.command is None or part.weights.kind == "adapter":
            continue
        word = "the projector" if part.weights.kind == "projector" else "the draft model"
        told = f"{word} goes into the bundle, and this version's runtime does not use it yet"
        found.append(Notice(part.command.value_place, told))
    return found


def _check_loadable(modelfile: Modelfile, origin: Command, header: gguf.Header) -> None:
    place, value = origin.value_place, clipped(origin.value)
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
