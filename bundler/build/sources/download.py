"""Downloads of GGUF files into the cache: resumed where they stopped, checked by size and digest, never half there.

`<cache>/build/models/<key>/NAME` is a whole file, `NAME.part` what has come so far. Which address to ask is decided
elsewhere.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import httpx
import msgspec

from bundler.build import cache
from bundler.build.progress import Progress, Stage
from bundler.build.sources import heads, web
from bundler.build.sources.web import CHUNK, CutError, UnreachableError
from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.container import is_safe_name
from bundler.formats.excerpt import clipped
from bundler.formats.gguf import GgufError
from bundler.formats.source import FileSource

_ATTEMPTS: Final = 20
"""Times that a download goes on by itself, as long as each one brings something."""
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")
_DIGEST = re.compile(r'"?([0-9a-f]{64})"?')
_AGAIN: Final = "build again: the download goes on where it stopped"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, and what is known of it."""

    url: str
    name: str
    shown: str = ""
    """What it is called in messages; the address without its query where empty."""
    size: int | None = None
    sha256: str = ""
    token: str = ""

    @property
    def label(self) -> str:
        return self.shown or clipped(self.url.partition("?")[0], 200)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file in the cache."""

    path: Path
    size: int
    shown: str
    sha256: str
    doubt: str = ""
    """That it may not be the newest, as the server could not be asked."""


class _Kept(msgspec.Struct, frozen=True):
    """What is remembered beside a file or a part of one."""

    etag: str = ""
    size: int | None = None
    sha256: str = ""


def fetch(wanted: Wanted, progress: Progress) -> Fetched:
    """The file, from the cache or downloaded; a part that came earlier is not downloaded again.

    Raises:
        BundleError: the server refuses, what comes is no GGUF or not what was promised, the connection is cut, or there
            is no space.
    """
    if not is_safe_name(wanted.name) or "/" in wanted.name:
        raise BundleError(f"failed to download {wanted.label}: it has no name for a file", "give another address")
    key = f"sha256-{wanted.sha256}" if wanted.sha256 else f"url-{hashlib.sha256(wanted.url.encode()).hexdigest()[:32]}"
    target = cache.folder("models", key) / wanted.name
    with cache.locked(target):
        kept = _kept(target)
        if wanted.sha256 and target.is_file() and wanted.size in (None, target.stat().st_size):
            return Fetched(target, target.stat().st_size, wanted.label, wanted.sha256)
        download = _Download(wanted, target)
        try:
            return download.run(kept if target.is_file() else None, progress)
        except UnreachableError as error:
            if not target.is_file():
                raise
            doubt = f"{error.message}; the file of an earlier download is used"
            return Fetched(target, target.stat().st_size, wanted.label, kept.sha256, doubt)


class _Download:
    """The download of one file."""

    def __init__(self, wanted: Wanted, target: Path) -> None:
        self._wanted = wanted
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._sha256 = wanted.sha256
        self._etag = ""
        self._total = wanted.size
        self._digest = hashlib.sha256()
        self._have = 0

    def run(self, known: _Kept | None, progress: Progress) -> Fetched:
        """Download until all is there; `known` is what is remembered of a whole file in the cache."""
        self._take_up()
        for attempt in range(_ATTEMPTS):
            before = self._have
            try:
                if self._continue(known, progress):
                    return Fetched(
                        self._target, self._target.stat().st_size, self._wanted.label, known.sha256 if known else ""
                    )
                break
            except CutError as cause:
                if self._have == before or attempt == _ATTEMPTS - 1:
                    of = f" of {self._total}" if self._total is not None else ""
                    self._fail(f"the connection was cut after {self._have}{of} bytes ({cause})", _AGAIN)
        return self._finish()

    def _take_up(self) -> None:
        """Begin behind what came earlier, if it is of the same file."""
        kept = _kept(self._part)
        same = bool(self._sha256 and kept.sha256 == self._sha256) or bool(not self._sha256 and kept.etag)
        if not same or not self._part.is_file():
            self._restart()
            return
        self._etag = kept.etag
        with self._part.open("rb") as file:
            while chunk := file.read(CHUNK):
                self._digest.update(chunk)
                self._have += len(chunk)

    def _restart(self) -> None:
        self._part.unlink(missing_ok=True)
        self._digest, self._have, self._etag = hashlib.sha256(), 0, ""
        self._total, self._sha256 = self._wanted.size, self._wanted.sha256

    def _continue(self, known: _Kept | None, progress: Progress) -> bool:
        """Ask for the rest and take it; true where the file in the cache is still that of the server."""
        headers = {"Accept-Encoding": "identity"}
        if self._have and self._have == self._total:
            return False
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
            if self._etag and not self._etag.startswith("W/"):
                headers["If-Range"] = self._etag
        elif known and known.etag:
            headers["If-None-Match"] = known.etag
        with web.asked(self._wanted.url, self._wanted.token, self._wanted.label, headers) as response:
            if known and (response.status_code == 304 or self._is_same(response, known)):
                return True
            self._check(response)
            with progress.stage(f"Downloading {self._wanted.name}", self._total) as stage:
                stage.advance(self._have)
                self._receive(response, stage)
        return False

    def _is_same(self, response: httpx.Response, known: _Kept) -> bool:
        return response.status_code == 200 and bool(known.etag) and response.headers.get("ETag") == known.etag

    def _check(self, response: httpx.Response) -> None:
        """What the answer says of itself, against what is known and was asked for."""
        if response.status_code == 416:
            self._restart()
            raise CutError("the server has no such part of it")
        web.check_status(response, self._wanted.label)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            self._fail_page()
        begin, total = 0, web.number(response.headers.get("Content-Length"))
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            begin, total = (int(found[1]), web.number(found[2])) if found else (-1, None)
            same = not self._etag or response.headers.get("ETag") in (None, self._etag)
            if begin != self._have or not same:
                self._restart()
                raise CutError("the server has another file by now" if begin >= 0 else "it gives no such part of it")
        elif self._have:
            self._restart()
        linked = [answer.headers.get("X-Linked-Etag", "") for answer in (*response.history, response)]
        digests = [found[1] for value in linked if (found := _DIGEST.fullmatch(value))]
        if digests and not self._sha256:
            self._sha256 = digests[0]
        if total is not None and self._total not in (None, total):
            self._fail(
                f"the server has {total} bytes of it, and {self._total} are recorded", "the file there is another"
            )
        self._total = total if total is not None else self._total
        self._etag = response.headers.get("ETag", "")
        web.write(_beside(self._part), msgspec.json.encode(_Kept(self._etag, self._total, self._sha256)))
        self._check_space()

    def _receive(self, response: httpx.Response, stage: Stage) -> None:
        try:
            with self._part.open("ab") as file:
                for chunk in response.iter_raw():
                    if self._have == 0:
                        self._check_head(chunk)
                    if self._total is not None and self._have + len(chunk) > self._total:
                        promised = self._total
                        self._restart()
                        self._fail(f"the server sends more than the {promised} bytes it promised", "try another source")
                    file.write(chunk)
                    self._digest.update(chunk)
                    self._have += len(chunk)
                    stage.advance(len(chunk))
        except httpx.HTTPError as cause:
            raise CutError(web.reason(cause)) from cause
        except OSError as cause:
            self._fail(cause.strerror or str(cause), self._elsewhere())
        if self._total is not None and self._have < self._total:
            raise CutError("the server ended it")

    def _check_head(self, chunk: bytes) -> None:
        """Whether the file begins as a GGUF does; told before gigabytes have come."""
        if chunk.startswith(heads.GGUF[: len(chunk)]):
            return
        self._restart()
        if heads.is_web_page(chunk[: heads.SIZE]):
            self._fail_page()
        self._fail(f"it is no GGUF: it {heads.looks_like(chunk[: heads.SIZE])}", "give the address of a .gguf")

    def _fail_page(self) -> NoReturn:
        hint = "give the address of the file itself"
        if "/blob/" in self._wanted.url:
            hint += ": with /resolve/ instead of /blob/"
        self._fail("it is a web page, and not a model", hint)

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._target.parent).free
        if self._total is not None and self._total - self._have > free:
            missing = self._total - self._have
            self._fail(f"{missing} bytes are to come, and the disk has {free} free", self._elsewhere())

    def _elsewhere(self) -> str:
        return f"free some space in {cache.root()}, or set BUNDLE_CACHE to another disk; what has come so far is kept"

    def _finish(self) -> Fetched:
        if self._total is None:
            self._check_complete()
        found, expected = self._digest.hexdigest(), self._sha256
        if expected not in ("", found):
            self._restart()
            self._fail(f"its SHA-256 is {found}, and {expected} is recorded", "build again; then try another source")
        web.write(_beside(self._target), msgspec.json.encode(_Kept(self._etag, self._have, found)))
        self._part.replace(self._target)
        _beside(self._part).unlink(missing_ok=True)
        return Fetched(self._target, self._have, self._wanted.label, found)

    def _check_complete(self) -> None:
        """By the GGUF itself, where the server did not say how long it is."""
        try:
            with self._part.open("rb") as file:
                gguf.check_complete(gguf.read_header(FileSource(file.fileno()), self._wanted.label))
        except GgufError:
            self._restart()
            raise

    def _fail(self, cause: str, hint: str) -> NoReturn:
        raise BundleError(f"failed to download {self._wanted.label}: {cause}", hint)


def _kept(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(_beside(path).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return _Kept()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")
