"""Tokens one by one, with looking ahead as far as the parser needs.

Knows spaces from other tokens, nothing of grammar.
"""

from __future__ import annotations

from bundler.prompt.gotemplate.lex import Kind, Token, tokens


class Lookahead:
    """The tokens with what has been put back; `line` and `at` are those of the last one cut from the text.

    Go's errors name that line. The parser notes where the action being read began in `action_line`, 0 outside of
    actions, and in `level` how deep it is nested.
    """

    def __init__(self, text: str) -> None:
        self._source = tokens(text)
        self._back: list[Token] = []
        self.line = 1
        self.at = 0
        self.action_line = 0
        self.level = 0

    def next(self) -> Token:
        if self._back:
            return self._back.pop()
        token = next(self._source)
        self.line, self.at = token.line, token.at
        return token

    def back(self, *tokens: Token) -> None:
        """Put tokens back, the first of them to come last."""
        self._back.extend(tokens)

    def peek(self) -> Token:
        token = self.next()
        self.back(token)
        return token

    def next_word(self) -> Token:
        """The next one that is no space."""
        token = self.next()
        return self.next_word() if token.kind is Kind.SPACE else token

    def peek_word(self) -> Token:
        token = self.next_word()
        self.back(token)
        return token
