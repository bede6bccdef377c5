"""Addresses as sources, by their spelling alone: `hf.co/…`, `hf://…`, `https://…`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from bundler.build import blob as blobs
from bundler.build.blob import Blob
from bundler.build.progress import Progress
from bundler.build.sources import ggufs
from bundler.build.sources.found import Found, SourceError, Weights
from bundler.formats.excerpt import clipped
from bundler.formats.ggufsplit import part_name

_HUB: Final = ("hf.co/", "huggingface.co/", "hf://")
_PLAIN: Final = ("https://", "http://")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def is_spelled(text: str, path: Path) -> bool:
    """Whether it is written as an address; what could be a path is none where `path`, that path, exists."""
    spelled = text.lower().startswith(_HUB + _PLAIN)
    return spelled and ("://" in text or not path.exists())


def find(text: str, progress: Progress) -> Found:
    """Download what the address names, or take it from the cache.

    Raises:
        SourceError: the address names nothing that can be used.
        BundleError: the download failed; what has come so far is kept.
    """
    for prefix in _HUB:
        if text.lower().startswith(prefix):
            return _from_hub(text[len(prefix) :], progress)
    return _from_url(text, progress)


def _from_hub(text: str, progress: Progress) -> Found:
    from bundler.build.sources import hub  # what speaks HTTP is loaded where it is used

    wanted = hub.parse(text)
    listing = hub.read(wanted, progress)
    chosen = hub.choose(wanted, listing)
    parts = [hub.fetch(wanted, listing, file, progress) for file in chosen.files]
    return Found(
        weights=(_whole(parts, chosen.name),), remarks=hub.remarks(wanted, listing, chosen), doubts=listing.doubts
    )


def _from_url(url: str, progress: Progress) -> Found:
    from bundler.build.sources import download, hub  # what speaks HTTP is loaded where it is used

    place = urlsplit(url)
    name = PurePosixPath(unquote(place.path)).name
    if not place.hostname or not name:
        raise SourceError(f"{clipped(url, 200)} names no file", "give the whole address of a .gguf")
    if place.scheme.lower() == "http" and place.hostname not in _LOOPBACK:
        raise SourceError(f"{clipped(url, 200)} would be read unencrypted", "write https:// instead of http://")
    split = part_name(name)
    names = [split.sibling(number) for number in range(1, split.parts + 1)] if split else [name]
    fetched = []
    for each in names:
        folder = place.path.rpartition("/")[0]
        address = place._replace(path=f"{folder}/{quote(each)}").geturl() if split else url
        fetched.append(download.fetch(download.Wanted(address, each, token=hub.token_for(address)), progress))
    parts = [blobs.part(file.path, 0, file.size, file.shown, sha256=file.sha256) for file in fetched]
    doubts = tuple(dict.fromkeys(file.doubt for file in fetched if file.doubt))
    return Found(weights=(_whole(parts, split.prefix if split else name.removesuffix(".gguf")),), doubts=doubts)


def _whole(parts: list[Blob], name: str) -> Weights:
    if len(parts) > 1:
        return ggufs.of(ggufs.merged(parts, parts[0].label), name)
    if ggufs.split_count(parts[0]) > 1:
        raise SourceError(f"{parts[0].label} is one part of a model", "give the address of a part under its own name")
    return ggufs.of(parts[0], name)
