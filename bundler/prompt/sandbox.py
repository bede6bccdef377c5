"""A Jinja environment for templates that are not trusted: no way to Python's objects, and bounded work.

Every loop, call, filter and new value is charged to the rendering's `Budget`; what can grow without a loop (`*`, `~`,
`replace`, `center`, …) is estimated first, see `growth`. Knows Jinja only, nothing of chats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from bundler.prompt import budget, foreign, growth, marking
from bundler.prompt.budget import Budget
from bundler.prompt.marking import MarkingEnvironment

_HIDDEN_METHODS: Final = frozenset(("encode", "translate", "maketrans"))
_HIDDEN_GLOBALS: Final = ("lipsum",)
_HIDDEN_FILTERS: Final = ("urlize",)
_ROUNDS, _LITERAL, _SLICE, _LIST = "bundle rounds", "bundle literal", "bundle slice", "bundle list"


class BoundedEnvironment(MarkingEnvironment):
    """As MarkingEnvironment, for templates that `render` of this module renders."""

    intercepted_binops = MarkingEnvironment.intercepted_binops | {"**"}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, optimized=False, finalize=_finalize, cache_size=0)
        for name in _HIDDEN_FILTERS:
            del self.filters[name]
        for name in _HIDDEN_GLOBALS:
            del self.globals[name]
        self.globals.update(dict=_Dictionary(), namespace=_Namespace)

    def bound_filters(self) -> None:
        """Charge the filters that are known now; to be called once, when all are there."""
        self.mark_filters()
        for name, function in self.filters.items():
            self.filters[name] = _bounded(function, growth.OF_CALL.get(name))
        self.filters.update(
            {_ROUNDS: _rounds, _LITERAL: _nested, _SLICE: _made, _LIST: _GrowingList, marking.CONCAT: _concat}
        )

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Charging().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, int | float | bytes) or attr in _HIDDEN_METHODS:
            return False
        if isinstance(obj, _GrowingList) and attr in ("append", "pop"):
            return True
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget.current.get().spend(1, growth.of_operator(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        left = budget.current.get()
        left.spend(1, left.call_cost if isinstance(obj, Macro | LoopContext | BlockReference) else 0)
        method = marking.string_method(obj)
        estimate = None if method is None else growth.OF_CALL.get(method.__name__)
        if estimate:
            left.spend(0, estimate(method.__self__, *args, **kwargs))
        made = super().call(context, obj, *args, **kwargs)
        return _nested(made) if isinstance(obj, _Dictionary) else _made(made)


def render(template: jinja2.Template, variables: Mapping[str, Any], source_size: int, *, trial: bool = False) -> str:
    """The template's output, a Foreign where it shows foreign text. `source_size`: characters of the template's text.

    Raises:
        ExhaustedError: it works or writes too much.
        Exception: whatever Python raises in a template at fault.
    """
    left = Budget(source_size, variables, trial=trial)
    token = budget.current.set(left)
    try:
        pieces = []
        for piece in template.root_render_func(template.new_context(dict(variables))):
            left.spend(0, len(piece))
            pieces.append(piece)
        return foreign.concat(pieces)
    finally:
        budget.current.reset(token)


class _Dictionary:
    """What templates know as `dict`: Python's own has methods that change any dictionary."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class _Namespace(Namespace):
    """What templates know as `namespace`; its attributes stand in for none that Python looks for."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _require_public(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _require_public(name)
        super().__setitem__(name, value)


class _GrowingList(list[object]):
    """What a template writes as `[]`: the only lists that it may change, as Kimi K2's does."""

    def append(self, value: object, /) -> None:
        super().append(_nested(value))


class _Charging(NodeTransformer):
    """Puts the charging filters of this module into a template's syntax tree."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - named after the node
        self.generic_visit(node)
        written = sum(len(data.data) for part in node.body for data in part.find_all(nodes.TemplateData))
        node.iter = _through(_ROUNDS, cast(nodes.Expr, node.iter), nodes.Const(written))
        return node

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        return self._literal(node, node.items) if node.items else _through(_LIST, node)

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


def _require_public(name: str) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace takes no attribute {name!r}")


def _through(name: str, node: nodes.Expr, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


def _rounds(items: Any, characters: int) -> Iterator[object]:
    return budget.current.get().rounds(items, characters)


def _made(value: Any) -> Any:
    """Charges a new value, not what lies in it: that was charged when it was made."""
    budget.current.get().spend(1, growth.length(value))
    return value


def _nested(value: Any) -> Any:
    """Charges a new value with everything in it: nesting shared values can double their text at each step."""
    left = budget.current.get()
    left.spend(1, left.measure(value).characters)
    return value


def _concat(*values: Any) -> str:
    left = budget.current.get()
    for value in values:
        left.spend(1, left.measure(value).characters)
    return marking.concat(*values)


@jinja2.pass_context
def _finalize(context: Context, value: Any) -> str:
    left = budget.current.get()
    left.spend(1, len(value) if isinstance(value, str) else left.measure(value).characters)
    return marking.text(value)


def _bounded(function: Callable[..., Any], estimate: Callable[..., int] | None) -> Callable[..., Any]:
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        left = budget.current.get()
        values = list(args)
        if len(args) > first and isinstance(args[first], Iterator):
            values[first] = left.rounds(args[first])
        if estimate:
            if isinstance(values[first], Iterator):
                values[first] = list(values[first])
            left.spend(0, estimate(*values[first:], **kwargs))
        return _made(function(*values, **kwargs))

    return bounded
