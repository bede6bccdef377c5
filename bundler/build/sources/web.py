"""HTTP as downloads need it: one GET, its errors in words, and small answers that are remembered.

A server that cannot be reached is told apart from one that refuses, as what is remembered may do instead.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from bundler import __version__
from bundler.build import cache as caches
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped

CHUNK: Final = 1 << 20
TIMEOUT: Final = httpx.Timeout(30.0)
"""For a connection, and for every next piece of an answer."""
_MAX_ANSWER: Final = 64 << 20


class UnreachableError(BundleError):
    """The server could not be asked."""


class CutError(Exception):
    """The connection ended before the answer did."""


def read(url: str, token: str, shown: str) -> tuple[bytes, str]:
    """A small answer, and a doubt where it is an earlier one because the server cannot be reached.

    Raises:
        BundleError: the server refuses, or cannot be reached and never was.
    """
    path = caches.folder("models") / f"answer-{hashlib.sha256(url.encode()).hexdigest()[:32]}"
    try:
        with asked(url, token, shown, {}) as response:
            check_status(response, shown)
            data = b""
            for chunk in response.iter_bytes(CHUNK):
                data += chunk
                if len(data) > _MAX_ANSWER:
                    raise BundleError(f"failed to download {shown}: the answer is too long", "check the address")
    except UnreachableError as error:
        if not path.is_file():
            raise
        return path.read_bytes(), f"{error.message}; what it said earlier is used"
    except CutError as cause:
        raise BundleError(f"failed to download {shown}: {cause}", "build again") from cause
    write(path, data)
    return data, ""


@contextmanager
def asked(url: str, token: str, shown: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The answer to a GET, its body still to come. The token is not sent on to another host.

    Raises:
        UnreachableError: there is no connection.
        CutError: the connection ended.
        BundleError: the address is none, or leads to an unencrypted one.
    """
    given = {"User-Agent": f"bundle/{__version__}", **headers}
    if token:
        given["Authorization"] = f"Bearer {token}"
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=TIMEOUT, verify=_trusted()) as client,
            client.stream("GET", url, headers=given) as response,
        ):
            if urlsplit(url).scheme == "https" and response.url.scheme != "https":
                cause = "the server leads to an unencrypted address"
                raise BundleError(f"failed to download {shown}: {cause}", "take the model from another source")
            yield response
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as cause:
        host = urlsplit(url).netloc
        raise UnreachableError(
            f"failed to download {shown}: {host} cannot be reached ({reason(cause)})",
            "check the network; without one, name a file that is here",
        ) from cause
    except httpx.InvalidURL as cause:
        raise BundleError(f"failed to download {shown}: {cause}", "check the address") from cause
    except httpx.HTTPError as cause:
        raise CutError(reason(cause)) from cause


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are trusted; reading them takes a tenth of a second."""
    return httpx.create_ssl_context()


def check_status(response: httpx.Response, shown: str) -> None:
    """Check that the server gives what was asked for.

    Raises:
        BundleError: it does not.
    """
    status = response.status_code
    if status in (200, 206):
        return
    hints = {
        401: "log in with `hf auth login`, or set the variable HF_TOKEN; private and gated repositories need it",
        403: "accept the model's licence on its page, and set the variable HF_TOKEN",
        404: "check the name; private repositories need the variable HF_TOKEN",
        429: "the server asks to come back later; with a token (HF_TOKEN) it allows more",
    }
    said = clipped(response.headers.get("X-Error-Message", ""), 200)
    cause = f"the server answers {status} {response.reason_phrase}".rstrip() + (f" ({said})" if said else "")
    raise BundleError(f"failed to download {shown}: {cause}", hints.get(status, "try again later"))


def write(path: Path, data: bytes) -> None:
    """Replace a small file as a whole.

    Raises:
        BundleError: it cannot be written.
    """
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        work.write_bytes(data)
        work.replace(path)
    except OSError as cause:
        work.unlink(missing_ok=True)
        raise BundleError(
            f"failed to write {path}: {cause.strerror}", "set BUNDLE_CACHE to a folder that can be written"
        ) from cause


def number(text: str | None) -> int | None:
    """The number in a header, where there is one."""
    return int(text) if text and text.isascii() and text.isdigit() else None


def reason(cause: httpx.HTTPError) -> str:
    """What went wrong, in one line."""
    return clipped(str(cause) or type(cause).__name__, 200)
