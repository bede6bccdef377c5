"""Downloads from a hub on loopback: what is chosen, resumed, checked, kept, and what is said when it goes wrong."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bundler.build import cache
from bundler.build.sources import hub as hubs
from bundler.errors import BundleError
from tests.build.conftest import Site
from tests.build.sources.hubserver import REVISION, Hub, Request, running
from tests.build.sources.making import content, fails, find, gguf, part

MODEL = gguf(tensors=60)
SPELLING = "write hf.co/ORGANISATION/REPOSITORY, with :Q4_K_M or a file's name behind it"
AGAIN = "build again: the download goes on where it stopped"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("BUNDLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
        yield hub


def downloading_fails(text: str, folder: Path) -> tuple[str, str]:
    with pytest.raises(BundleError) as caught:
        find(text, folder)
    return caught.value.message, caught.value.hint


def kept(tmp_path: Path) -> list[str]:
    """What the cache holds of models, without locks."""
    models = tmp_path / "cache" / "build" / "models"
    names = [path.name for path in models.rglob("*") if path.is_file()]
    return sorted(name for name in names if not name.endswith(".lock") and not name.startswith("answer-"))


@pytest.mark.parametrize(
    "text", ["hf.co/org/repo", "huggingface.co/org/repo", "hf://org/repo", "HF.co/org/repo:q4_k_m", "hf.co/org/repo@v1"]
)
def test_a_repository(hub: Hub, tmp_path: Path, text: str) -> None:
    hub.add("org/repo", "model-Q8_0.gguf", gguf(tensors=1))
    hub.add("org/repo", "model-Q4_K_M.gguf", MODEL)
    hub.add("org/repo", "mmproj-F16.gguf", gguf({"general.architecture": "clip"}))
    found = find(text, tmp_path)
    (weights,) = found.weights
    assert (weights.kind, weights.name, weights.blob.sha256) == (
        "model",
        "model-Q4_K_M",
        hashlib.sha256(MODEL).hexdigest(),
    )
    assert content(weights.blob) == MODEL
    assert found.remarks == (
        f"hf.co/org/repo: model-Q4_K_M.gguf, revision {REVISION[:12]}",
        "hf.co/org/repo has a projector too, which FROM hf.co/org/repo/mmproj-F16.gguf would add",
    )
    revision = "v1" if "@" in text else "main"
    assert hub.asked[0][0] == f"/api/models/org/repo/revision/{revision}?blobs=true"


def test_a_quantisation_or_a_file_by_name(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "model-Q8_0.gguf", gguf(tensors=1))
    hub.add("org/repo", "sub/model-Q6_K.gguf", gguf(tensors=2))
    hub.add("org/repo", "imatrix.gguf", b"x")
    hub.add("org/repo", "mmproj-F16.gguf", gguf({"general.architecture": "clip"}))
    assert content(find("hf.co/org/repo:Q8_0", tmp_path).weights[0].blob) == gguf(tensors=1)
    assert content(find("hf://org/repo/sub/model-Q6_K.gguf", tmp_path).weights[0].blob) == gguf(tensors=2)
    assert content(find("hf.co/org/repo:model-Q6_K.gguf", tmp_path).weights[0].blob) == gguf(tensors=2)
    assert find("hf.co/org/repo/mmproj-F16.gguf", tmp_path).weights[0].kind == "projector"
    assert fails("hf.co/org/repo", tmp_path) == (
        "hf.co/org/repo holds no GGUF of Q4_K_M",
        "name one of its own: :F16, :Q8_0, :Q6_K",
    )
    assert fails("hf.co/org/repo:Q6", tmp_path)[0] == "hf.co/org/repo holds no GGUF of Q6"


def test_a_split_model_of_a_repository(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "Q4/m-00002-of-00002.gguf", part(1, 2, [2, 3, 4], 5))
    hub.add("org/repo", "Q4/m-00001-of-00002.gguf", part(0, 2, [0, 1], 5))
    (weights,) = find("hf.co/org/repo", tmp_path).weights
    assert (weights.name, len(weights.blob.files)) == ("m", 2)


def test_a_split_model_by_the_address_of_a_part(hub: Hub, tmp_path: Path) -> None:
    hub.files["/x/m-00002-of-00002.gguf"] = part(1, 2, [2, 3, 4], 5)
    hub.files["/x/m-00001-of-00002.gguf"] = part(0, 2, [0, 1], 5)
    (weights,) = find(f"{hub.url}/x/m-00002-of-00002.gguf?download=true", tmp_path).weights
    assert (weights.name, len(weights.blob.files)) == ("m", 2)


def test_a_bundle_of_a_download(hub: Hub, site: Site) -> None:
    hub.files["/tiny.gguf"] = (site.folder / "tiny.gguf").read_bytes()
    built = site.build(f"FROM {hub.url}/tiny.gguf\n", "m.exe")
    assert built.written.manifest.models[0].member == "models/tiny.gguf"
    assert site.member("m.exe", "models/tiny.gguf") == hub.files["/tiny.gguf"]


def test_only_its_spelling_makes_an_address(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hf.co" / "org").mkdir(parents=True)
    (tmp_path / "hf.co" / "org" / "repo").write_bytes(gguf())
    assert content(find("hf.co/org/repo", tmp_path).weights[0].blob) == gguf()
    for text in ("org/repo", "./hf.co/org/none.gguf", "repo"):
        fails(text, tmp_path)
    assert hub.asked == []


def test_a_file_in_the_cache_is_not_downloaded_again(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    hub.files["/plain.gguf"] = MODEL
    for _ in range(2):
        find("hf.co/org/repo", tmp_path)
        find(f"{hub.url}/plain.gguf", tmp_path)
    assert len(hub.requests("/m.gguf")) == 1
    assert [("If-None-Match" in headers) for headers in hub.requests("/plain.gguf")] == [False, True]
    hub.files["/plain.gguf"] = gguf(tensors=2)
    assert content(find(f"{hub.url}/plain.gguf", tmp_path).weights[0].blob) == gguf(tensors=2)


def test_without_a_network_the_cache_serves(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", f"http://{dead}")
    message, hint = downloading_fails("hf.co/org/repo", tmp_path)
    assert message.startswith(f"failed to download hf.co/org/repo (revision main): {dead} cannot be reached (")
    assert hint == "check the network; without one, name a file that is here"


def test_without_a_network_what_was_downloaded_is_used(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    hub.files["/plain.gguf"] = MODEL
    address = f"{hub.url}/plain.gguf"
    find("hf.co/org/repo", tmp_path)
    find(address, tmp_path)
    hub.stop()
    (told,) = find("hf.co/org/repo", tmp_path).doubts
    assert told.endswith("what it said earlier is used")
    found = find(address, tmp_path)
    assert content(found.weights[0].blob) == MODEL
    assert found.doubts[0].endswith("the file of an earlier download is used")


def drop(request: Request) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def test_a_download_goes_on_where_it_was_cut(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    etag = f'"{hashlib.md5(MODEL).hexdigest()}"'
    hub.special["/m.gguf"] = [lambda request: request.reply(200, MODEL[:100], len(MODEL), ETag=etag), hub.usual]
    assert content(find("hf.co/org/repo", tmp_path).weights[0].blob) == MODEL
    assert [headers.get("Range") for headers in hub.requests("/m.gguf")] == [None, "bytes=100-"]
    assert hub.requests("/m.gguf")[1]["If-Range"] == etag
    assert kept(tmp_path) == ["m.gguf", "m.gguf.json"]


def test_a_download_cut_off_is_kept_for_the_next_build(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    etag = f'"{hashlib.md5(MODEL).hexdigest()}"'
    hub.special["/m.gguf"] = [lambda request: request.reply(200, MODEL[:100], len(MODEL), ETag=etag), drop]
    message, hint = downloading_fails("hf.co/org/repo", tmp_path)
    assert message.startswith(
        f"failed to download hf.co/org/repo/m.gguf: the connection was cut after 100 of {len(MODEL)} bytes ("
    )
    assert hint == AGAIN
    assert kept(tmp_path) == ["m.gguf.part", "m.gguf.part.json"]
    hub.special.clear()
    assert content(find("hf.co/org/repo", tmp_path).weights[0].blob) == MODEL
    assert hub.requests("/m.gguf")[-1]["Range"] == "bytes=100-"


def test_a_file_that_changed_meanwhile_is_downloaded_from_the_start(hub: Hub, tmp_path: Path) -> None:
    other = gguf(tensors=70)
    hub.special["/m.gguf"] = [
        lambda request: request.reply(200, MODEL[:100], len(MODEL), ETag='"old"'),
        lambda request: hub.file(request, other, '"new"'),
    ]
    assert content(find(f"{hub.url}/m.gguf", tmp_path).weights[0].blob) == other


@pytest.mark.parametrize("where", ["bytes 7-9/60", "bytes 0-99/*", "nonsense"])
def test_a_server_that_gives_another_part(hub: Hub, tmp_path: Path, where: str) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    hub.special["/m.gguf"] = [
        lambda request: request.reply(200, MODEL[:100], len(MODEL), ETag='"e"'),
        lambda request: request.reply(206, MODEL[50:], Content_Range=where),
        lambda request: hub.file(request, MODEL),
    ]
    assert content(find("hf.co/org/repo", tmp_path).weights[0].blob) == MODEL
    assert [headers.get("Range") for headers in hub.requests("/m.gguf")] == [None, "bytes=100-", None]


class Wrong(NamedTuple):
    body: bytes
    headers: dict[str, str]
    message: str
    hint: str


SIZE = len(MODEL)
DIGEST = hashlib.sha256(MODEL).hexdigest()
DAMAGED = MODEL[:-1] + b"\1"


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong(
            b"<!DOCTYPE html><html>Log in</html>".ljust(SIZE),
            {},
            "it is a web page, and not a model",
            "give the address of the file itself",
        ),
        Wrong(
            b"hello".ljust(SIZE),
            {"Content_Type": "text/html; charset=utf-8"},
            "it is a web page, and not a model",
            "give the address of the file itself",
        ),
        Wrong(
            b"PK\3\4".ljust(SIZE),
            {},
            "it is no GGUF: it looks like a ZIP archive, as PyTorch checkpoints are",
            "give the address of a .gguf",
        ),
        Wrong(
            MODEL + b"more",
            {},
            f"the server has {SIZE + 4} bytes of it, and {SIZE} are recorded",
            "the file there is another",
        ),
        Wrong(
            MODEL[:-4],
            {},
            f"the server has {SIZE - 4} bytes of it, and {SIZE} are recorded",
            "the file there is another",
        ),
        Wrong(
            DAMAGED,
            {},
            f"its SHA-256 is {hashlib.sha256(DAMAGED).hexdigest()}, and {DIGEST} is recorded",
            "build again; then try another source",
        ),
    ],
)
def test_what_comes_is_not_the_model(hub: Hub, tmp_path: Path, wrong: Wrong) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    hub.special["/m.gguf"] = [lambda request: request.reply(200, wrong.body, None, **wrong.headers)]
    message, hint = downloading_fails("hf.co/org/repo", tmp_path)
    assert (message, hint) == (f"failed to download hf.co/org/repo/m.gguf: {wrong.message}", wrong.hint)
    assert not [name for name in kept(tmp_path) if not name.endswith(".json")]


def test_more_than_promised(hub: Hub, tmp_path: Path) -> None:
    """Without a Content-Length, as with a chunked answer, nothing but the listing says how long the file is."""
    hub.add("org/repo", "m.gguf", MODEL)

    def chunked(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        body = MODEL + b"more"
        request.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")

    hub.special["/m.gguf"] = [chunked]
    assert downloading_fails("hf.co/org/repo", tmp_path) == (
        f"failed to download hf.co/org/repo/m.gguf: the server sends more than the {SIZE} bytes it promised",
        "try another source",
    )
    hub.special["/x.gguf"] = [chunked]
    assert content(find(f"{hub.url}/x.gguf", tmp_path).weights[0].blob) == MODEL + b"more"


def test_a_file_of_unknown_length_that_ends_early(hub: Hub, tmp_path: Path) -> None:
    def ends(request: Request) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(MODEL[:-100])
        request.close_connection = True

    hub.special["/x.gguf"] = [ends]
    address = f"{hub.url}/x.gguf"
    message, _ = downloading_fails(address, tmp_path)
    assert message.startswith(f"failed to read GGUF {address}: it is ")
    assert "the download was cut short" in message
    hub.special["/x.gguf"] = [lambda request: hub.file(request, MODEL)]
    assert content(find(address, tmp_path).weights[0].blob) == MODEL


def test_the_digest_that_the_hub_links(hub: Hub, tmp_path: Path) -> None:
    """A plain address of the hub leads on to where the file lies, and says its digest on the way."""
    hub.files["/elsewhere"] = DAMAGED
    hub.special["/resolve/main/m.gguf"] = [
        lambda request: request.reply(302, Location="/elsewhere", X_Linked_Etag=f'"{DIGEST}"')
    ]
    address = f"{hub.url}/org/repo/resolve/main/m.gguf"
    message, _ = downloading_fails(address, tmp_path)
    assert message.endswith(f"is {hashlib.sha256(DAMAGED).hexdigest()}, and {DIGEST} is recorded")
    hub.files["/elsewhere"] = MODEL
    assert find(address, tmp_path).weights[0].blob.sha256 == DIGEST


@pytest.mark.parametrize(
    ("status", "reason", "hint"),
    [
        (
            401,
            "Unauthorized",
            "log in with `hf auth login`, or set the variable HF_TOKEN; private and gated repositories need it",
        ),
        (403, "Forbidden", "accept the model's licence on its page, and set the variable HF_TOKEN"),
        (404, "Not Found", "check the name; private repositories need the variable HF_TOKEN"),
        (429, "Too Many Requests", "the server asks to come back later; with a token (HF_TOKEN) it allows more"),
        (500, "Internal Server Error", "try again later"),
    ],
)
def test_a_server_that_refuses(hub: Hub, tmp_path: Path, status: int, reason: str, hint: str) -> None:
    hub.special["/main"] = [lambda request: request.reply(status, X_Error_Message="said so")]
    assert downloading_fails("hf.co/org/repo", tmp_path) == (
        f"failed to download hf.co/org/repo (revision main): the server answers {status} {reason} (said so)",
        hint,
    )


def test_the_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with running() as elsewhere:
        elsewhere.files["/blob"] = MODEL
        hub.add("org/repo", "m.gguf", MODEL)
        hub.special["/m.gguf"] = [lambda request: request.reply(302, Location=f"{elsewhere.url}/blob")]
        find("hf.co/org/repo", tmp_path)
        find(f"{elsewhere.url}/blob", tmp_path)
        assert [headers.get("Authorization") for _, headers in hub.asked] == ["Bearer secret"] * 2
        assert all("Authorization" not in headers for _, headers in elsewhere.asked)


def test_where_the_token_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"{hubs.endpoint()}/x"
    assert hubs.token_for(address) == ""
    (tmp_path / "home" / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / "home" / ".cache" / "huggingface" / "token").write_text("one\n")
    assert hubs.token_for(address) == "one"
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text("two\n")
    assert hubs.token_for(address) == "two"
    monkeypatch.setenv("HF_TOKEN", "three")
    assert hubs.token_for(address) == "three"
    assert hubs.token_for("https://example.com/x") == ""


def test_no_space_for_it(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert downloading_fails("hf.co/org/repo", tmp_path) == (
        f"failed to download hf.co/org/repo/m.gguf: {SIZE} bytes are to come, and the disk has 100 free",
        f"free some space in {cache.root()}, or set BUNDLE_CACHE to another disk; what has come so far is kept",
    )


def test_a_disk_that_fills_up_keeps_what_has_come(hub: Hub, tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse to write on, as a full disk does."""
    model = gguf(tensors=20_000)
    hub.files["/m.gguf"] = model
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from bundler.errors import BundleError\n"
        "from tests.build.sources.making import find\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n"
        "    find(sys.argv[1], Path())\n"
        "except BundleError as error:\n"
        "    print(error.render())\n"
    )
    address = f"{hub.url}/m.gguf"
    result = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=False)
    assert result.stdout == (
        f"error: failed to download {address}: File too large\n"
        f"hint: free some space in {cache.root()}, or set BUNDLE_CACHE to another disk; what has come so far is kept\n"
    ), result.stderr
    assert kept(tmp_path) == ["m.gguf.part", "m.gguf.part.json"]
    assert content(find(address, tmp_path).weights[0].blob) == model
    assert 0 < int(hub.requests("/m.gguf")[-1]["Range"].removeprefix("bytes=").rstrip("-")) <= 1 << 20


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        (
            "hf.co/org",
            "org names no repository",
            SPELLING,
        ),
        (
            "hf://../repo",
            "../repo names no repository",
            SPELLING,
        ),
        ("https://example.com/", "https://example.com/ names no file", "give the whole address of a .gguf"),
        (
            "http://example.com/m.gguf",
            "http://example.com/m.gguf would be read unencrypted",
            "write https:// instead of http://",
        ),
    ],
)
def test_addresses_that_name_nothing(tmp_path: Path, text: str, cause: str, hint: str) -> None:
    assert fails(text, tmp_path) == (cause, hint)


def test_a_repository_without_a_gguf(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "model.safetensors", b"x")
    assert fails("hf.co/org/repo", tmp_path) == (
        "hf.co/org/repo holds no GGUF",
        "look for a repository with GGUF files; safetensors can be downloaded, and their folder named",
    )


def test_a_page_of_the_hub_instead_of_the_file(hub: Hub, tmp_path: Path) -> None:
    hub.special["m.gguf"] = [lambda request: request.reply(200, b"<html>", Content_Type="text/html")]
    address = f"{hub.url}/org/repo/blob/main/m.gguf"
    assert downloading_fails(address, tmp_path) == (
        f"failed to download {address}: it is a web page, and not a model",
        "give the address of the file itself: with /resolve/ instead of /blob/",
    )


def test_an_endpoint_that_is_none(hub: Hub, tmp_path: Path) -> None:
    hub.special["/main"] = [lambda request: request.reply(200, b"hello")]
    assert downloading_fails("hf.co/org/repo", tmp_path) == (
        f"failed to download hf.co/org/repo: {hub.url} does not answer as Hugging Face does",
        "check the variable HF_ENDPOINT",
    )
