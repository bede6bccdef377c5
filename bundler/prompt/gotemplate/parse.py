"""Tokens to trees: the grammar of Go's text/template, one method a production.

Knows which functions there are by name only. Errors are Go's, to the word and the line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NoReturn, TypeVar

from bundler.prompt.gotemplate import limits, literals, nodes
from bundler.prompt.gotemplate.errors import LimitError, ParseError
from bundler.prompt.gotemplate.lex import Kind, Token
from bundler.prompt.gotemplate.lookahead import Lookahead
from bundler.prompt.gotemplate.quote import quote

_OPERANDS: Final = frozenset((
    Kind.BOOL, Kind.RUNE, Kind.DOT, Kind.FIELD, Kind.IDENTIFIER, Kind.NUMBER, Kind.NIL, Kind.STRING, Kind.VARIABLE,
    Kind.OPEN,
))  # fmt: skip
_NO_COMMAND: Final = (nodes.Bool, nodes.Dot, nodes.Nil, nodes.Number, nodes.String)
_Read = TypeVar("_Read")


class Trees:
    """The templates that one text defines: `trees[name]` is the text itself, the others are by `define` and `block`."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.roots: dict[str, nodes.List] = {}

    def place(self, node: nodes.Node) -> tuple[int, int]:
        """Where a node begins: the line from 1, and the bytes of UTF-8 before it on that line."""
        start = self.text.rfind("\n", 0, node.at) + 1
        return self.text.count("\n", 0, node.at) + 1, len(self.text[start : node.at].encode("utf-8", "surrogatepass"))


def parse_trees(text: str, name: str, functions: Collection[str]) -> Trees:
    """The trees of a template called `name` in errors, which may call these functions.

    Raises:
        ParseError: the text is no template.
        LimitError: it is longer or nests deeper than `limits` allows.
    """
    if len(text) > limits.SOURCE:
        raise LimitError(f"template: {name}:1: longer than {limits.SOURCE} characters", 1)
    trees = Trees(text, name)
    _Parser(Lookahead(text), trees, functions, name).template()
    return trees


