"""Text as it comes out of llama.cpp token by token: what clients are sent of it, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests import models
from tests.runtime.serving import application, call, manifest
from tests.runtime.test_engine_llama import loaded

SAYS = "abcä🦙deł→z"
"""Each of its 17 bytes is a token."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, libs: Path) -> Iterator[ASGIApp]:
    path = models.write_chain(tmp_path_factory.mktemp("chain") / "chain.gguf", SAYS)
    with loaded(path, libs) as model:
        yield application(Service(manifest(template=None), Startup.done(model)))


async def streamed(app: ASGIApp, **fields: Any) -> tuple[str, str]:
    """The text, put together from its pieces, and why it ended."""
    body = {"prompt": "\n", "stream": True, "seed": 1, **fields}
    response = await call(app, "POST", "/v1/completions", json=body)
    assert response.status_code == 200, response.text
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["text"] for choice in choices), choices[-1]["finish_reason"]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_grammar_that_nothing_goes_on_with_is_the_fault_of_the_request(app: ASGIApp, stream: bool) -> None:
    body = {"prompt": "\n", "stream": stream, "grammar": r'root ::= "abc" [b-a]'}
    response = await call(app, "POST", "/v1/completions", json=body)
    if stream:
        *lines, last = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
        assert "".join(choice["text"] for line in lines for choice in line["choices"]) == "abc"
    else:
        last = response.json()
    assert response.status_code == (200 if stream else 400)
    assert last["error"] == {
        "message": (
            "failed to follow the form of the answer further: no token is allowed, after 3 tokens of it; "
            "ask for another, simpler form"
        ),
        "type": "invalid_request_error",
        "param": None,
        "code": "form_not_followed",
    }


@pytest.mark.anyio
async def test_a_character_of_several_tokens_comes_whole(app: ASGIApp) -> None:
    assert await streamed(app) == (SAYS, "stop")


@pytest.mark.anyio
async def test_a_character_that_the_limit_cuts_off_does_not_come(app: ASGIApp) -> None:
    assert await streamed(app, max_tokens=7) == ("abcä", "length")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("bc", "a"),
        ("ä🦙d", "abc"),
        ("🦙", "abcä"),
        (["ł→x", "dz"], SAYS),
        (["e", "deł"], "abcä🦙d"),
    ],
    ids=str,
)
async def test_a_stop_string_ends_the_text_wherever_tokens_cut_it(
    app: ASGIApp, stop: str | list[str], text: str
) -> None:
    assert await streamed(app, stop=stop) == (text, "stop")
