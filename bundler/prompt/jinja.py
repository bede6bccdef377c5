"""Jinja chat templates, rendered as Hugging Face transformers does (utils/chat_template_utils.py).

Messages in, prompt text out. The template comes from a downloaded file and is not trusted: it runs in `sandbox`'s
environment. Knows nothing of tokens, models or HTTP. `from_json` is llama.cpp's addition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from bundler.errors import BundleError
from bundler.formats.manifest import Template
from bundler.prompt import sandbox

MAX_TEMPLATE = 256 << 10
"""Characters of a template; the longest in use have about 20,000."""


class TemplateError(BundleError):
    """A template that cannot be used, or that refuses these messages.

    `said` is the text of the template's own `raise_exception`, else empty: then the template itself is at fault.
    """

    def __init__(self, message: str, hint: str = "", said: str = "") -> None:
        super().__init__(message, hint)
        self.said = said


class _RefusalError(Exception):
    """`raise_exception` was called."""


def render(
    template: Template,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = True,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> str:
    """The prompt for `messages`, each with at least `role` and `content`.

    Further keyword arguments become variables of the template, as `chat_template_kwargs` do.

    Raises:
        TemplateError: the template is no valid Jinja, fails, refuses the messages, or works without end.
    """
    compiled, size = _compile(template.text), len(template.text)
    given = {
        "bos_token": template.bos_token,
        "eos_token": template.eos_token,
        **variables,
        "messages": messages,
        "tools": tools,
        "documents": documents,
        "add_generation_prompt": add_generation_prompt,
    }
    try:
        try:
            prompt = sandbox.render(compiled, given, size)
        except (TypeError, jinja2.UndefinedError):
            if tools is not None:
                raise
            prompt = sandbox.render(compiled, given | _for_tools_alone(), size)
        prompt.encode()
    except _RefusalError as refusal:
        said = str(refusal)
        raise TemplateError(f"failed to render the chat template: it refuses the messages: {said}", "", said) from None
    except Exception as cause:  # a template may raise whatever Python can
        raise TemplateError(f"failed to render the chat template: {_told(cause)}") from cause
    return prompt


def check(text: str) -> None:
    """See whether the text is valid Jinja.

    Raises:
        TemplateError: it is not; the message names the line.
    """
    _compile(text)


@lru_cache(maxsize=32)
def _compile(text: str) -> jinja2.Template:
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(f"failed to compile the chat template: it is longer than {MAX_TEMPLATE} characters")
    try:
        return _ENVIRONMENT.from_string(text)
    except jinja2.TemplateSyntaxError as cause:
        raise TemplateError(f"failed to compile the chat template: line {cause.lineno}: {cause.message}") from cause
    except Exception as cause:  # nesting that is too deep for Python's own parser, among others
        raise TemplateError(f"failed to compile the chat template: {_told(cause)}") from cause


class _Generation(Extension):
    """`{% generation %}`, which marks assistant text for training, and changes nothing here."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object) -> NoReturn:
    raise _RefusalError(str(message))


def _for_tools_alone() -> dict[str, Any]:
    """What templates written for tool use alone need where there are no tools; the last two are llama.cpp's."""
    return {"tools": [], "functions": "", "datetime": _strftime_now("%b %d %Y %H:%M:%S GMT")}


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _told(cause: Exception) -> str:
    if isinstance(cause, RecursionError):
        return "it nests too deeply"
    if isinstance(cause, UnicodeEncodeError):
        return "it makes half a surrogate pair, which is no text"
    return str(cause).splitlines()[0][:200] if str(cause) else type(cause).__name__


def _environment() -> jinja2.Environment:
    environment = sandbox.BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters.update(tojson=_tojson, from_json=json.loads)
    environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
    environment.bound_filters()
    return environment


_ENVIRONMENT = _environment()
