"""A repository of Hugging Face (or of a mirror, `HF_ENDPOINT`) as a source: which of its files, and where they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.progress import Progress
from bundler.build.sources import download, web
from bundler.build.sources.found import SourceError
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.ggufsplit import part_name

_ENDPOINT: Final = "https://huggingface.co"
_PREFERRED: Final = "Q4_K_M"
_SPELLING = re.compile(
    r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+?))?(?:/(?P<file>[^:@]+\.gguf))?(?::(?P<tag>[^:/@]+))?/?",
    re.IGNORECASE,
)
_EXAMPLE: Final = "write hf.co/ORGANISATION/REPOSITORY, with :Q4_K_M or a file's name behind it"
_QUANTIZATION = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q[0-9]+(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4|NVFP4|TQ[12]_0))(?=$|[-./])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Repository:
    """What an address says."""

    id: str
    revision: str
    file: str
    tag: str
    """A quantisation, or the name of a file; empty where none is asked for."""

    @property
    def shown(self) -> str:
        return f"hf.co/{self.id}"


class Large(msgspec.Struct, frozen=True):
    sha256: str = ""
    size: int | None = None


class File(msgspec.Struct, frozen=True):
    """One file of a repository."""

    rfilename: str
    size: int | None = None
    lfs: Large | None = None


class Answer(msgspec.Struct, frozen=True):
    """Of what the hub tells of a repository, what is needed."""

    siblings: list[File] = []
    sha: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    answer: Answer
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A model of the repository: one file, or its parts in order."""

    name: str
    files: list[File] = field(default_factory=list)


def parse(text: str) -> Repository:
    """The address behind its prefix: `organisation/repository[@revision][/file.gguf][:quantisation]`.

    Raises:
        SourceError: it is none.
    """
    found = _SPELLING.fullmatch(text)
    if not found or any(part in (".", "..") for part in text.split("/")):
        raise SourceError(f"{clipped(text)} names no repository", _EXAMPLE)
    return Repository(found["id"], found["revision"] or "main", found["file"] or "", found["tag"] or "")


