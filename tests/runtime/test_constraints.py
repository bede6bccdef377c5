"""Constrained answers of a model with random weights: whatever it would say, it says what is allowed."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bundler.errors import BundleError
from bundler.runtime.engine.interface import Constraint, Constraints, Drawn, Job, Loaded
from bundler.runtime.request import Sampling
from tests import kinds, models
from tests.runtime.test_engine_llama import GREEDY, Pending, answer, generate, loaded, start, text

HOT = Sampling(seed=3, temperature=2.0, top_k=0, top_p=1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, libs: Path) -> Iterator[Loaded]:
    path = models.write_random(tmp_path_factory.mktemp("constrained") / "random.gguf")
    with loaded(path, libs) as running:
        yield running


@pytest.fixture
def constraints(model: Loaded) -> Constraints:
    assert model.constraints is not None
    return model.constraints


def said(
    model: Loaded, constraint: Constraint, sampling: Sampling = GREEDY, prompt: Sequence[int] = (5, 6, 7)
) -> tuple[str, str]:
    pending: Pending = queue.Queue()
    job = Job(
        prompt=prompt,
        sampling=sampling,
        max_tokens=300,
        constraint=constraint,
        on_tokens=lambda new, end: pending.put((new, end)),
    )
    model.engine.submit(job)
    tokens, finish = answer(pending)
    return text(model, tokens), finish.error or finish.reason


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"yes": {"type": "boolean"}},
            "required": ["yes"],
            "additionalProperties": False,
        },
        {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 2, "maxItems": 3},
        {"type": "integer", "minimum": 3, "maximum": 17},
        {"anyOf": [{"const": "a"}, {"type": "null"}]},
        {"type": "string", "pattern": "^[ab]{2,4}$"},
        {
            "$ref": "#/$defs/pair",
            "$defs": {"pair": {"type": "array", "prefixItems": [{"type": "boolean"}], "items": False}},
        },
        {"type": "string", "maxLength": 8},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(seed=3, temperature=2.0, top_k=0, top_p=1.0)], ids=["greedy", "hot"]
)
def test_an_answer_keeps_to_its_schema(
    model: Loaded, constraints: Constraints, schema: dict[str, Any], sampling: Sampling
) -> None:
    answered, reason = said(model, constraints.schema(schema), sampling)
    assert reason == "stop"
    jsonschema.validate(json.loads(answered), schema)


def test_an_answer_is_what_an_expression_matches(model: Loaded, constraints: Constraints) -> None:
    answered, reason = said(model, constraints.expression("(yes|no), [0-9]{3}"))
    assert (bool(re.fullmatch("(yes|no), [0-9]{3}", answered)), reason) == (True, "stop")


def test_an_answer_keeps_to_a_grammar_in_gbnf(model: Loaded, constraints: Constraints) -> None:
    answered, reason = said(model, constraints.gbnf('root ::= "move " [a-h] [1-8] ("!" | "?")'))
    assert (bool(re.fullmatch("move [a-h][1-8][!?]", answered)), reason) == (True, "stop")


def test_a_constraint_that_the_model_keeps_to_by_itself_changes_nothing(libs: Path, tmp_path: Path) -> None:
    with loaded(models.write_chain(tmp_path / "chain.gguf"), libs) as model:
        assert model.constraints is not None
        prompt = model.vocabulary.tokenize("\n", add_special=False, parse_special=False)
        answered, _ = said(model, model.constraints.expression("[a-z]*"), Sampling(seed=1), prompt=prompt)
        assert answered == "abcdefghijklmnopqrstuvwxyz"
        answered, _ = said(model, model.constraints.expression("[a-fs-z]{7}"), Sampling(seed=1), prompt=prompt)
        assert answered.startswith("abcdef")
        assert answered[6] in "abcdefstuvwxyz"


def test_a_token_that_was_not_allowed_is_not_penalised_as_if_it_had_been_said(libs: Path, tmp_path: Path) -> None:
    with loaded(models.write_chain(tmp_path / "chain.gguf"), libs) as model:
        assert model.constraints is not None
        prompt = model.vocabulary.tokenize("\n", add_special=False, parse_special=False)
        constraint = model.constraints.gbnf(r'root ::= "\n" [a-z] [a-z]')
        penalised = Sampling(seed=1, presence_penalty=1000, frequency_penalty=1000)
        assert said(model, constraint, penalised, prompt=prompt)[0] == "\nab"


def test_a_constraint_that_becomes_too_complex_ends_its_answer_alone(libs: Path, tmp_path: Path) -> None:
    """Each vowel may be the one that 300 letters follow: llguidance gives up after some."""
    path = kinds.KINDS["lfm2"].write(tmp_path / "model.gguf")
    with loaded(path, libs) as model:
        assert model.constraints is not None
        prompt = list(range(1000, 1200))
        before, _ = generate(model, prompt)
        beside = start(model, prompt)
        constraint = model.constraints.expression("[a-z ]*[aeiou][a-z ]{300}[.]")
        answered, reason = said(model, constraint, prompt=prompt)
        assert reason == (
            "failed to follow the form of the answer further: lexer error: too many expressions constructed"
        )
        assert re.fullmatch("[a-z ]+", answered)
        assert answer(beside)[0] == before
        assert generate(model, prompt)[0] == before


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"type": "object", "properties": {"a/b": {"type": "array", "uniqueItems": True}}},
            'failed to follow the JSON schema: at /properties/a~1b/uniqueItems: Unimplemented keys: ["uniqueItems"]',
        ),
        (
            {"anyOf": [{"type": "null"}, {"type": "string", "format": "weird"}]},
            "failed to follow the JSON schema: at /anyOf/1: Unknown format: weird",
        ),
        ({"type": "objec"}, "failed to follow the JSON schema: at its root: Invalid type: objec"),
        ([], "failed to read the JSON schema: it is no object"),
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_followed_is_refused_with_the_place(
    constraints: Constraints, schema: Any, message: str
) -> None:
    with pytest.raises(BundleError) as error:
        constraints.schema(schema)
    assert error.value.message == message


def test_a_grammar_that_is_none_is_refused(constraints: Constraints) -> None:
    with pytest.raises(BundleError, match="failed to read the grammar: it is no GBNF"):
        constraints.gbnf('root = "a"')
    with pytest.raises(BundleError, match=r"failed to follow the regular expression: .*unclosed"):
        constraints.expression("(a")


def test_probabilities_are_told_for_each_token(model: Loaded) -> None:
    pending: Pending = queue.Queue()
    drawn: list[Drawn] = []
    job = Job(
        prompt=[5, 6, 7],
        sampling=GREEDY,
        max_tokens=5,
        likeliest=3,
        on_tokens=lambda new, end: pending.put((new, end)),
        on_drawn=drawn.append,
    )
    model.engine.submit(job)
    tokens, _ = answer(pending)
    assert [each.token for each in drawn][: len(tokens)] == tokens
    for each in drawn:
        assert each.likeliest[0].token == each.token
        assert each.likeliest[0].probability == each.probability
        assert len(each.likeliest) == 3
        assert 1 >= each.probability >= each.likeliest[1].probability >= each.likeliest[2].probability > 0
