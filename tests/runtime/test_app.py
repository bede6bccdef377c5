"""Health, page and unexpected failures."""

from __future__ import annotations

import asyncio
import re

import pytest

from bundler import data
from bundler.errors import BundleError
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded
from tests.runtime.serving import HELLO, MANIFEST, application, application_of, call


def test_health_tells_progress_until_the_model_is_loaded() -> None:
    startup = Startup()
    app = application(Service(MANIFEST, startup))
    startup.fraction, startup.stage = 0.25, "loading the weights"
    response = asyncio.run(call(app, "GET", "/health"))
    assert response.status_code == 503
    assert response.json() == {"status": "loading model", "progress": 0.25, "stage": "loading the weights"}
    card = asyncio.run(call(app, "GET", "/v1/models")).json()["data"][0]
    assert card["status"] == {"value": "loading", "progress": 0.25, "stage": "loading the weights"}
    startup.outcome.set_result(loaded(ScriptedEngine()))
    response = asyncio.run(call(app, "GET", "/health"))
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_health_when_the_model_cannot_be_loaded() -> None:
    startup = Startup()
    startup.outcome.set_exception(BundleError("failed to load the model: it is damaged"))
    response = asyncio.run(call(application(Service(MANIFEST, startup)), "GET", "/health"))
    assert response.status_code == 503
    assert response.json() == {"status": "error", "message": "failed to load the model: it is damaged"}


def test_the_page_and_what_it_refers_to() -> None:
    app = application_of(ScriptedEngine())
    page = asyncio.run(call(app, "GET", "/"))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    places = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
    script = asyncio.run(call(app, "GET", "/chat.js")).text
    places += [f"/{name}" for name in re.findall(r'from "\./([^"]+)"', script)]
    assert len(places) >= 5
    for place in places:
        assert asyncio.run(call(app, "GET", place)).status_code == 200, place


def test_the_page_keeps_to_its_own_policy_and_asks_no_other_host() -> None:
    for path in data.path("templates/chat").iterdir():
        text = path.read_text()
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", text)
        if path.suffix == ".js":
            assert "innerHTML" not in text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path


def test_an_unchanged_page_is_not_sent_again() -> None:
    app = application_of(ScriptedEngine())
    etag = asyncio.run(call(app, "GET", "/")).headers["etag"]
    response = asyncio.run(call(app, "GET", "/", headers={"If-None-Match": etag}))
    assert (response.status_code, response.content) == (304, b"")
    assert asyncio.run(call(app, "GET", "/", headers={"If-None-Match": '"other"'})).status_code == 200


def test_head_is_get_without_a_body() -> None:
    response = asyncio.run(call(application_of(ScriptedEngine()), "HEAD", "/"))
    assert (response.status_code, response.content) == (200, b"")


def test_a_fault_of_ours_is_one_line_on_stderr_and_a_500(capsys: pytest.CaptureFixture[str]) -> None:
    engine = ScriptedEngine(refuse=ZeroDivisionError("oh"))
    response = asyncio.run(call(application_of(engine), "POST", "/v1/chat/completions", json=HELLO))
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the server failed to answer; its terminal says more"
    assert capsys.readouterr().err == "error: failed to answer POST /v1/chat/completions: ZeroDivisionError: oh\n"