def endpoint() -> str:
    """Where the hub is: `$HF_ENDPOINT`, else Hugging Face itself."""
    return (os.environ.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")


def token_for(url: str) -> str:
    """The token that may be sent there: the user's own, to the hub alone; empty otherwise."""
    ours, theirs = urlsplit(endpoint()), urlsplit(url)
    return _token() if (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc) else ""


def read(wanted: Repository, progress: Progress) -> Listing:
    """What the repository holds; where the hub cannot be reached, what it held the last time.

    Raises:
        BundleError: the hub refuses, or cannot be reached and never was.
    """
    url = f"{endpoint()}/api/models/{wanted.id}/revision/{quote(wanted.revision, safe='')}?blobs=true"
    with progress.stage(f"Asking for {wanted.shown}"):
        data, doubt = web.read(url, token_for(url), f"{wanted.shown} (revision {wanted.revision})")
    try:
        return Listing(msgspec.json.decode(data, type=Answer), (doubt,) if doubt else ())
    except msgspec.DecodeError as cause:
        raise BundleError(
            f"failed to download {wanted.shown}: {endpoint()} does not answer as Hugging Face does",
            "check the variable HF_ENDPOINT",
        ) from cause


def choose(wanted: Repository, listing: Listing) -> Choice:
    """The model that is asked for, by file or quantisation; without either the only one, or the one of Q4_K_M.

    Raises:
        SourceError: there is no such model, or there are several.
    """
    choices = _models(listing.answer.siblings)
    if not choices:
        hint = "look for a repository with GGUF files; safetensors can be downloaded, and their folder named"
        raise SourceError(f"{wanted.shown} holds no GGUF", hint)
    asked = wanted.file or wanted.tag
    if wanted.file or asked.lower().endswith(".gguf"):
        fitting = [choice for choice in choices if any(asked in _names(file) for file in choice.files)]
        fitting = fitting or [choice for choice in choices if any(asked == file.rfilename for file in choice.files)]
    else:
        models = [choice for choice in choices if "mmproj" not in choice.name.lower()]
        fitting = [choice for choice in models if _has(choice, asked or _PREFERRED)]
        fitting = models if not asked and len(models) == 1 else fitting
    if len(fitting) != 1:
        names = _tags(choices)
        count = f"several GGUF files of {asked or _PREFERRED}" if fitting else f"no GGUF of {asked or _PREFERRED}"
        raise SourceError(f"{wanted.shown} holds {count}", f"name one of its own: {', '.join(names[:12])}")
    return fitting[0]


def fetch(wanted: Repository, listing: Listing, file: File, progress: Progress) -> Blob:
    """One file of the repository, from the cache or downloaded.

    Raises:
        BundleError: the download failed.
    """
    revision = listing.answer.sha or wanted.revision
    url = f"{endpoint()}/{wanted.id}/resolve/{quote(revision, safe='')}/{quote(file.rfilename)}"
    large = file.lfs or Large()
    asked = download.Wanted(
        url,
        PurePosixPath(file.rfilename).name,
        shown=f"{wanted.shown}/{file.rfilename}",
        size=large.size or file.size,
        sha256=large.sha256,
        token=token_for(url),
    )
    fetched = download.fetch(asked, progress)
    return blobs.part(fetched.path, 0, fetched.size, fetched.shown, sha256=fetched.sha256)


def remarks(wanted: Repository, listing: Listing, chosen: Choice) -> tuple[str, ...]:
    """What was chosen, and what lies beside it."""
    first = chosen.files[0].rfilename
    revision = (listing.answer.sha or wanted.revision)[:12]
    told = [f"{wanted.shown}: {clipped(first, 200)}, revision {clipped(revision)}"]
    projectors = [choice for choice in _models(listing.answer.siblings) if "mmproj" in choice.name.lower()]
    if projectors and "mmproj" not in chosen.name.lower():
        path = clipped(projectors[0].files[0].rfilename, 200)
        told.append(f"{wanted.shown} has a projector too, which FROM {wanted.shown}/{path} would add")
    return tuple(told)


def _models(files: Sequence[File]) -> list[Choice]:
    """The GGUF files, the parts of a split one together in order; importance matrices are none."""
    found: dict[tuple[str, int], dict[int, File]] = {}
    for file in files:
        path = PurePosixPath(file.rfilename)
        if path.suffix.lower() != ".gguf" or "imatrix" in path.name.lower() or ".." in path.parts:
            continue
        split = part_name(path.name)
        prefix = str(path.with_name(split.prefix)) if split else str(path.with_suffix(""))
        found.setdefault((prefix, split.parts if split else 1), {})[split.number if split else 1] = file
    return [
        Choice(PurePosixPath(prefix).name, [parts[number] for number in sorted(parts)])
        for (prefix, count), parts in sorted(found.items())
        if sorted(parts) == list(range(1, count + 1))
    ]


def _names(file: File) -> tuple[str, str]:
    return file.rfilename, PurePosixPath(file.rfilename).name


def _has(choice: Choice, tag: str) -> bool:
    place = str(PurePosixPath(choice.files[0].rfilename).with_suffix(""))
    return re.search(rf"(^|[-._/]){re.escape(tag)}($|[-./])", place, re.IGNORECASE) is not None


def _tags(choices: Sequence[Choice]) -> list[str]:
    """How each model can be asked for: by its quantisation, else by its file."""
    names = []
    for choice in choices:
        file = choice.files[0].rfilename
        found = _QUANTIZATION.findall(str(PurePosixPath(file).with_suffix("")))
        unique = found and sum(_has(other, found[-1]) for other in choices) == 1
        names.append(f":{found[-1]}" if unique else f"/{clipped(file, 100)}")
    return list(dict.fromkeys(names))


def _token() -> str:
    """`$HF_TOKEN`, else what `hf auth login` has kept."""
    if given := os.environ.get("HF_TOKEN", "").strip():
        return given
    home = os.environ.get("HF_HOME")
    kept = os.environ.get("HF_TOKEN_PATH")
    path = Path(kept) if kept else (Path(home) if home else Path.home() / ".cache" / "huggingface") / "token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
