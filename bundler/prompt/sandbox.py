"""A Jinja environment for templates that are not trusted: no way to Python's objects, and bounded work.

Every loop, call, filter and new value is charged to the rendering's `Budget`; what can grow without a loop (`*`, `~`,
`replace`, `center`, …) is measured before it is made. Knows Jinja only, nothing of chats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import BuiltinMethodType, FunctionType
from typing import Any, Final, cast

import jinja2
from jinja2 import nodes
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from bundler.prompt import budget
from bundler.prompt.budget import Budget, ExhaustedError

MAX_NUMBER_BITS: Final = 1 << 14
_MAX_WIDTH: Final = 4096
_HIDDEN_METHODS: Final = frozenset(("encode", "translate", "maketrans"))
_HIDDEN_GLOBALS: Final = ("lipsum",)
_HIDDEN_FILTERS: Final = ("urlize",)
_ROUNDS, _LITERAL, _SLICE, _TEXT = "bundle rounds", "bundle literal", "bundle slice", "bundle text"
_WIDE_FORMAT: Final = re.compile(r"[0-9]{4}|\*|:[^{}]*\{")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """As ImmutableSandboxedEnvironment, for templates that `render` of this module renders."""

    intercepted_binops = frozenset("+ * ** %".split())  # noqa: SIM905 - operators are clearer in a row

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, optimized=False, finalize=_finalize, cache_size=0)
        for name in _HIDDEN_FILTERS:
            del self.filters[name]
        for name in _HIDDEN_GLOBALS:
            del self.globals[name]

    def bound_filters(self) -> None:
        """Charge the filters that are known now; to be called once, when all are there."""
        for name, function in self.filters.items():
            self.filters[name] = _bounded(function, _GROWTH.get(name))
        self.filters.update({_ROUNDS: _rounds, _LITERAL: _nested, _SLICE: _made, _TEXT: _text})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Charging().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, int | float | bytes) or attr in _HIDDEN_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget.current.get().spend(1, _operator_growth(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        left = budget.current.get()
        left.spend(1, left.call_cost if isinstance(obj, Macro | LoopContext | BlockReference) else 0)
        method = obj.__wrapped__ if isinstance(obj, FunctionType) and hasattr(obj, "__wrapped__") else obj
        if isinstance(method, BuiltinMethodType) and isinstance(method.__self__, str):
            growth = _GROWTH.get(method.__name__)
            if growth:
                left.spend(0, growth(method.__self__, *args, **kwargs))
        made = super().call(context, obj, *args, **kwargs)
        return _nested(made) if obj is dict else _made(made)


def render(template: jinja2.Template, variables: Mapping[str, Any], source_size: int) -> str:
    """The template's output. `source_size` is the length of its text in characters.

    Raises:
        ExhaustedError: it works or writes too much.
        Exception: whatever Python raises in a template at fault.
    """
    left = Budget(source_size, variables)
    token = budget.current.set(left)
    try:
        pieces = []
        for piece in template.root_render_func(template.new_context(dict(variables))):
            left.spend(0, len(piece))
            pieces.append(piece)
        return "".join(pieces)
    finally:
        budget.current.reset(token)


class _Charging(NodeTransformer):
    """Puts the charging filters of this module into a template's syntax tree."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - named after the node
        self.generic_visit(node)
        written = sum(len(data.data) for part in node.body for data in part.find_all(nodes.TemplateData))
        node.iter = _through(_ROUNDS, cast(nodes.Expr, node.iter), nodes.Const(written))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [part if isinstance(part, nodes.Const) else _through(_TEXT, part) for part in node.nodes]
        return node

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        return self._literal(node, node.items)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        return self._literal(node, node.items) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        return self._literal(node, [pair.value for pair in node.items])

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through(_SLICE, node) if isinstance(node.arg, nodes.Slice) else node

    def _literal(self, node: nodes.Expr, items: list[nodes.Expr]) -> nodes.Expr:
        constant = all(isinstance(item, nodes.Const) for item in items)
        self.generic_visit(node)
        return node if constant else _through(_LITERAL, node)


