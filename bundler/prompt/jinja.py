"""Jinja chat templates, rendered as Hugging Face transformers does (utils/chat_template_utils.py).

A conversation in, prompt text out. The template comes from a downloaded file and is not trusted: it runs in `sandbox`'s
environment. Knows nothing of tokens, models or HTTP. `from_json` is llama.cpp's addition.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from bundler.errors import BundleError
from bundler.formats.manifest import Template
from bundler.prompt import foreign, given, sandbox, thinking
from bundler.prompt.conversation import Conversation, Rendered, ThinkLevel
from bundler.prompt.foreign import Foreign
from bundler.prompt.shapes import Shapes

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


def render(template: Template, conversation: Conversation) -> str:
    """The prompt of a conversation.

    Raises:
        TemplateError: the template is no valid Jinja, fails, refuses the messages, or works without end.
        BundleError: the last message cannot be continued, or a message has parts that the template cannot show.
    """
    return str.__str__(_rendered(template, conversation, lambda value: value))


def render_marked(template: Template, conversation: Conversation) -> Rendered:
    """The same prompt, and which of it the template did not write itself.

    Roles of `specials.OWN_ROLES` count as its own text. Of numbers nothing is marked.

    Raises:
        BundleError: as `render`.
    """
    return foreign.join([_rendered(template, conversation, foreign.mark)])


def check(text: str) -> None:
    """See whether the text is valid Jinja.

    Raises:
        TemplateError: it is not; the message names the line.
    """
    _compile(text)


def names(text: str) -> frozenset[str]:
    """The variables that a template looks up, whether or not it sets them under some condition.

    Raises:
        TemplateError: it is no valid Jinja.
    """
    _compile(text)
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))


class _Compiled(NamedTuple):
    template: jinja2.Template
    shapes: Shapes


@lru_cache(maxsize=32)
def _compile(text: str) -> _Compiled:
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(f"failed to compile the chat template: it is longer than {MAX_TEMPLATE} characters")
    try:
        template = _ENVIRONMENT.from_string(text)
    except jinja2.TemplateSyntaxError as cause:
        raise TemplateError(f"failed to compile the chat template: line {cause.lineno}: {cause.message}") from cause
    except Exception as cause:  # nesting that is too deep for Python's own parser, among others
        raise TemplateError(f"failed to compile the chat template: {_told(cause)}") from cause
    return _Compiled(template, Shapes(lambda values: _leniently(template, values, len(text), trial=True)))


@lru_cache(maxsize=32)
def _thinking(text: str, think: bool | ThinkLevel | None) -> dict[str, Any]:
    return {} if think is None else thinking.variables(think, _ENVIRONMENT.parse(text))


def _rendered(template: Template, conversation: Conversation, marked: Callable[[Any], Any]) -> str:
    compiled = _compile(template.text)
    try:
        messages = compiled.shapes.fitted([given.normalized(message) for message in conversation.messages])
        values = {
            **_tokens(template),
            **_thinking(template.text, conversation.think),
            **given.variables(conversation, messages, marked),
        }
        prompt = _leniently(compiled.template, values, len(template.text))
        if conversation.continue_final:
            prompt = given.cut(prompt, messages[-1])
        prompt.encode()
    except BundleError:
        raise
    except _RefusalError as refusal:
        said = str.__str__(str(refusal))
        raise TemplateError(f"failed to render the chat template: it refuses the messages: {said}", "", said) from None
    except Exception as cause:  # a template may raise whatever Python can
        raise TemplateError(f"failed to render the chat template: {_told(cause)}") from cause
    return prompt


def _tokens(template: Template) -> dict[str, str]:
    tokens = {"bos_token": template.bos_token, "eos_token": template.eos_token}
    return {name: text for name, text in tokens.items() if text}


def _leniently(template: jinja2.Template, values: dict[str, Any], size: int, *, trial: bool = False) -> str:
    """The output, where need be with what templates count on that were written for more than is given."""
    try:
        return sandbox.render(template, values, size, trial=trial)
    except (TypeError, jinja2.UndefinedError):
        return sandbox.render(template, _completed(values), size, trial=trial)


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Empty tools, tokens and contents; the other two are what llama.cpp gives."""
    empty = {"bos_token": "", "eos_token": "", "functions": "", "datetime": _strftime_now("%b %d %Y %H:%M:%S GMT")}
    messages = [{"content": "", **message} for message in values["messages"]]
    return {**empty, **values, "messages": messages, "tools": values["tools"] or []}


class _Generation(Extension):
    """`{% generation %}`, which marks assistant text for training, and changes nothing here."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


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


def _strftime_now(form: str) -> str:
    text = datetime.now().strftime(form)
    return Foreign(text) if foreign.ranges(form) else text


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
