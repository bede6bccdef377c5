"""What goes into a bundle: everything but the weights' bytes and the runtime.

Reads the Modelfile and the GGUF's header, tries the chat template, and answers with a `Plan`. Writes nothing and
prints nothing: `write` and the command line take it from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bundler.build import resolve
from bundler.errors import BundleError
from bundler.formats import gguf, manifest, weights
from bundler.formats.modelfile import Command, Modelfile, clipped
from bundler.formats.source import FileSource
from bundler.prompt import jinja

DATA_ALIGNMENT: Final = 32
"""llama.cpp reads tensors from inside another file only where their data starts at a multiple of this."""

MAX_NAME: Final = 128
"""Characters of a model's name."""

_LATER = ("template", "adapter", "draft", "renderer", "parser", "requires")
_SENTINEL = "Kindly answer in seventeen words"


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF that goes into the bundle."""

    path: Path
    member: str
    """Name in the archive."""
    model: manifest.Model
    """Its facts, with an empty digest: whoever reads the file computes that on the way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A bundle before it is written."""

    name: str
    weights: list[Weights]
    template: manifest.Template
    system: str | None
    messages: list[manifest.Message]
    parameters: dict[str, manifest.ParameterValue]
    texts: dict[str, bytes]
    """Small archive members: the Modelfile and the model's licences."""
    licenses: list[str]
    """Those of `texts` that are licences."""
    warnings: list[str] = field(default_factory=list)


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
    origin = _only_from(modelfile)
    file = resolve.weights_file(modelfile, origin, path.parent)
    member = f"models/{member_stem(name)}.gguf"
    with file.open("rb") as opened:
        header = gguf.read_header(FileSource(opened.fileno()), clipped(origin.value))
        _check_loadable(modelfile, origin, header)
        model = _describe(header, member)
        template = _choose_template(modelfile, origin, header)
    system = modelfile.last("system")
    messages = [_message(command) for command in modelfile.all("message")]
    licenses = _licenses(modelfile)
    planned = Plan(
        name=name,
        weights=[Weights(file, member, model)],
        template=template,
        system=system.value if system and system.value else None,
        messages=messages,
        parameters=modelfile.parameters(),
        texts={"Modelfile": modelfile.with_values([(origin, f"./{member}")]).encode(), **licenses},
        licenses=list(licenses),
    )
    planned.warnings.extend(_warnings(modelfile, planned))
    return planned


def member_stem(name: str) -> str:
    """A model's name as a file name inside the archive: other characters than letters, digits, `._-` become `-`."""
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


def _describe(header: gguf.Header, member: str) -> manifest.Model:
    return manifest.Model(
        role="chat",
        member=member,
        size=header.size,
        sha256="",
        architecture=weights.architecture(header),
        name=weights.name(header),
        quantization=weights.quantization(header),
        parameters=weights.parameters(header),
        context_length=weights.context_length(header),
        vocabulary=weights.vocabulary(header),
        header_size=header.data_offset,
        header_sha256=header.digest(),
    )


def _choose_template(modelfile: Modelfile, origin: Command, header: gguf.Header) -> manifest.Template:
    text = weights.chat_template(header)
    if text is None:
        raise modelfile.error(
            origin.value_place,
            f"{clipped(origin.value)} has no chat template, and there is no safe guess how to prompt it",
            "use a GGUF of the instruction-tuned model, or add tokenizer.chat_template to this one "
            "(gguf-new-metadata --chat-template FILE, Python package gguf)",
        )
    return manifest.Template(
        kind="jinja",
        text=text,
        source="gguf",
        reason="the GGUF brings its own chat template",
        bos_token=weights.bos_token(header),
        eos_token=weights.eos_token(header),
        add_bos=weights.add_bos(header),
    )


def _message(command: Command) -> manifest.Message:
    return msgspec.convert({"role": command.key, "content": command.value}, manifest.Message)


def _licenses(modelfile: Modelfile) -> dict[str, bytes]:
    commands = modelfile.all("license")
    names = ["LICENSES/model.txt", *(f"LICENSES/model-{index}.txt" for index in range(2, len(commands) + 1))]
    return {name: command.value.encode() for name, command in zip(names, commands, strict=False)}


def _warnings(modelfile: Modelfile, planned: Plan) -> list[str]:
    """What the user should know, the Modelfile's own notices first. Tries the template on the way."""
    found = [(notice.place, notice.text) for notice in modelfile.warnings]
    system = modelfile.last("system")
    if planned.system and system and not _keeps_system(modelfile, planned, system):
        found.append((system.place, "the model's chat template leaves the system prompt out"))
    _try_template(modelfile, planned)
    context = planned.weights[0].model.context_length
    for command in modelfile.all("parameter"):
        asked = planned.parameters.get("num_ctx") if command.key == "num_ctx" else None
        if isinstance(asked, int) and 0 < context < asked and int(command.value) == asked:
            found.append(
                (command.value_place, f"num_ctx {asked} is more than the {context} tokens the model was trained for")
            )
    return [f"{modelfile.path}:{place.line}:{place.column}: {text}" for place, text in found]


def _keeps_system(modelfile: Modelfile, planned: Plan, system: Command) -> bool:
    question = {"role": "user", "content": "Hello"}
    try:
        text = jinja.render(planned.template, [{"role": "system", "content": _SENTINEL}, question])
    except jinja.TemplateError as cause:
        raise modelfile.error(
            system.place,
            f"the model's chat template takes no system prompt: {cause.said or cause.message}",
            "put the text into a first `MESSAGE user` instead",
        ) from cause
    return _SENTINEL in text


def _try_template(modelfile: Modelfile, planned: Plan) -> None:
    """Render the first prompt that the bundle will see."""
    messages = [{"role": message.role, "content": message.content} for message in planned.messages]
    if planned.system:
        messages.insert(0, {"role": "system", "content": planned.system})
    origin = modelfile.all("from")[0]
    try:
        text = jinja.render(planned.template, [*messages, {"role": "user", "content": _SENTINEL}])
    except jinja.TemplateError as cause:
        raise modelfile.error(
            origin.value_place,
            f"the chat template of {clipped(origin.value)} does not work: {cause.message}",
            "get a GGUF with a corrected chat template" if not cause.said else "change the MESSAGEs to what it accepts",
        ) from cause
    if _SENTINEL not in text:
        raise modelfile.error(
            origin.value_place,
            f"the chat template of {clipped(origin.value)} leaves out what the user says",
            "get a GGUF with a corrected chat template",
        )


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
