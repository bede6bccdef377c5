"""Several models behind one address, over scripted engines: who answers, and when each is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.errors import BundleError
from bundler.runtime.engine.interface import Loaded, Progress
from bundler.runtime.service import Service
from bundler.runtime.services import Services
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded, until
from tests.runtime.serving import HELLO, application, call, manifest


class Several:
    """The model `tiny`, and `other`, which is loaded when it is asked for."""

    def __init__(self) -> None:
        self.loads = 0
        self.failure: BundleError | None = None
        self.main = Service(manifest(), Startup.done(loaded(ScriptedEngine("main"))))
        self.other = Service(manifest(name="other", system="Other."), Startup.later(self._load))
        self.app = application(Services(self.main, [self.other]))

    def _load(self, progress: Progress) -> Loaded:
        self.loads += 1
        if self.failure:
            raise self.failure
        return loaded(ScriptedEngine("other"))

    async def chat(self, model: str | None = None, **fields: Any) -> Any:
        named = {"model": model} if model is not None else {}
        response = await call(self.app, "POST", "/v1/chat/completions", json={**HELLO, **named, **fields})
        said = response.json()
        return said["choices"][0]["message"]["content"] if response.status_code == 200 else said

    async def statuses(self) -> dict[str, Any]:
        listed = (await call(self.app, "GET", "/v1/models")).json()["data"]
        return {card["id"]: card["status"] for card in listed}


@pytest.mark.anyio
async def test_each_model_answers_to_its_name_and_the_main_one_to_none() -> None:
    several = Several()
    assert await several.statuses() == {"tiny": {"value": "loaded"}, "other": {"value": "unloaded"}}
    assert [await several.chat(name) for name in (None, "", "default", "tiny")] == ["main"] * 4
    assert several.loads == 0
    assert [await several.chat("other") for _ in range(2)] == ["other"] * 2
    assert several.loads == 1
    assert await several.statuses() == {"tiny": {"value": "loaded"}, "other": {"value": "loaded"}}
    response = await call(several.app, "POST", "/v1/completions", json={"prompt": "x", "model": "other"})
    assert (response.json()["choices"][0]["text"], response.json()["model"]) == ("other", "other")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", HELLO),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/rerank", {"query": "x", "documents": ["y"]}),
        ("/apply-template", HELLO),
    ],
)
async def test_a_model_that_is_not_here_is_answered_with_the_names_of_those_that_are(
    path: str, body: dict[str, Any]
) -> None:
    response = await call(Several().app, "POST", path, json={**body, "model": "none"})
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "the model 'none' is not here; this bundle holds 'tiny', 'other'",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.anyio
async def test_each_model_has_a_card_and_a_prompt_of_its_own() -> None:
    several = Several()
    card = (await call(several.app, "GET", "/v1/models/other")).json()
    assert (card["id"], card["status"]) == ("other", {"value": "unloaded"})
    response = await call(several.app, "POST", "/apply-template", json={**HELLO, "model": "other"})
    assert response.json()["prompt"] == "[system]Other.[user]Hi[assistant]"
    assert several.loads == 0


@pytest.mark.anyio
async def test_each_model_is_kept_for_its_own_time() -> None:
    several = Several()
    await several.chat("other", keep_alive=0)
    until(lambda: several.other.startup.unloaded)
    assert await several.statuses() == {"tiny": {"value": "loaded"}, "other": {"value": "unloaded"}}
    assert await several.chat("other") == "other"
    assert several.loads == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", HELLO),
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/rerank", {"query": "x", "documents": ["y"]}),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_tried_again_by_the_next_request(
    path: str, body: dict[str, Any]
) -> None:
    several = Several()
    several.failure = BundleError("failed to load the model: its weights take 2 GiB, and 1 GiB are free", "wait")
    response = await call(several.app, "POST", path, json={**body, "model": "other"})
    assert response.status_code == 503
    assert "its weights take 2 GiB, and 1 GiB are free" in response.json()["error"]["message"]
    assert (await several.statuses())["other"] == {"value": "unloaded", "failed": True}
    assert (await call(several.app, "GET", "/health")).status_code == 200
    several.failure = None
    assert await several.chat("other") == "other"


@pytest.mark.anyio
async def test_closing_frees_every_model() -> None:
    several = Several()
    await several.chat("other")
    engines = [service.startup.loaded.engine for service in (several.main, several.other) if service.startup.loaded]
    await Services(several.main, [several.other]).close()
    assert [engine.closed for engine in engines if isinstance(engine, ScriptedEngine)] == [True, True]
