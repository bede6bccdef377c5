"""Pipelines, commands and operands as Python functions: each node becomes a closure once, and runs without its tree.

Follows exec.go of Go 1.27's text/template, also in what an error says and where it says it is. Knows no statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from bundler.prompt.gotemplate import calls, nodes
from bundler.prompt.gotemplate.execute import Expression, Run
from bundler.prompt.gotemplate.nodes import last_at
from bundler.prompt.gotemplate.scope import Scope
from bundler.prompt.gotemplate.values import ABSENT, ANY, Struct, type_name, zero_of

_NEVER_NIL: Final = frozenset((
    "not", "len", "slice", "eq", "ne", "lt", "le", "gt", "ge", "print", "println", "printf", "html", "js", "urlquery",
))  # fmt: skip
"""Builtin functions."""


def pipe(scope: Scope, node: nodes.Pipe) -> Expression:
    """The value of the last command, nil as absent; its variables get it."""
    value = commands(scope, node)
    if not node.variables:
        return _dug(value) if _can_be_nil(scope, node.commands[-1]) else value
    if node.assigns:
        targets = [(variable, scope.slots(variable.variable)) for variable in node.variables]
        return _assigned(scope, value, targets, last_at(node.commands[-1]))
    slots = [scope.declare(variable.variable) for variable in node.variables]

    def declared(run: Run, variables: list[Any], dot: Any) -> Any:
        made = value(run, variables, dot)
        if made is None:
            made = ABSENT
        for slot in slots:
            variables[slot] = made
        return made

    return declared


def commands(scope: Scope, node: nodes.Pipe) -> Expression:
    """The value of the last command, without the node's variables."""
    value = command(scope, node.commands[0], None, node)
    for before, part in pairwise(node.commands):
        handed = _dug(value) if _can_be_nil(scope, before) else value
        value = command(scope, part, handed, last_at(before))
    return value


def _can_be_nil(scope: Scope, node: nodes.Command) -> bool:
    first = node.operands[0]
    if isinstance(first, nodes.Identifier):
        return first.name not in _NEVER_NIL or not scope.is_builtin(first.name)
    return not isinstance(first, nodes.Bool | nodes.Number | nodes.String)


def _dug(value: Expression) -> Expression:
    """nil as absent: what Go has dug out of an interface that holds nothing."""

    def dug(run: Run, variables: list[Any], dot: Any) -> Any:
        made = value(run, variables, dot)
        return ABSENT if made is None else made

    return dug


def _assigned(
    scope: Scope, value: Expression, targets: Sequence[tuple[nodes.Variable, list[int]]], place: nodes.Node
) -> Expression:
    def assigned(run: Run, variables: list[Any], dot: Any) -> Any:
        made = value(run, variables, dot)
        if made is None:
            made = ABSENT
        for variable, slots in targets:
            variables[scope.slot_of(variables, slots, variable, place)] = made
        return made

    return assigned


def command(scope: Scope, node: nodes.Command, previous: Expression | None, before: nodes.Node) -> Expression:
    """A command's value; `previous` gives the value that a pipeline hands on to it, `before` was looked at last."""
    first, arguments = node.operands[0], node.operands[1:]
    if isinstance(first, nodes.Identifier):
        return _call(scope, node, first, arguments, previous)
    if isinstance(first, nodes.Field | nodes.Chain) or (isinstance(first, nodes.Variable) and first.names):
        return _looked_up(scope, first, bool(arguments) or previous is not None, previous)
    if arguments or previous is not None:
        place = before if isinstance(first, nodes.Pipe) else first
        steps = [] if previous is None else [previous]
        if isinstance(first, nodes.Variable):
            steps.append(operand(scope, first))
        return calls.failing(scope, place, f"can't give argument to non-function {first}", *steps)
    if isinstance(first, nodes.Nil):
        return calls.failing(scope, first, "nil is not a command")
    return operand(scope, first)


def operand(scope: Scope, node: nodes.Node) -> Expression:
    """The value of a single operand."""
    match node:
        case nodes.Dot():
            return lambda run, variables, dot: dot
        case nodes.Bool() | nodes.String():
            return constant(node.value)
        case nodes.Nil():
            return constant(None)
        case nodes.Number():
            if node.constant.value is None:
                return calls.failing(scope, node, f"{node} overflows int")
            return constant(node.constant.value)
        case nodes.Variable() if not node.names:
            return _variable(scope, node)
        case nodes.Field() | nodes.Variable() | nodes.Chain():
            return _looked_up(scope, node, False, None)
        case nodes.Identifier():
            return _call(scope, node, node, (), None)
        case nodes.Pipe():
            return pipe(scope, node)
    raise AssertionError(f"no operand: {type(node).__name__}")


