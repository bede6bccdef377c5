"""Calls of functions as closures: arguments counted and checked as Go does, `and` and `or` without the needless ones.

Takes the arguments as closures. Knows how a function is called, not what any of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bundler.prompt.foreign import Foreign
from bundler.prompt.gotemplate import nodes
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.execute import Expression, Run, is_marked
from bundler.prompt.gotemplate.scope import UNSET, Scope
from bundler.prompt.gotemplate.values import ABSENT, ANY, VALUE, Function, type_name

_CONSTANTS: Final[dict[str, tuple[str, Callable[[nodes.Node], Any]]]] = {
    "string": ("string", lambda node: node.value if isinstance(node, nodes.String) else None),
    "bool": ("bool", lambda node: node.value if isinstance(node, nodes.Bool) else None),
    "int": ("integer", lambda node: node.constant.integer if isinstance(node, nodes.Number) else None),
    "float64": ("float", lambda node: node.constant.real if isinstance(node, nodes.Number) else None),
}
"""By a parameter's type: Go's word for a constant of it, and what a constant is as one; None where it is none."""

_MAKE_NOTHING: Final = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "index"))


def wrong_number(name: str, function: Function, given: int, with_previous: bool) -> str:
    """What Go says to this number of arguments, with the value of a pipeline as one more; empty where it is right."""
    wanted = len(function.parameters)
    total = given + with_previous
    if function.variadic:
        least = wanted - 1
        return f"wrong number of args for {name}: want at least {least} got {given}" if total < least else ""
    return f"wrong number of args for {name}: want {wanted} got {total}" if total != wanted else ""


def failing(scope: Scope, place: nodes.Node, problem: str, *before: Expression) -> Expression:
    """Fails, after what is evaluated before."""

    def fail(run: Run, variables: list[Any], dot: Any) -> Any:
        for value in before:
            value(run, variables, dot)
        raise scope.error(place, problem)

    return fail


def checked(scope: Scope, wanted: str, node: nodes.Node, value: Expression) -> Expression:
    """The argument's value, which is of the type that is wanted.

    A constant becomes one of that type where it can.
    """
    if isinstance(node, nodes.Nil) and wanted in (ANY, VALUE):
        nothing = None if wanted == ANY else ABSENT
        return lambda run, variables, dot: nothing
    if wanted == VALUE:
        return value
    if isinstance(node, nodes.Nil):
        return failing(scope, node, f"cannot assign nil to {wanted}")
    if isinstance(node, nodes.Bool | nodes.Number | nodes.String):
        if wanted == ANY:
            return value
        word, constant = _CONSTANTS[wanted]
        made = constant(node)
        if made is None:
            return failing(scope, node, f"expected {word}; found {node}")
        return lambda run, variables, dot: made
    check = type_check(scope, wanted, nodes.last_at(node))
    return lambda run, variables, dot: check(value(run, variables, dot))


def type_check(scope: Scope, wanted: str, place: nodes.Node) -> Callable[[Any], Any]:
    """Gives a value of the type that is wanted as it is, and nil for an absent one where any type is; else fails."""

    def of_type(value: Any) -> Any:
        if value is ABSENT:
            raise scope.error(place, f"invalid value; expected {wanted}")
        given = ANY if value is None else type_name(value)
        if given != wanted:
            raise scope.error(place, f"wrong type for value; expected {wanted}; got {given}")
        return value

    if wanted == VALUE:
        return lambda value: value
    return _nil_for_absent if wanted == ANY else of_type


def _nil_for_absent(value: Any) -> Any:
    return None if value is ABSENT else value


def logic(name: str, operands: Sequence[Expression], previous: Expression | None, slots: Iterable[int]) -> Expression:
    """`and`, `or`: the first argument that decides, else the last one; those after it are not evaluated.

    `slots` are of variables declared in the arguments, which are unset where that is not done.
    """
    decides = name == "or"
    slots = list(slots)

    def decide(run: Run, variables: list[Any], dot: Any) -> Any:
        handed = None if previous is None else previous(run, variables, dot)
        for slot in slots:
            variables[slot] = UNSET
        made = None
        for value in operands:
            made = value(run, variables, dot)
            if bool(made) is decides:
                return made
        return made if previous is None else handed

    return decide


def call(scope: Scope, place: nodes.Node, name: str, operands: Sequence[Expression]) -> Expression:
    """A function's result, for one step and the characters of the text that it makes."""
    function = scope.functions[name]
    if scope.is_builtin(name) and name in _MAKE_NOTHING and len(operands) == 2:
        return _plain_call(scope, place, name, *operands)

    def called(run: Run, variables: list[Any], dot: Any) -> Any:
        return _result(scope, place, name, function, run, [value(run, variables, dot) for value in operands])

    return called


def piped_call(
    scope: Scope,
    place: nodes.Node,
    name: str,
    operands: Sequence[Expression],
    previous: Expression,
    check: Callable[[Any], Any],
) -> Expression:
    """As `call`, with the value that a pipeline hands on as the last argument, evaluated first and checked last."""
    function = scope.functions[name]

    def called(run: Run, variables: list[Any], dot: Any) -> Any:
        handed = previous(run, variables, dot)
        values = [value(run, variables, dot) for value in operands]
        return _result(scope, place, name, function, run, [*values, check(handed)])

    return called


def _plain_call(scope: Scope, place: nodes.Node, name: str, left: Expression, right: Expression) -> Expression:
    """As `call`, of a builtin function with two arguments that makes no text."""
    work = scope.functions[name].call

    def called(run: Run, variables: list[Any], dot: Any) -> Any:
        run.steps -= 1
        if run.steps < 0:
            run.renew()
        try:
            return work(left(run, variables, dot), right(run, variables, dot))
        except FunctionError as error:
            raise scope.error(place, f"error calling {name}: {error}") from None

    return called


def _result(scope: Scope, place: nodes.Node, name: str, function: Function, run: Run, values: list[Any]) -> Any:
    run.steps -= 1
    if run.steps < 0:
        run.renew()
    if name == "call" and scope.is_builtin(name):
        values = [_text_of_callee(place, values[0]), *values]
    try:
        made = function.call(*values)
    except FunctionError as error:
        raise scope.error(place, f"error calling {name}: {error}") from None
    if isinstance(made, str | list) and not (name == "index" and scope.is_builtin(name)):
        run.characters -= len(made)
        if run.characters < 0:
            run.too_long()
    if run.is_marked and type(made) is str and not function.keeps_marks and any(map(is_marked, values)):
        return Foreign(made)
    return made


def _text_of_callee(place: nodes.Node, value: Any) -> str:
    if isinstance(place, nodes.Command) and len(place.operands) > 1:
        return str(place.operands[1])
    return value if isinstance(value, str) else f"<{type_name(value)} Value>"
