"""Which prompt template a bundle gets, and whether it works with what the Modelfile says.

There is no silent default: a model without a template is an error that lists what to do.
"""

from __future__ import annotations

from bundler.formats import weights
from bundler.formats.excerpt import clipped
from bundler.formats.gguf import Header
from bundler.formats.manifest import Message, Template
from bundler.formats.modelfile import Command, Modelfile, Notice, Place
from bundler.prompt import jinja

_SENTINEL = "Kindly answer in seventeen words"


def choose(modelfile: Modelfile, origin: Command, header: Header) -> Template:
    """The template for the weights that `origin`, a FROM, names.

    Raises:
        ModelfileError: there is none.
    """
    template = weights.own_template(header)
    if template is None:
        raise modelfile.error(
            origin.value_place,
            f"{clipped(origin.value)} has no chat template, and there is no safe guess how to prompt it",
            "use a GGUF of the instruction-tuned model, or add tokenizer.chat_template to this one "
            "(gguf-new-metadata --chat-template-file FILE, Python package gguf)",
        )
    return template


def try_out(modelfile: Modelfile, origin: Command, template: Template, messages: list[Message]) -> list[Notice]:
    """Render what the bundle will see, so that what would fail at every chat fails once at build.

    Raises:
        ModelfileError: the template is no valid Jinja, does not show what the user says, or refuses the system prompt
            or the messages.
    """
    question = {"role": "user", "content": _SENTINEL}
    name = clipped(origin.value)
    other = "get a GGUF with a corrected chat template"
    text = _render(
        modelfile, origin.value_place, f"the chat template of {name} does not work", other, template, [question]
    )
    if _SENTINEL not in text:
        cause = f"the chat template of {name} leaves out what the user says"
        raise modelfile.error(origin.value_place, cause, other)
    notices = []
    begin = []
    system = modelfile.last("system")
    if system and system.value:
        trial = [{"role": "system", "content": _SENTINEL}, {"role": "user", "content": "Hello"}]
        hint = "put the text into a first `MESSAGE user` instead"
        text = _render(modelfile, system.place, f"the chat template of {name} takes no SYSTEM", hint, template, trial)
        if _SENTINEL not in text:
            notices.append(Notice(system.place, f"the chat template of {name} leaves the system prompt out"))
        begin.append({"role": "system", "content": system.value})
    if messages:
        begin += [{"role": message.role, "content": message.content} for message in messages]
        place = modelfile.all("message")[0].place
        hint = "change the MESSAGEs: most templates want user and assistant in turn"
        failure = f"the chat template of {name} does not take the MESSAGEs and a question after them"
        _render(modelfile, place, failure, hint, template, [*begin, question])
    return notices


def _render(
    modelfile: Modelfile, place: Place, failure: str, hint: str, template: Template, messages: list[dict[str, str]]
) -> str:
    try:
        return jinja.render(template, messages)
    except jinja.TemplateError as cause:
        reason = f"it says: {clipped(cause.said, 200)}" if cause.said else cause.message
        raise modelfile.error(place, f"{failure}: {reason}", hint) from cause
