"""The statements of a template as Python functions: text, actions, `if`, `with`, `range`, `template`.

Follows exec.go of Go 1.27's text/template. What a pipeline gives is expressions' business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bundler.prompt.gotemplate import expressions, limits, nodes
from bundler.prompt.gotemplate.builtins import BUILTINS
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.execute import BREAK, CONTINUE, Expression, Run, Step
from bundler.prompt.gotemplate.fmt import sprint
from bundler.prompt.gotemplate.parse import Trees
from bundler.prompt.gotemplate.quote import quote
from bundler.prompt.gotemplate.scope import UNSET, MissingKey, Scope
from bundler.prompt.gotemplate.values import ABSENT, Function

NO_VALUE: Final = "<no value>"


class Program:
    """All templates of a text, compiled; `run` runs the one that is the text itself."""

    def __init__(self, trees: Trees, functions: Mapping[str, Function], missing_key: MissingKey) -> None:
        self._bodies: dict[str, _Body] = {}
        self._main = trees.name
        for name, root in trees.roots.items():
            scope = Scope(trees, name, BUILTINS, functions, missing_key)
            step = _Compiler(scope, self._bodies).body(root)
            self._bodies[name] = _Body(step, scope.size, _cost(root))

    def run(self, run: Run, data: Any) -> None:
        """Write what the data gives.

        Raises:
            ExecutionError: the template cannot be run with it.
            Exhausted: it works or writes too much.
        """
        self._bodies[self._main].run(run, ABSENT if data is None else data)


class _Body(NamedTuple):
    """A compiled template: what it does, how many variables it has, and the steps that it takes if nothing repeats."""

    step: Step
    size: int
    cost: int

    def run(self, run: Run, dot: Any) -> None:
        run.steps -= self.cost
        if run.steps < 0:
            run.renew()
        self.step(run, [dot] + [UNSET] * (self.size - 1), dot)


class _Compiler:
    """Compiles one template. `bodies` has all of them once they run."""

    def __init__(self, scope: Scope, bodies: Mapping[str, _Body]) -> None:
        self.scope = scope
        self.bodies = bodies

    def body(self, node: nodes.List) -> Step:
        steps = [self._step(part) for part in node.nodes]
        if len(steps) == 1:
            return steps[0]

        def run_all(run: Run, variables: list[Any], dot: Any) -> int | None:
            for step in steps:
                if ending := step(run, variables, dot):
                    return ending
            return None

        return run_all

    def _step(self, node: nodes.Node) -> Step:
        match node:
            case nodes.Text():
                return _text(node.text)
            case nodes.Action():
                return self._action(node)
            case nodes.If():
                return self._if(node)
            case nodes.With():
                return self._with(node)
            case nodes.Range():
                return self._range(node)
            case nodes.Call():
                return self._call(node)
            case nodes.Break():
                return lambda run, variables, dot: BREAK
            case nodes.Continue():
                return lambda run, variables, dot: CONTINUE
        raise AssertionError(f"no statement: {type(node).__name__}")

    def _action(self, node: nodes.Action) -> Step:
        if node.pipe.variables:
            declared = expressions.pipe(self.scope, node.pipe)

            def declare(run: Run, variables: list[Any], dot: Any) -> None:
                declared(run, variables, dot)

            return declare
        value = expressions.commands(self.scope, node.pipe)

        def show(run: Run, variables: list[Any], dot: Any) -> None:
            made = value(run, variables, dot)
            if isinstance(made, str):
                run.write(made)
            elif made is None or made is ABSENT:
                run.write(NO_VALUE)
            else:
                run.write_printed(self._shown(node.pipe, made))

        return show

    def _condition(self, node: nodes.Pipe) -> Expression:
        """The value of a pipeline; nil may be None, too, where no variable gets it."""
        pipe = expressions.pipe if node.variables else expressions.commands
        return pipe(self.scope, node)

    def _if(self, node: nodes.If) -> Step:
        known = len(self.scope.names)
        value = self._condition(node.pipe)
        body, otherwise = self._branches(node)
        del self.scope.names[known:]

        def choose(run: Run, variables: list[Any], dot: Any) -> int | None:
            if value(run, variables, dot):
                return body(run, variables, dot)
            return otherwise(run, variables, dot) if otherwise else None

        return choose

    def _with(self, node: nodes.With) -> Step:
        known = len(self.scope.names)
        value = self._condition(node.pipe)
        body, otherwise = self._branches(node, dot_is_any=False)
        del self.scope.names[known:]

        def choose(run: Run, variables: list[Any], dot: Any) -> int | None:
            made = value(run, variables, dot)
            if made:
                return body(run, variables, made)
            return otherwise(run, variables, dot) if otherwise else None

        return choose

    def _branches(self, node: nodes.Branch, *, dot_is_any: bool | None = None) -> tuple[Step, Step | None]:
        """The body, in which dot may be another, and what stands after `else`, neither seeing the other's variables."""
        known, outside = len(self.scope.names), self.scope.dot_is_any
        if dot_is_any is not None:
            self.scope.dot_is_any = dot_is_any
        body = self.body(node.body)
        del self.scope.names[known:]
        self.scope.dot_is_any = outside
        return body, self.body(node.otherwise) if node.otherwise else None

    def _range(self, node: nodes.Range) -> Step:
        known = len(self.scope.names)
        collection = self._condition(node.pipe)
        targets = [self.scope.slots(variable.variable) for variable in node.pipe.variables]
        if not node.pipe.assigns:
            self.scope.items.update(slots[0] for slots in targets[-1:])
        body, otherwise = self._branches(node, dot_is_any=True)
        del self.scope.names[known:]
        cost = _cost(node.body)
        items_of = self._items(node)
        slots_of = list(zip(targets, node.pipe.variables, strict=True))

        def repeat(run: Run, variables: list[Any], dot: Any) -> int | None:
            items = items_of(collection(run, variables, dot))
            if not items:  # a break in the `else` ends just that, as it does in Go
                outcome = otherwise(run, variables, dot) if otherwise else None
                return None if outcome == BREAK else outcome
            places = [self.scope.slot_of(variables, *target, node.pipe) for target in slots_of]
            for key, item in items:
                run.steps -= cost
                if run.steps < 0:
                    run.renew()
                if places:
                    variables[places[-1]] = item
                    if len(places) > 1:
                        variables[places[0]] = key
                if body(run, variables, item) == BREAK:
                    break
            return None

        return repeat

    def _items(self, node: nodes.Range) -> Callable[[Any], Collection[tuple[Any, Any]]]:
        """What gives keys and items in their order: those of a map sorted, of a number n those from 0 to n - 1."""

        def items(value: Any) -> Collection[tuple[Any, Any]]:
            if isinstance(value, list):
                return _Numbered(value)
            if isinstance(value, dict):
                return [(key, value[key]) for key in sorted(value)]
            if value is None or value is ABSENT:
                return ()
            place = nodes.last_at(node.pipe)
            if not isinstance(value, int) or isinstance(value, bool):
                raise self.scope.error(place, f"range can't iterate over {self._shown(place, value)}")
            if len(node.pipe.variables) > 1:
                raise self.scope.error(place, f"can't use {value} to iterate over more than one variable")
            return _Numbered(range(value))

        return items

    def _call(self, node: nodes.Call) -> Step:
        value = expressions.pipe(self.scope, node.pipe) if node.pipe else expressions.constant(ABSENT)

        def call(run: Run, variables: list[Any], dot: Any) -> None:
            if node.name not in self.bodies:
                raise self.scope.error(node, f"template {quote(node.name)} not defined")
            if run.depth == limits.DEPTH:
                raise self.scope.limit(node, f"exceeded maximum template depth ({limits.DEPTH})")
            made = value(run, variables, dot)
            run.depth += 1
            self.bodies[node.name].run(run, made)
            run.depth -= 1

        return call

    def _shown(self, place: nodes.Node, value: Any) -> str:
        try:
            return sprint(value)
        except FunctionError as error:
            raise self.scope.error(place, str(error)) from None


class _Numbered(Collection[tuple[int, Any]]):
    """Items with their numbers from 0 on, that need not be in memory."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return enumerate(self._items)

    def __contains__(self, item: object) -> bool:
        return any(item == own for own in self)


def _cost(node: nodes.List) -> int:
    """The steps that running it once takes: one for each of its nodes."""
    return sum(1 for _ in node.walk())


def _text(text: str) -> Step:
    def write(run: Run, variables: list[Any], dot: Any) -> None:
        run.write(text)

    return write
