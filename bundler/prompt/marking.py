"""A Jinja environment that keeps the marks of foreign text (see `foreign`) through everything a template does.

The template's own literals are plain; what is printed of anything but numbers and plain strings is foreign, with exact
marks where operators, string methods and the common filters made it. Without foreign values it renders as Jinja does.
`{% autoescape %}` is refused: how it joins text cannot be followed, and no prompt is HTML. Knows nothing of chats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, Final, cast

import jinja2
from jinja2 import nodes
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from bundler.prompt import foreign
from bundler.prompt.foreign import Foreign

CONCAT: Final = "bundle concat"
"""Name of the filter that does what `~` does."""
_NUMBERS: Final = (bool, int, float, type(None))
_KNOWN: Final = frozenset((*_NUMBERS, str, Markup))
"""Types whose values hold nothing foreign."""
_EXACT: Final = frozenset(("capitalize", "center", "format", "lower", "replace", "trim", "truncate", "upper"))
"""Filters that make text by methods of their first argument alone, and so keep its marks."""
_PASSING: Final = frozenset((
    "abs", "attr", "batch", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "map", "max", "min", "random", "reject", "rejectattr", "reverse", "round", "safe",
    "select", "selectattr", "slice", "sort", "string", "sum", "unique", "wordcount",
))  # fmt: skip
"""Filters that give parts of what they get, numbers, or text that they mark themselves."""


class MarkingEnvironment(ImmutableSandboxedEnvironment):
    """As ImmutableSandboxedEnvironment; `text` is to be its `finalize`, or part of it."""

    intercepted_binops = frozenset("+ * %".split())  # noqa: SIM905 - operators are clearer in a row
    concat = staticmethod(foreign.concat)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters.update({"join": _join, "string": _string, "safe": _safe, CONCAT: concat})

    def mark_filters(self) -> None:
        """Let the filters that are known now keep the marks; to be called once, when all are there."""
        for name, function in self.filters.items():
            if name not in _PASSING and name != CONCAT:
                self.filters[name] = _marked(function, exact=name in _EXACT)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Concatenating().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr != "marks" and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if type(left) in _KNOWN and type(right) in _KNOWN:
            return super().call_binop(context, operator, left, right)
        if operator == "%" and type(left) is str:
            left = foreign.own(left)
        if operator == "+" and isinstance(left, str) and isinstance(right, str) and _is_markup(left, right):
            return _markup(foreign.concat((_escaped(left), _escaped(right))))
        made = super().call_binop(context, operator, left, right)
        return _whole(made) if isinstance(made, Markup) else made

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        method = string_method(obj)
        kind = None if method is None else type(method.__self__)
        known = kind in _KNOWN and all(type(value) in _KNOWN for value in (*args, *kwargs.values()))
        if kind is None or kind is Foreign or known:
            return super().call(context, obj, *args, **kwargs)
        if kind is str and method.__name__ == "format":
            return foreign.formatted(SandboxedFormatter(self), method.__self__, args, kwargs)
        if kind is str and method.__name__ != "format_map":
            method = getattr(foreign.own(method.__self__), method.__name__)
            return super().call(context, method, *args, **kwargs)
        made = super().call(context, obj, *args, **kwargs)
        return made if isinstance(made, Foreign | list | tuple) else _whole(made)


def string_method(obj: Any) -> Any:
    """The method of a string that `obj` is, or wraps as the sandbox does with `format`; None for anything else."""
    method = obj.__wrapped__ if isinstance(obj, FunctionType) and hasattr(obj, "__wrapped__") else obj
    bound = isinstance(method, BuiltinMethodType | MethodType) and isinstance(method.__self__, str)
    return method if bound else None


def text(value: Any) -> str:
    """The value as a template prints it."""
    if isinstance(value, _ForeignMarkup):
        return Foreign(str.__str__(value), value.marks)
    if isinstance(value, str):
        return str(value) if isinstance(value, Markup) else value
    return str(value) if isinstance(value, _NUMBERS) else Foreign(str(value))


def concat(*values: Any) -> str:
    """What `~` makes of the values."""
    return foreign.concat(map(text, values))


class _ForeignMarkup(Markup, Foreign):  # type: ignore[misc] # lists of Markup are lists of str
    """What the filter `safe` makes of foreign text; as Jinja's Markup it escapes the strings that are added to it."""

    __slots__ = ()

    def __new__(cls, value: Any = "", marks: bytes | None = None) -> _ForeignMarkup:
        plain = str.__str__(value) if isinstance(value, str) else str(value)
        return cast(_ForeignMarkup, Foreign.__new__(cls, plain, marks))

    def __str__(self) -> str:
        return text(self)


def _markup(text: str) -> Markup:
    return _ForeignMarkup(text, foreign.own(text).marks)


def _is_markup(*texts: str) -> bool:
    return any(isinstance(text, Markup) for text in texts)


def _escaped(text: str) -> str:
    """As Markup escapes what is added to it, with the marks kept."""
    if isinstance(text, Markup):
        return text
    pieces, at = [], 0
    for start, end in foreign.ranges(text):
        pieces += [escape(text[at:start]), Foreign(escape(str.__str__(text[start:end])))]
        at = end
    return foreign.concat([*pieces, escape(text[at:])])


class _Concatenating(NodeTransformer):
    """Puts the filter CONCAT in the place of `~`."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - named after the node
        self.generic_visit(node)
        first, *others = node.nodes
        return nodes.Filter(first, CONCAT, others, [], None, None, lineno=node.lineno)

    def visit_ScopedEvalContextModifier(self, node: nodes.ScopedEvalContextModifier) -> nodes.Node:  # noqa: N802
        raise jinja2.TemplateSyntaxError("autoescape is for HTML, not for prompts", node.lineno)


def _marked(function: Callable[..., Any], exact: bool) -> Callable[..., Any]:
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        values = args[first:]
        if all(type(value) in _KNOWN for value in (*values, *kwargs.values())):
            return function(*args, **kwargs)
        if exact and type(values[0]) in (str, Foreign):
            values = tuple(text(value) if isinstance(value, _ForeignMarkup) else value for value in values)
            return function(*args[:first], foreign.own(values[0]), *values[1:], **kwargs)
        return _whole(function(*args, **kwargs))

    return marked


def _whole(value: Any) -> Any:
    return _ForeignMarkup(value) if isinstance(value, Markup) else foreign.mark(value)


def _join(context: Any, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    items = value if attribute is None else map(make_attrgetter(context.environment, attribute), value)
    return foreign.own(text(d)).join(map(text, items))


_join = jinja2.pass_context(_join)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else text(value)


def _safe(value: Any) -> Markup:
    if type(value) in _KNOWN:
        return Markup(value)  # noqa: S704 - what the filter is for
    if isinstance(value, Markup):
        return value
    return _markup(text(value))
