"""A template's text, cut into tokens as Go's text/template/parse does, trim markers applied and comments left out.

Knows the spelling of tokens only. What is wrong with it is a token too, the last one; the parser words the error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from bundler.prompt.gotemplate.quote import is_print, quote

LEFT, RIGHT = "{{", "}}"


class Kind(Enum):
    """What a token is."""

    ERROR = "error"
    EOF = "EOF"
    TEXT = "text"
    LEFT = "left delimiter"
    RIGHT = "right delimiter"
    SPACE = "space"
    ASSIGN = "="
    DECLARE = ":="
    PIPE = "|"
    OPEN = "("
    CLOSE = ")"
    CHARACTER = "other ASCII character"
    BOOL = "true or false"
    NUMBER = "number"
    RUNE = "character constant"
    STRING = "quoted or raw string"
    FIELD = ".name"
    VARIABLE = "$name"
    IDENTIFIER = "name"
    DOT = "."
    NIL = "nil"
    BLOCK = "block"
    BREAK = "break"
    CONTINUE = "continue"
    DEFINE = "define"
    ELSE = "else"
    END = "end"
    IF = "if"
    RANGE = "range"
    TEMPLATE = "template"
    WITH = "with"


class Token(NamedTuple):
    """A piece of the template, or what is wrong at its place."""

    kind: Kind
    text: str
    at: int
    """Characters before it."""
    line: int
    """Of its first character, from 1."""

    def __str__(self) -> str:
        """As Go's errors show it."""
        if self.kind in (Kind.EOF, Kind.ERROR):
            return self.text
        if self.kind in _KEYWORDS.values():
            return f"<{self.text}>"
        if len(self.text.encode("utf-8", "surrogatepass")) > 10:
            return quote(self.text[:10]) + "..."
        return quote(self.text)


_KEYWORDS: Final = {
    kind.value: kind
    for kind in (
        Kind.DOT, Kind.NIL, Kind.BLOCK, Kind.BREAK, Kind.CONTINUE, Kind.DEFINE, Kind.ELSE, Kind.END, Kind.IF,
        Kind.RANGE, Kind.TEMPLATE, Kind.WITH,
    )
}  # fmt: skip
_SPACE: Final = " \t\r\n"
_ENDS_WORD: Final = frozenset(" \t\r\n.,|:)(")
_SINGLE: Final = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE}
_SPACES: Final = re.compile(r"[ \t\r\n]+")
_TRIMMING_RIGHT: Final = re.compile(r"[ \t\r\n]-\}\}")
_QUOTED: Final = {
    '"': re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'),
    "'": re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"),
    "`": re.compile("`[^`]*`"),
}
_UNQUOTED: Final = {
    '"': "unterminated quoted string", "'": "unterminated character constant", "`": "unterminated raw quoted string",
}  # fmt: skip
_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?"
    r"|0[bB][01_]*(?:\.[01_]*)?|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)


