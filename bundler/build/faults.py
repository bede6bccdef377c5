"""What is wrong with a TEMPLATE, where in the Modelfile it is wrong, and what to do about it."""

from __future__ import annotations

import re

from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import Command, Modelfile, Place
from bundler.prompt.gotemplate.errors import GoTemplateError

EXAMPLE = (
    'TEMPLATE """{{ if .System }}<|system|>{{ .System }}<|end|>{{ end }}<|user|>{{ .Prompt }}<|end|><|assistant|>"""'
)

_GO_PLACE = re.compile(r"template: \w+:[0-9]+(?::[0-9]+)?: ")
_JINJA = re.compile(r"\{%-?\s*(?:for|if|set|macro|else|endif|endfor)\b|\{\{-?\s*(?:messages|bos_token|eos_token)\b")
_FILE = re.compile(r"[\w./~\\: -]+\.(?:jinja2?|j2|gotmpl|tmpl|tpl|template|txt)")


def fault(modelfile: Modelfile, command: Command, error: BundleError) -> tuple[Place, str]:
    """Where in the Modelfile the error of reading or running its TEMPLATE lies, and what it says."""
    cause = error.__cause__
    if not isinstance(cause, GoTemplateError):
        return command.value_place, clipped(error.message, 200)
    said = clipped(_GO_PLACE.sub("", cause.message, count=1), 200)
    if cause.at is not None:
        return modelfile.place_within(command, cause.at), said
    lines = command.value.split("\n")
    line = lines[min(cause.line, len(lines)) - 1].encode("utf-8", "surrogatepass")
    column = len(line[: cause.column or 0].decode("utf-8", "ignore"))
    return modelfile.place_within(command, sum(len(text) + 1 for text in lines[: cause.line - 1]) + column), said


def advice(text: str) -> str:
    """What to do about a TEMPLATE that is none, by what it seems to be instead."""
    if _FILE.fullmatch(text.strip()):
        return "TEMPLATE takes the template itself, and not the name of a file that holds it"
    if _JINJA.search(text):
        return (
            "a TEMPLATE is a Go template; Jinja belongs into the GGUF (gguf-new-metadata --chat-template-file FILE, "
            "Python package gguf), and then TEMPLATE is not needed"
        )
    return f"such as: {EXAMPLE}"
