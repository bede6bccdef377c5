"""A bundle with several models at work through llama.cpp: a chat model, another one, and one that makes embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bundler.build.adding import Addition
from tests import models, sources
from tests.build.conftest import NOT_TRIED, Site
from tests.runtime.bundles import ALPHABET, run
from tests.runtime.test_running import serving

DIGITS = "0123456789"
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Go"}]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    vocabulary = models.real_vocabulary(sources.models() / "ggml-vocab-bert-bge.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUNDLE_CACHE", str(folder / "cache"))
        site = Site(folder)
        models.write_chain(folder / "alphabet.gguf", ALPHABET)
        models.write_chain(folder / "digits.gguf", DIGITS)
        models.write_encoder(folder / "encoder.gguf", vocabulary)
        (folder / "Digits").write_text("FROM ./digits.gguf\nPARAMETER temperature 0\nPARAMETER stop 5\n")
        (folder / "Encoder").write_text("FROM ./encoder.gguf\n")
        additions = [Addition("digits", folder / "Digits"), Addition("embed", folder / "Encoder")]
        text = "FROM ./alphabet.gguf\nPARAMETER temperature 0\n"
        _, told = site.told(text, "a", name="alphabet", additions=additions)
    assert [line for line in told if NOT_TRIED not in line] == []
    return folder / "a"


def answer(client: httpx.Client, **fields: Any) -> str:
    response = client.post("/v1/chat/completions", json={**CHAT, **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def statuses(client: httpx.Client) -> dict[str, str]:
    return {card["id"]: card["status"]["value"] for card in client.get("/v1/models").json()["data"]}


def test_all_models_answer_by_name_and_are_unloaded(bundle: Path, libs: Path) -> None:
    with (
        serving(bundle, "--port", "0", BUNDLE_LIBS=str(libs)) as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert statuses(client) == {"alphabet": "loaded", "digits": "unloaded", "embed": "unloaded"}
        assert answer(client) == ALPHABET
        assert answer(client, model="digits") == "01234"
        assert answer(client, model="alphabet") == ALPHABET
        response = client.post("/v1/embeddings", json={"model": "embed", "input": ["A dog", "A cat"]})
        assert [len(each["embedding"]) for each in response.json()["data"]] == [64, 64]
        assert set(statuses(client).values()) == {"loaded"}
        assert client.post("/v1/chat/completions", json={**CHAT, "model": "embed"}).status_code == 400
        assert answer(client, model="digits", keep_alive=0) == "01234"
        assert statuses(client)["digits"] == "unloaded"
        assert answer(client, model="digits") == "01234"


def test_the_command_line_chooses_by_name(bundle: Path, libs: Path) -> None:
    result = run(bundle, "run", "--model", "digits", "Go", BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stdout) == (0, "01234\n")
    result = run(bundle, "embed", "--model", "embed", "A dog", BUNDLE_LIBS=str(libs))
    assert len(json.loads(result.stdout)) == 64
    result = run(bundle, "run", "--model", "none", "Go", BUNDLE_LIBS=str(libs))
    assert (result.returncode, result.stderr) == (
        1,
        "error: failed to find the model 'none': it is not in this bundle\nhint: it holds alphabet, digits, embed\n",
    )


def test_info_and_verify_know_all_of_them(bundle: Path, libs: Path) -> None:
    text = run(bundle, "info", BUNDLE_LIBS=str(libs)).stdout
    assert "\n  added      digits: llama, " in text
    assert "\n  added      embed: bert, " in text
    facts = json.loads(run(bundle, "info", "--json", BUNDLE_LIBS=str(libs)).stdout)
    assert [(added["name"], added["model"]["role"]) for added in facts["added"]] == [
        ("digits", "chat"),
        ("embed", "embedding"),
    ]
    facts = json.loads(run(bundle, "info", "--json", "--model", "digits", BUNDLE_LIBS=str(libs)).stdout)
    assert (facts["name"], facts["parameters"]["stop"], facts["added"]) == ("digits", ["5"], [])
    assert run(bundle, "verify").returncode == 0