def _through(name: str, node: nodes.Expr, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def _rounds(items: Any, characters: int) -> Iterator[object]:
    return budget.current.get().rounds(items, characters)


def _made(value: Any) -> Any:
    """Charges a new value, not what lies in it: that was charged when it was made."""
    budget.current.get().spend(1, _length(value))
    return value


def _nested(value: Any) -> Any:
    """Charges a new value with everything in it: nesting shared values can double their text at each step."""
    left = budget.current.get()
    left.spend(1, left.measure(value).characters)
    return value


def _text(value: Any) -> str:
    """The value as `~` joins it."""
    left = budget.current.get()
    left.spend(1, left.measure(value).characters)
    return str(value)


@jinja2.pass_context
def _finalize(context: Context, value: Any) -> Any:
    left = budget.current.get()
    left.spend(1, len(value) if isinstance(value, str) else left.measure(value).characters)
    return value


def _bounded(function: Callable[..., Any], growth: Callable[..., int] | None) -> Callable[..., Any]:
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        left = budget.current.get()
        values = list(args)
        if len(args) > first and isinstance(args[first], Iterator):
            values[first] = left.rounds(args[first])
        if growth:
            if isinstance(values[first], Iterator):
                values[first] = list(values[first])
            left.spend(0, growth(*values[first:], **kwargs))
        return _made(function(*values, **kwargs))

    return bounded


def _operator_growth(operator: str, left: Any, right: Any) -> int:
    if operator == "%":
        return _format(left, right) if isinstance(left, str) else 0
    if operator == "+":
        return _length(left) + _length(right)
    numbers = [value for value in (left, right) if isinstance(value, int)]
    if len(numbers) == 2:
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > MAX_NUMBER_BITS:
            raise ExhaustedError("it makes a number that is too large")
        return 0
    return (_length(left) + _length(right)) * max(*numbers, 0) if numbers and operator == "*" else 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 8 * len(value) if isinstance(value, list | tuple | dict) else 0


def _printed(value: Any) -> int:
    return budget.current.get().measure(value).characters


def _width(value: Any) -> int:
    if isinstance(value, int) and abs(value) > _MAX_WIDTH:
        raise ExhaustedError(f"it asks for a width of {value}")
    return _printed(value) if isinstance(value, str) else _MAX_WIDTH


def _format(text: str, *args: Any, **kwargs: Any) -> int:
    if _WIDE_FORMAT.search(text):
        raise ExhaustedError("it formats with a computed or very large width")
    places = text.count("%") + text.count("{")
    return len(text) + places * (_MAX_WIDTH // 4 + _printed(args) + _printed(kwargs))


def _replace(text: Any, old: Any = "", new: Any = "", *rest: Any, **_: Any) -> int:
    if not (isinstance(text, str) and isinstance(old, str) and isinstance(new, str)):
        return _printed(text) * (1 + _printed(new))
    return len(text) + (text.count(old) if old else len(text) + 1) * len(new)


def _join(first: Any, second: Any = "", *rest: Any, **kwargs: Any) -> int:
    """Of `separator.join(items)` as of `items|join(separator)`."""
    items, separator = (second, first) if isinstance(first, str) and not isinstance(second, str) else (first, second)
    if isinstance(items, Iterator):
        return 0
    separator = kwargs.get("d", separator)
    return _printed(items) + (len(items) if hasattr(items, "__len__") else 0) * _printed(separator)


def _padded(text: Any, *args: Any, **kwargs: Any) -> int:
    return _printed(text) + sum(_width(value) for value in [*args, *kwargs.values()])


def _indented(text: Any, *args: Any, **kwargs: Any) -> int:
    lines = text.count("\n") + text.count("\t") + 1 if isinstance(text, str) else 1
    return lines * _padded("", *args, **kwargs) + _printed(text)


def _json(value: Any, *args: Any, **kwargs: Any) -> int:
    extent = budget.current.get().measure(value)
    indent = sum(_width(option) for option in (*args[1:2], kwargs.get("indent")) if option is not None)
    return extent.characters * 2 + (extent.parts * extent.depth * min(indent, 64) if indent else 0)


def _nothing_but_numbers(_: Any, *args: Any, **kwargs: Any) -> int:
    if not all(isinstance(value, int | float | str) for value in (*args[1:2], kwargs.get("start", 0))):
        raise ExhaustedError("it adds up something else than numbers")
    return 0


_GROWTH: Final[dict[str, Callable[..., int]]] = {
    "replace": _replace, "join": _join, "format": _format, "format_map": _format, "tojson": _json,
    "center": _padded, "ljust": _padded, "rjust": _padded, "zfill": _padded, "batch": _padded, "slice": _padded,
    "round": _padded, "truncate": _padded, "indent": _indented, "expandtabs": _indented, "wordwrap": _indented,
    "string": _printed, "pprint": _printed, "xmlattr": _printed, "urlencode": _printed, "e": _printed,
    "escape": _printed, "forceescape": _printed, "sum": _nothing_but_numbers,
}  # fmt: skip
"""How many characters a string method or a filter may make of its arguments."""