class _LexError(Exception):
    pass


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.parentheses = 0

    def tokens(self) -> Iterator[Token]:
        try:
            while self.at < len(self.text):
                yield from self._until_action()
                if self.at < len(self.text):
                    yield from self._action()
            yield Token(Kind.EOF, "EOF", self.at, self.line)
        except _LexError as error:
            yield Token(Kind.ERROR, str(error), self.at, self.line)

    def _take(self, kind: Kind, end: int) -> Token:
        token = Token(kind, self.text[self.at : end], self.at, self.line)
        self._skip(end)
        return token

    def _skip(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def _until_action(self) -> Iterator[Token]:
        """The text up to a left delimiter, without what its marker trims."""
        start = self.text.find(LEFT, self.at)
        end = stop = len(self.text) if start < 0 else start
        if start >= 0 and self._trims(start + len(LEFT)):
            end = self.at + len(self.text[self.at : stop].rstrip(_SPACE))
        if end > self.at:
            yield self._take(Kind.TEXT, end)
        self._skip(stop)

    def _trims(self, at: int) -> bool:
        return self.text.startswith("-", at) and self.text[at + 1 : at + 2] in tuple(_SPACE)

    def _action(self) -> Iterator[Token]:
        """A comment, of which nothing is left, or the tokens from one delimiter to the other."""
        inside = self.at + len(LEFT)
        start = inside + 2 if self._trims(inside) else inside
        if self.text.startswith("/*", start):
            self._comment(start)
            return
        yield self._take(Kind.LEFT, inside)
        self._skip(start)
        self.parentheses = 0
        while not (ends := self._right_delimiter(self.at)):
            yield self._inside()
        if self.parentheses:
            raise _LexError("unclosed left paren")
        yield self._close(ends)

    def _right_delimiter(self, at: int) -> int:
        """The length of the delimiter that begins here, with its marker; 0 where none does."""
        if _TRIMMING_RIGHT.match(self.text, at):
            return len(RIGHT) + 2
        return len(RIGHT) if self.text.startswith(RIGHT, at) else 0

    def _close(self, length: int) -> Token:
        end = self.at + length
        self._skip(end - len(RIGHT))
        token = self._take(Kind.RIGHT, end)
        if length > len(RIGHT):
            self._trim()
        return token

    def _trim(self) -> None:
        if found := _SPACES.match(self.text, self.at):
            self._skip(found.end())

    def _comment(self, start: int) -> None:
        self._skip(start)
        end = self.text.find("*/", start + 2)
        if end < 0:
            raise _LexError("unclosed comment")
        length = self._right_delimiter(end + 2)
        if not length:
            raise _LexError("comment ends before closing delimiter")
        self._skip(end + 2 + length)
        if length > len(RIGHT):
            self._trim()

    def _inside(self) -> Token:
        if self.at == len(self.text):
            raise _LexError("unclosed action")
        first = self.text[self.at]
        following = self.text[self.at + 1 : self.at + 2]
        if first in _SPACE:
            return self._space()
        if first in _SINGLE:
            return self._single(first)
        if first == ":":
            if following != "=":
                raise _LexError("expected :=")
            return self._take(Kind.DECLARE, self.at + 2)
        if first in _QUOTED:
            return self._quoted(first)
        if first == "$" or (first == "." and following and not "0" <= following <= "9"):
            return self._field_or_variable(first)
        if first in "+-." or "0" <= first <= "9":
            return self._number()
        if _is_alphanumeric(first):
            return self._word()
        if "!" <= first <= "~":
            return self._take(Kind.CHARACTER, self.at + 1)
        raise _LexError(f"unrecognized character in action: {_unicode_name(first)}")

    def _space(self) -> Token:
        found = _SPACES.match(self.text, self.at)
        end = found.end() if found else self.at
        if _TRIMMING_RIGHT.match(self.text, end - 1):
            end -= 1
        return self._take(Kind.SPACE, end)

    def _single(self, character: str) -> Token:
        self.parentheses += {"(": 1, ")": -1}.get(character, 0)
        if self.parentheses < 0:
            raise _LexError("unexpected right paren")
        return self._take(_SINGLE[character], self.at + 1)

    def _quoted(self, mark: str) -> Token:
        found = _QUOTED[mark].match(self.text, self.at)
        if not found:
            raise _LexError(_UNQUOTED[mark])
        return self._take(Kind.RUNE if mark == "'" else Kind.STRING, found.end())

    def _number(self) -> Token:
        end = self._number_end(self.at)
        if self.text[end : end + 1] in ("+", "-"):
            end = self._number_end(end)
            if self.text[end - 1] != "i":
                raise _LexError(f"bad number syntax: {quote(self.text[self.at : end])}")
        return self._take(Kind.NUMBER, end)

    def _number_end(self, at: int) -> int:
        found = _NUMBER.match(self.text, at)
        end = found.end() if found else at
        if _is_alphanumeric(self.text[end : end + 1]):
            raise _LexError(f"bad number syntax: {quote(self.text[self.at : end + 1])}")
        return end

    def _word(self) -> Token:
        end = self._word_end(self.at)
        word = self.text[self.at : end]
        if word in ("true", "false"):
            return self._take(Kind.BOOL, end)
        return self._take(_KEYWORDS.get(word, Kind.IDENTIFIER), end)

    def _field_or_variable(self, first: str) -> Token:
        if first == "." and self._is_word_over(self.at + 1):
            return self._take(Kind.DOT, self.at + 1)
        return self._take(Kind.FIELD if first == "." else Kind.VARIABLE, self._word_end(self.at + 1))

    def _word_end(self, at: int) -> int:
        end = at
        while _is_alphanumeric(self.text[end : end + 1]):
            end += 1
        if not self._is_word_over(end):
            raise _LexError(f"bad character {_unicode_name(self.text[end])}")
        return end

    def _is_word_over(self, at: int) -> bool:
        return at >= len(self.text) or self.text[at] in _ENDS_WORD or self.text.startswith(RIGHT, at)


def tokens(text: str) -> Iterator[Token]:
    """The tokens in order; the last one is EOF or ERROR."""
    return _Lexer(text).tokens()


def _is_alphanumeric(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()


def _unicode_name(character: str) -> str:
    """As Go's `%#U` shows a character."""
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"U+{code:04X} '{chr(code)}'" if is_print(chr(code)) else f"U+{code:04X}"