class _Parser:
    """Reads one template of the text; `define` and `block` have parsers of their own on the same tokens."""

    def __init__(self, tokens: Lookahead, trees: Trees, functions: Collection[str], name: str) -> None:
        self.tokens = tokens
        self.trees = trees
        self.functions = functions
        self.name = name
        self.variables = ["$"]
        self.ranges = 0

    def template(self) -> None:
        """(text | action | define)* EOF"""
        found: list[nodes.Node] = []
        while (token := self.tokens.next()).kind is not Kind.EOF:
            if token.kind is Kind.LEFT:
                word = self.tokens.next_word()
                if word.kind is Kind.DEFINE:
                    self._nested(self._definition)
                    continue
                self.tokens.back(word)
            self.tokens.back(token)
            node = self._text_or_action()
            if isinstance(node, str):
                self._fail(f"unexpected {{{{{node}}}}}")
            found.append(node)
        self._add(nodes.List(0, tuple(found)))

    def _definition(self) -> None:
        """define "name" }} list {{end}}"""
        token = self.tokens.next_word()
        if token.kind is not Kind.STRING:
            self._unexpected(token, "define clause")
        name = self._value_of(literals.string, token)
        self._expect(Kind.RIGHT, "define clause")
        self._other(name, "define clause")

    def _other(self, name: str, context: str) -> None:
        parser = _Parser(self.tokens, self.trees, self.functions, name)
        header = self.tokens.line
        self.tokens.action_line = 0
        body, end = parser._list()
        if end != "end":
            self._fail(f"unexpected {{{{{end}}}}} in {context}", header if context == "block clause" else None)
        parser._add(body)

    def _add(self, root: nodes.List) -> None:
        known = self.trees.roots.get(self.name)
        if known is None or known.is_empty():
            self.trees.roots[self.name] = root
        elif not root.is_empty():
            self._fail(f"template: multiple definition of template {quote(self.name)}")

    def _list(self) -> tuple[nodes.List, str]:
        """(text | action)* up to {{end}} or {{else}}, and which of them it was."""
        at = self.tokens.peek_word().at
        found: list[nodes.Node] = []
        while True:
            if self.tokens.peek_word().kind is Kind.EOF:
                self._fail("unexpected EOF")
            node = self._text_or_action()
            if isinstance(node, str):
                return nodes.List(at, tuple(found)), node
            found.append(node)

    def _text_or_action(self) -> nodes.Node | str:
        token = self.tokens.next_word()
        if token.kind is Kind.TEXT:
            return nodes.Text(token.at, token.text)
        if token.kind is not Kind.LEFT:
            self._unexpected(token, "input")
        self.tokens.action_line = token.line
        node = self._action()
        self.tokens.action_line = 0
        return node

    def _action(self) -> nodes.Node | str:
        """control | pipeline, after the left delimiter; a str is `end` or `else`."""
        token = self.tokens.next_word()
        match token.kind:
            case Kind.IF:
                return self._nested(lambda: self._branch(nodes.If, "if"))
            case Kind.RANGE:
                return self._nested(lambda: self._branch(nodes.Range, "range"))
            case Kind.WITH:
                return self._nested(lambda: self._branch(nodes.With, "with"))
            case Kind.BREAK | Kind.CONTINUE:
                return self._jump(token)
            case Kind.ELSE:
                if self.tokens.peek_word().kind not in (Kind.IF, Kind.WITH):
                    self._expect(Kind.RIGHT, "else")
                return "else"
            case Kind.END:
                self._expect(Kind.RIGHT, "end")
                return "end"
            case Kind.BLOCK:
                return self._nested(self._block)
            case Kind.TEMPLATE:
                return self._call()
        self.tokens.back(token)
        return nodes.Action(token.at, self._pipe("command", Kind.RIGHT))

    def _jump(self, token: Token) -> nodes.Node:
        after = self.tokens.next_word()
        if after.kind is not Kind.RIGHT:
            self._unexpected(after, f"{{{{{token.text}}}}}")
        if not self.ranges:
            self._fail(f"{{{{{token.text}}}}} outside {{{{range}}}}")
        return nodes.Break(token.at) if token.kind is Kind.BREAK else nodes.Continue(token.at)

    def _branch(self, kind: type[nodes.Branch], context: str) -> nodes.Branch:
        """pipeline }} list ({{else}} list)? {{end}}, where `else if` and `else with` share the `end`."""
        known = len(self.variables)
        pipe = self._pipe(context, Kind.RIGHT)
        self.ranges += context == "range"
        body, end = self._list()
        self.ranges -= context == "range"
        otherwise = None
        if end == "else":
            after = self.tokens.peek()
            if context == after.text and after.kind in (Kind.IF, Kind.WITH):
                self.tokens.next()
                otherwise = nodes.List(after.at, (self._nested(lambda: self._branch(kind, context)),))
            else:
                otherwise, end = self._list()
                if end != "end":
                    self._fail(f"expected end; found {{{{{end}}}}}")
        del self.variables[known:]
        return kind(pipe.at, pipe, body, otherwise)

    def _block(self) -> nodes.Node:
        """block "name" pipeline }} list {{end}}"""
        token = self.tokens.next_word()
        name = self._template_name(token, "block clause")
        pipe = self._pipe("block clause", Kind.RIGHT)
        self._other(name, "block clause")
        return nodes.Call(token.at, name, pipe)

    def _call(self) -> nodes.Node:
        """template "name" pipeline?"""
        token = self.tokens.next_word()
        name = self._template_name(token, "template clause")
        after = self.tokens.next_word()
        if after.kind is Kind.RIGHT:
            return nodes.Call(token.at, name, None)
        self.tokens.back(after)
        return nodes.Call(token.at, name, self._pipe("template clause", Kind.RIGHT))

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind is not Kind.STRING:
            self._unexpected(token, context)
        return self._value_of(literals.string, token)

    def _pipe(self, context: str, end: Kind) -> nodes.Pipe:
        """(variables (":=" | "="))? command ("|" command)*, with what ends it."""
        at = self.tokens.peek_word().at
        variables, assigns = self._declarations(context)
        commands: list[nodes.Command] = []
        while (token := self.tokens.next_word()).kind is not end:
            if token.kind not in _OPERANDS:
                self._unexpected(token, context)
            self.tokens.back(token)
            commands.append(self._command())
        if not commands:
            self._fail(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.operands[0], _NO_COMMAND):
                self._fail(f"non executable command in pipeline stage {stage}")
        return nodes.Pipe(at, tuple(variables), assigns, tuple(commands))

    def _declarations(self, context: str) -> tuple[list[nodes.Variable], bool]:
        """`$x :=`, `$x =`, or in a range also `$i, $x :=`. A variable that begins a command is put back."""
        found: list[nodes.Variable] = []
        while (token := self.tokens.peek_word()).kind is Kind.VARIABLE:
            self.tokens.next()
            after = self.tokens.next()
            word = self.tokens.next_word() if after.kind is Kind.SPACE else after
            comma = word.kind is Kind.CHARACTER and word.text == ","
            if word.kind in (Kind.ASSIGN, Kind.DECLARE) or comma:
                found.append(nodes.Variable(token.at, token.text, ()))
                self.variables.append(token.text)
                if len(self.variables) > limits.VARIABLES:
                    self._limit(f"more than {limits.VARIABLES} variables")
            else:
                self.tokens.back(word, after, token) if after.kind is Kind.SPACE else self.tokens.back(after, token)
            if not comma:
                return found, word.kind is Kind.ASSIGN and bool(found)
            if context != "range" or len(found) > 1:
                self._fail(f"too many declarations in {context}")
            if self.tokens.peek_word().kind not in (Kind.VARIABLE, Kind.RIGHT, Kind.CLOSE):
                self._fail("range can only initialize variables")
        return found, False

    def _command(self) -> nodes.Command:
        """operand (space operand)*, with the pipe symbol that ends it."""
        at = self.tokens.peek_word().at
        operands: list[nodes.Node] = []
        while True:
            self.tokens.peek_word()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self.tokens.next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT, Kind.CLOSE):
                self.tokens.back(token)
            elif token.kind is not Kind.PIPE:
                self._unexpected(token, "operand")
            break
        if not operands:
            self._fail("empty command")
        return nodes.Command(at, tuple(operands))

    def _operand(self) -> nodes.Node | None:
        """term .name*"""
        node = self._term()
        if node is None or self.tokens.peek().kind is not Kind.FIELD:
            return node
        at = self.tokens.peek().at
        names: list[str] = []
        while self.tokens.peek().kind is Kind.FIELD:
            names.append(self.tokens.next().text[1:])
        match node:
            case nodes.Field():
                return nodes.Field(at, (*node.names, *names))
            case nodes.Variable():
                return nodes.Variable(at, node.variable, (*node.names, *names))
            case nodes.Bool() | nodes.String() | nodes.Number() | nodes.Nil() | nodes.Dot():
                self._fail(f"unexpected . after term {quote(str(node))}")
        return nodes.Chain(at, node, tuple(names))

    def _term(self) -> nodes.Node | None:
        """A constant, a function, dot, a field, a variable or "(" pipeline ")"; None where there is none of them."""
        token = self.tokens.next_word()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self.functions:
                    self._fail(f"function {quote(token.text)} not defined")
                return nodes.Identifier(token.at, token.text)
            case Kind.DOT:
                return nodes.Dot(token.at)
            case Kind.NIL:
                return nodes.Nil(token.at)
            case Kind.VARIABLE:
                if token.text not in self.variables:
                    self._fail(f"undefined variable {quote(token.text)}")
                return nodes.Variable(token.at, token.text, ())
            case Kind.FIELD:
                return nodes.Field(token.at, (token.text[1:],))
            case Kind.BOOL:
                return nodes.Bool(token.at, token.text == "true")
            case Kind.RUNE:
                return nodes.Number(token.at, token.text, self._value_of(literals.character, token))
            case Kind.NUMBER:
                return nodes.Number(token.at, token.text, self._value_of(literals.number, token))
            case Kind.OPEN:
                return self._nested(lambda: self._pipe("parenthesized pipeline", Kind.CLOSE))
            case Kind.STRING:
                return nodes.String(token.at, token.text, self._value_of(literals.string, token))
        self.tokens.back(token)
        return None

    def _nested(self, read: Callable[[], _Read]) -> _Read:
        self.tokens.level += 1
        if self.tokens.level > limits.NESTING:
            self._limit(f"nested deeper than {limits.NESTING} levels")
        node = read()
        self.tokens.level -= 1
        return node

    def _limit(self, problem: str) -> NoReturn:
        line = self.tokens.line
        raise LimitError(f"template: {self.trees.name}:{line}: {problem}", line)

    def _value_of(self, read: Callable[[str], _Read], token: Token) -> _Read:
        try:
            return read(token.text)
        except ValueError as error:
            self._fail(str(error))

    def _expect(self, kind: Kind, context: str) -> None:
        token = self.tokens.next_word()
        if token.kind is not kind:
            self._unexpected(token, context)

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        if token.kind is not Kind.ERROR:
            self._fail(f"unexpected {token} in {context}")
        started = ""
        if self.tokens.action_line not in (0, token.line):
            started = f" in action started at {self.trees.name}:{self.tokens.action_line}"
            if token.text.endswith(" action"):
                started = started.removeprefix(" in action")
        self._fail(f"{token}{started}")

    def _fail(self, problem: str, line: int | None = None) -> NoReturn:
        line = line or self.tokens.line
        raise ParseError(f"template: {self.trees.name}:{line}: {problem}", line, at=self.tokens.at)
