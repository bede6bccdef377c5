"""What an answer may be: JSON, JSON of a schema, a GBNF grammar, a regular expression.

JSON schemas and expressions are followed by llguidance, GBNF by llama.cpp's own sampler. A token is drawn first and
then checked; only where it is not allowed is the whole vocabulary looked at, so that following costs next to nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from bundler.errors import BundleError
from bundler.runtime.engine.interface import Constraint
from bundler.runtime.llama.grammar import Beginnings, GrammarMatcher
from bundler.runtime.llama.model import Model

MAX_SOURCE = 1 << 20
"""Characters of a schema or a grammar."""
_WHITESPACE = r"([ ]|\n[ \t]{0,20})?"
"""Between the tokens of JSON: as much as models write, and not so much that one writes nothing else."""
_SUBSCHEMA = ("additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames")
_SUBSCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED_SUBSCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class LlamaConstraints:
    """Compiles constraints for one model's vocabulary. Its methods may be called from any thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._begun: Beginnings | None = None

    def schema(self, schema: Any) -> Constraint:
        """JSON that a JSON schema allows; `{}` allows any.

        Raises:
            BundleError: it is no schema, or uses a keyword that cannot be followed: names its JSON pointer.
        """
        text = json.dumps(schema)
        _require_length(len(text), "JSON schema")
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise BundleError("failed to read the JSON schema: it is no object", 'such as: {"type": "object"}')
        error = self._schema_error(schema)
        if error:
            pointer = _blame(schema, error, self._schema_error)
            raise BundleError(
                f"failed to follow the JSON schema: at {pointer or 'its root'}: {error}",
                "leave that keyword out, or say the same with others",
            )
        return self._guided(_grammar(schema))

    def expression(self, pattern: str) -> Constraint:
        """A text that a regular expression matches as a whole.

        Raises:
            BundleError: it is none that can be followed.
        """
        from llguidance import LLMatcher

        _require_length(len(pattern), "regular expression")
        grammar = LLMatcher.grammar_from_regex(pattern)
        error = self._error(grammar)
        if error:
            raise BundleError(f"failed to follow the regular expression: {error}")
        return self._guided(grammar)

    def gbnf(self, text: str) -> Constraint:
        """A text that a grammar in llama.cpp's notation allows, from its rule `root`.

        Raises:
            BundleError: it is no such grammar.
        """
        _require_length(len(text), "grammar")
        start = partial(GrammarMatcher, self._model, text, self._beginnings())
        start().close()
        return start

    def _guided(self, grammar: str) -> Constraint:
        return partial(_GuidedMatcher, self._tokens(), grammar, self._model)

    def _schema_error(self, schema: Mapping[str, Any]) -> str:
        return self._error(_grammar(schema))

    def _error(self, grammar: str) -> str:
        from llguidance import LLMatcher

        failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, self._tokens())
        return " ".join(messages[0].split())[:300] if failed else ""

    def _beginnings(self) -> Beginnings:
        """Of the vocabulary; found once, which takes some tenths of a second."""
        with self._lock:
            if self._begun is None:
                self._begun = Beginnings(self._model.vocabulary)
            return self._begun

    def _tokens(self) -> Any:
        """The vocabulary as llguidance takes it; made once, which takes some tenths of a second."""
        from llguidance import LLTokenizer, TokenizerWrapper

        with self._lock:
            if self._tokenizer is None:
                vocabulary = self._model.vocabulary
                ends = [token for token in range(vocabulary.size) if vocabulary.is_end(token)]
                self._tokenizer = LLTokenizer(TokenizerWrapper(_Tokens(self._model, ends)), eos_token=ends)
            return self._tokenizer


class _Tokens:
    """What llguidance asks of a tokenizer."""

    def __init__(self, model: Model, ends: list[int]) -> None:
        self._vocabulary = vocabulary = model.vocabulary
        self.bos_token_id = vocabulary.bos if vocabulary.bos >= 0 else None
        self.eos_token_id = vocabulary.eos if vocabulary.eos >= 0 else ends[0]
        plain = [vocabulary.piece(token) for token in range(vocabulary.size)]
        self.special_token_ids = [token for token, piece in enumerate(plain) if not piece]
        self.tokens = plain
        for token in self.special_token_ids:
            self.tokens[token] = b"\xff" + vocabulary.piece(token, special=True)

    def __call__(self, text: bytes | str) -> list[int]:
        said = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return self._vocabulary.tokenize(said, add_special=False, parse_special=False)


class _GuidedMatcher:
    """llguidance's."""

    def __init__(self, tokenizer: Any, grammar: str, model: Model) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(tokenizer, grammar, log_level=0)
        self._is_end = model.vocabulary.is_end

    def allows(self, token: int) -> bool:
        if self._is_end(token):
            return bool(self._matcher.is_accepting())
        return bool(self._matcher.validate_tokens([token]) == 1)

    def allowed(self) -> bytes:
        allowed: bytes = self._matcher.compute_logit_bias()
        if self._matcher.is_error():
            cause = self._matcher.get_error().partition("\n")[0]
            raise BundleError(
                f"failed to follow the form of the answer further: {cause[:200]}", "ask for a simpler one"
            )
        return allowed

    def accept(self, token: int) -> None:
        if not self._is_end(token):
            self._matcher.consume_token(token)

    def close(self) -> None:
        pass


def _grammar(schema: Mapping[str, Any]) -> str:
    from llguidance import LLMatcher

    grammar: str = LLMatcher.grammar_from_json_schema(dict(schema), overrides={"whitespace_pattern": _WHITESPACE})
    return grammar


def _blame(schema: Mapping[str, Any], error: str, check: Any) -> str:
    """The JSON pointer of the innermost part of a schema that has the error by itself."""
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}

    def search(part: Mapping[str, Any], pointer: str) -> str:
        for step, child in _children(part):
            if check({**definitions, **child}) == error and child != part:
                return search(child, f"{pointer}/{step}")
        named = [key for key in part if f'"{key}"' in error]
        return f"{pointer}/{_escaped(named[0])}" if named else pointer

    return search(schema, "")


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in schema.items():
        if key in _SUBSCHEMA and isinstance(value, Mapping):
            yield key, value
        elif key in _SUBSCHEMAS and isinstance(value, list):
            yield from ((f"{key}/{index}", each) for index, each in enumerate(value) if isinstance(each, Mapping))
        elif key in _NAMED_SUBSCHEMAS and isinstance(value, Mapping):
            named = ((f"{key}/{_escaped(name)}", each) for name, each in value.items())
            yield from ((step, each) for step, each in named if isinstance(each, Mapping))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _require_length(length: int, what: str) -> None:
    if length > MAX_SOURCE:
        raise BundleError(f"failed to read the {what}: it is longer than {MAX_SOURCE} characters")
