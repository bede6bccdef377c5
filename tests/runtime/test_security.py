"""Web pages of other sites must not reach the model."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import ASGIApp

from bundler.runtime.security import host_allowed, is_loopback, origin_allowed
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded
from tests.runtime.serving import BUNDLE_ID, HELLO, MANIFEST, application, application_of, call

HOSTS = [
    ("127.0.0.1:11434", True),
    ("127.0.0.1", True),
    ("127.1.2.3:80", True),
    ("localhost:8080", True),
    ("LOCALHOST", True),
    ("localhost.:80", True),
    ("[::1]:11434", True),
    ("chat.localhost", True),
    ("host.docker.internal:11434", True),
    ("printer.local", True),
    ("192.168.1.5:11434", True),
    ("mymachine:11434", True),
    ("evil.com", False),
    ("evil.com:11434", False),
    ("localhost.evil.com", False),
    ("127.0.0.1.evil.com", False),
    ("evillocalhost", False),
    ("93.184.216.34", False),
    ("[2606:2800:220:1::1]", False),
    ("[broken", False),
    ("", False),
    ("user@127.0.0.1@evil.com", False),
]


@pytest.mark.parametrize(("header", "allowed"), HOSTS)
def test_hosts(header: str, allowed: bool) -> None:
    assert host_allowed(header, "MyMachine") is allowed


ORIGINS = [
    ("http://127.0.0.1:11434", True),
    ("http://localhost:3000", True),
    ("https://localhost", True),
    ("http://[::1]:5173", True),
    ("http://app.localhost:5173", True),
    ("http://box.example:11434", True),
    ("http://box.example:80", False),
    ("http://evil.com", False),
    ("https://localhost.evil.com", False),
    ("null", False),
    ("file://", False),
    ("", False),
    ("http://[", False),
    ("ftp://localhost", False),
]


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
def test_origins(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, "box.example:11434") is allowed


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/chat/completions"])
def test_another_host_is_refused_everywhere(path: str) -> None:
    app = application_of(ScriptedEngine())
    response = asyncio.run(call(app, "GET", path, headers={"Host": "evil.com"}))
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "host_refused"
    assert "access-control-allow-origin" not in response.headers


def test_a_form_of_another_site_cannot_ask() -> None:
    engine = ScriptedEngine()
    headers = {"Origin": "https://evil.com", "Content-Type": "text/plain"}
    response = asyncio.run(call(application_of(engine), "POST", "/v1/chat/completions", headers=headers, json=HELLO))
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "origin_refused"
    assert engine.jobs == []


def test_a_preflight_of_another_site_is_refused() -> None:
    headers = {"Origin": "https://evil.com", "Access-Control-Request-Method": "POST"}
    response = asyncio.run(call(application_of(ScriptedEngine()), "OPTIONS", "/v1/chat/completions", headers=headers))
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_a_page_of_this_machine_may_ask() -> None:
    app = application_of(ScriptedEngine())
    origin = "http://localhost:3000"
    preflight = asyncio.run(
        call(
            app,
            "OPTIONS",
            "/v1/chat/completions",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == origin
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    response = asyncio.run(call(app, "POST", "/v1/chat/completions", headers={"Origin": origin}, json=HELLO))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["vary"] == "Origin"


def test_beyond_loopback_any_host_name_is_fine_and_foreign_origins_are_not() -> None:
    app = application(Service(MANIFEST, Startup.done(loaded(ScriptedEngine()))), loopback_only=False)
    assert asyncio.run(call(app, "GET", "/health", headers={"Host": "box.example"})).status_code == 200
    own = {"Host": "box.example", "Origin": "http://box.example"}
    assert asyncio.run(call(app, "GET", "/health", headers=own)).status_code == 200
    foreign = {"Host": "box.example", "Origin": "http://evil.com"}
    assert asyncio.run(call(app, "GET", "/health", headers=foreign)).status_code == 403


def test_every_response_is_marked_and_confined() -> None:
    app = application_of(ScriptedEngine())
    for path in ("/", "/health", "/nothing"):
        headers = asyncio.run(call(app, "GET", path)).headers
        assert headers["bundle-id"] == BUNDLE_ID
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


KEY = "s3cret/+#%"


def keyed() -> ASGIApp:
    return application(Service(MANIFEST, Startup.done(loaded(ScriptedEngine()))), api_key=KEY)


WRONG_KEYS = [
    {},
    {"Authorization": "Bearer other"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": "Bearer"},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": KEY},
    {"Authorization": "Bearer \u00fc".encode("latin-1")},
    {"x-api-key": "other"},
    {"x-api-key": ""},
]


@pytest.mark.parametrize("headers", WRONG_KEYS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("GET", "/v1/nothing")],
)
def test_without_the_key_the_api_is_closed(method: str, path: str, headers: dict[str, str]) -> None:
    response = asyncio.run(call(keyed(), method, path, headers=headers))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert KEY not in response.text


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}, {"X-Api-Key": KEY}]
)
def test_with_the_key_the_api_answers(headers: dict[str, str]) -> None:
    response = asyncio.run(call(keyed(), "POST", "/v1/chat/completions", headers=headers, json=HELLO))
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/chat.js", "/health"])
def test_page_and_health_are_open_and_recognised_without_the_key(path: str) -> None:
    response = asyncio.run(call(keyed(), "GET", path))
    assert response.status_code == 200
    assert response.headers["bundle-id"] == BUNDLE_ID


def test_a_preflight_brings_no_key() -> None:
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    assert asyncio.run(call(keyed(), "OPTIONS", "/v1/chat/completions", headers=headers)).status_code == 204
