"""Which tokens of real vocabularies a grammar allows: asked about together, the same as one by one."""

from __future__ import annotations

import ctypes
import random
from functools import cache
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.runtime.llama import chain
from bundler.runtime.llama.candidates import Candidates
from bundler.runtime.llama.grammar import Beginnings, GrammarMatcher
from bundler.runtime.request import Sampling
from tests.runtime.vocabularies import tokenizer

QUOTED = r'root ::= " "? "\"" ([^"\\\x7F\x00-\x1F] | "\\" ["\\bfnrt/])* "\"" " "*'


@cache
def beginnings(name: str, libs: Path) -> Beginnings:
    return Beginnings(tokenizer(name, libs).model.vocabulary)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm"])
@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ("root ::= [0-9]{3} | [a-z]+", ""),
        ("root ::= [0-9]{3} | [a-z]+", "123"),
        (QUOTED, ""),
        (QUOTED, '"Zürich'),
        (QUOTED, b'"Z\xc3'),
        (QUOTED, '"Zürich"'),
        ("root ::= [^é]{3}", ""),
        ("root ::= [^é]{3}", b"\xc3"),
        ("root ::= [^\\x00-\\x7Fé]{3}", ""),
        (r"root ::= [^\x00-\x7F\u00e9]{3}", ""),
        ("root ::= [α-ω]+ | [ \t]+ [一-龥]", " "),
        ("root ::= <[300]> | [0-9]+", ""),
        (r'root ::= [0-9\]<"]+ | <[300]> # "', ""),
        ('root ::= "<" [a-c]+ # "', ""),
    ],
)
def test_a_grammar_allows_the_same_tokens_together_as_one_by_one(
    name: str, grammar: str, said: str | bytes, libs: Path
) -> None:
    model = tokenizer(name, libs).model
    matcher = GrammarMatcher(model, grammar, beginnings(name, libs))
    pieces = [model.vocabulary.piece(token, special=True) for token in range(model.vocabulary.size)]
    for byte in said if isinstance(said, bytes) else said.encode():
        matcher.accept(pieces.index(bytes([byte])))
    together = [token for token, allowed in enumerate(matcher.allowed()) if allowed]
    assert together == [token for token in range(model.vocabulary.size) if matcher.allows(token)]
    assert together
    matcher.close()


@pytest.mark.parametrize("share", [0.001, 0.7])
def test_the_likeliest_allowed_token_is_drawn(share: float, libs: Path) -> None:
    model = tokenizer("gpt-2", libs).model
    rng = random.Random(1)
    logits = [rng.gauss(0, 1) for _ in range(model.vocabulary.size)]
    allowed = bytes(rng.random() < share for _ in logits)
    row = (ctypes.c_float * len(logits))(*logits)
    candidates, (greedy, *_) = Candidates(model), chain.build(model, Sampling(temperature=0), [], 8)
    candidates.fill(ctypes.addressof(row), allowed)
    assert candidates.draw(greedy) == max(range(len(logits)), key=lambda token: (allowed[token], logits[token]))
    model.library.binding.llama_sampler_free(greedy)
    candidates.close()


def test_a_form_that_no_token_goes_on_with_is_an_error(libs: Path) -> None:
    model = tokenizer("gpt-2", libs).model
    row = (ctypes.c_float * model.vocabulary.size)()
    candidates = Candidates(model)
    with pytest.raises(BundleError) as error:
        candidates.fill(ctypes.addressof(row), bytes(model.vocabulary.size))
    assert error.value.message == "failed to follow the form of the answer further: no token is allowed"
    candidates.close()
