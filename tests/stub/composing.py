"""Small bundles for the launcher's tests: a launcher, a base part around a tiny runtime, and an archive's end."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from bundler.formats.container import ALIGNMENT, DosTime, Entry, directory, local_header, place, trailer_head

LAUNCH = "format 1\nexe app/told\nlibs app:lib\n"


@dataclass(frozen=True)
class Item:
    """One entry of a runtime's tar."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644


def tree(program: bytes, launch: str = LAUNCH, extra: Iterable[Item] = ()) -> list[Item]:
    """The entries of a runtime whose program is `program`."""
    return [
        Item("app", kind=tarfile.DIRTYPE, mode=0o755),
        Item("app/told", program, mode=0o755),
        Item("launch.txt", launch.encode()),
        *extra,
    ]


def tar(items: Iterable[Item]) -> bytes:
    """The entries as a ustar stream."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type, info.size, info.linkname, info.mode = item.kind, len(item.data), item.link, item.mode
            archive.addfile(info, io.BytesIO(item.data))
    return out.getvalue()


def compress(data: bytes, *, checksum: bool = True) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=checksum, write_content_size=True).compress(data)


def base_name(part: bytes, target: str = "linux-x86_64") -> str:
    return f"runtime/{target}/base-{hashlib.sha256(part).hexdigest()}.tar.zst"


@dataclass
class Composed:
    """A bundle in memory; every region can be damaged before it is written."""

    launcher: bytes
    members: dict[str, bytes]
    entries: dict[str, Entry] = field(default_factory=dict)
    body: bytes = b""
    end: bytes = b""

    def __post_init__(self) -> None:
        body = bytearray(self.launcher)
        for name, data in self.members.items():
            entry = place(len(body), name, len(data), aligned=name.startswith("models/"))
            body += bytes(entry.header_offset - len(body)) + local_header(entry, DosTime()) + data
            self.entries[name] = entry
        self.body = bytes(body)
        self.end = ending(list(self.entries.values()), len(body))

    @property
    def data(self) -> bytes:
        return self.body + self.end

    def write(self, path: Path, data: bytes | None = None) -> Path:
        path.write_bytes(self.data if data is None else data)
        path.chmod(0o755)
        return path


def ending(entries: list[Entry], start: int) -> bytes:
    """Central directory, end records and trailer for a directory at `start`."""
    return directory(entries, start, DosTime()) + trailer_head("0" * 64) + b"f" * 64


def write_sparse(path: Path, launcher: bytes, part: bytes, size: int) -> Path:
    """A bundle whose model is a hole of `size` bytes, and whose base part lies behind it."""
    entries = [place(len(launcher), "models/hole.gguf", size, aligned=True)]
    entries.append(place(entries[0].offset + size, base_name(part), len(part), aligned=False))
    with path.open("wb") as file:
        file.write(launcher)
        for entry in entries:
            file.seek(entry.header_offset)
            file.write(local_header(entry, DosTime()))
        file.write(part)
        file.write(ending(entries, file.tell()))
    path.chmod(0o755)
    assert entries[0].offset % ALIGNMENT == 0
    return path