def _call(
    scope: Scope,
    place: nodes.Node,
    identifier: nodes.Identifier,
    arguments: tuple[nodes.Node, ...],
    previous: Expression | None,
) -> Expression:
    function = scope.functions[identifier.name]
    wrong = calls.wrong_number(identifier.name, function, len(arguments), previous is not None)
    if wrong:
        return calls.failing(scope, identifier, wrong, *([] if previous is None else [previous]))
    is_logic = identifier.name in ("and", "or") and scope.is_builtin(identifier.name)
    before = scope.size
    scope.skippable += is_logic
    operands = [
        calls.checked(scope, function.parameter(at), argument, operand(scope, argument))
        for at, argument in enumerate(arguments)
    ]
    scope.skippable -= is_logic
    if is_logic:
        return calls.logic(identifier.name, operands, previous, range(before, scope.size))
    if previous is None:
        return calls.call(scope, place, identifier.name, operands)
    last = last_at(arguments[-1]) if arguments else identifier
    check = calls.type_check(scope, function.parameter(len(arguments)), last)
    return calls.piped_call(scope, place, identifier.name, operands, previous, check)


def constant(value: Any) -> Expression:
    return lambda run, variables, dot: value


def _variable(scope: Scope, node: nodes.Variable) -> Expression:
    slots = scope.slots(node.variable)
    if len(slots) == 1 and slots[0] not in scope.uncertain:
        slot = slots[0]
        return lambda run, variables, dot: variables[slot]
    return lambda run, variables, dot: variables[scope.slot_of(variables, slots, node, node)]


def _looked_up(
    scope: Scope, node: nodes.Field | nodes.Variable | nodes.Chain, is_called: bool, previous: Expression | None
) -> Expression:
    """Names looked up one in the other. `is_called`: with arguments, which no field of a template's values takes."""
    is_any = False
    place: nodes.Node = node
    if isinstance(node, nodes.Chain):
        start = operand(scope, node.node)
        place = last_at(node.node)
    elif isinstance(node, nodes.Variable):
        start = _variable(scope, node)
        slots = scope.slots(node.variable)
        is_any = bool(slots) and slots[0] in scope.items
    elif len(node.names) == 1 and not is_called:
        return _field(scope, node, node.names[0])
    else:
        start = operand(scope, nodes.Dot(node.at))
        is_any = scope.dot_is_any
    names = node.names
    absent = None if scope.missing_key == "zero" else ABSENT
    last = len(names) - 1

    def looked_up(run: Run, variables: list[Any], dot: Any) -> Any:
        if previous is not None:
            previous(run, variables, dot)
        value = start(run, variables, dot)
        of_any = is_any and type(value) is not Struct
        for at, name in enumerate(names):
            if is_called and at == last:
                return _refuse_arguments(scope, place, value, name, of_any)
            kind = type(value)
            if kind is dict:
                value = value.get(name, absent)
            elif kind is Struct and name in value.fields:
                value = value.fields[name]
            else:
                value = member(scope, place, value, name, of_any)
            of_any = kind is dict
        return value

    return looked_up


def _field(scope: Scope, node: nodes.Field, name: str) -> Expression:
    """`.Name`, the most frequent operand."""
    absent = None if scope.missing_key == "zero" else ABSENT
    is_any = scope.dot_is_any

    def field(run: Run, variables: list[Any], dot: Any) -> Any:
        kind = type(dot)
        if kind is dict:
            return dot.get(name, absent)
        if kind is Struct and name in dot.fields:
            return dot.fields[name]
        return member(scope, node, dot, name, is_any and kind is not Struct)

    return field


def member(scope: Scope, place: nodes.Node, value: Any, name: str, is_any: bool) -> Any:
    """What a value has under a name. `is_any`: Go sees it as an interface.

    Raises:
        ExecutionError: it has no such thing.
    """
    if value is ABSENT:
        return ABSENT
    if isinstance(value, dict):
        if name in value:
            return value[name]
        return zero_of(value) if scope.missing_key == "zero" else ABSENT
    if isinstance(value, Struct) and name in value.fields:
        return value.fields[name]
    if value is None:
        raise scope.error(place, f"nil pointer evaluating {ANY}.{name}")
    raise scope.error(place, f"can't evaluate field {name} in type {ANY if is_any else type_name(value)}")


def _refuse_arguments(scope: Scope, place: nodes.Node, value: Any, name: str, is_any: bool) -> Any:
    if isinstance(value, dict):
        raise scope.error(place, f"{name} is not a method but has arguments")
    if isinstance(value, Struct) and name in value.fields:
        raise scope.error(place, f"{name} has arguments but cannot be invoked as function")
    return member(scope, place, value, name, is_any)
