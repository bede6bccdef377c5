"""The file: a native executable that is a ZIP64 archive too.

    0            launcher
                 Modelfile, runtime parts, licences: small members, STORED
    64 KiB-      models/<name>.gguf: STORED, the data at a multiple of 65536
    aligned      bundle.json: the manifest, last member
    end          central directory, ZIP64 end records where needed, end record whose comment is the trailer

1. Offsets count from byte 0 of the file; members are STORED, their gaps are zero bytes before a local header.
2. The trailer is ASCII: `bundle-trailer 1 manifest=<sha256 of bundle.json> outside=<sha256>`, the archive's
   last bytes.
3. `outside` covers, in file order, every byte from 0 to its own first digit that is in no member's data.
4. The archive is found from the end; bytes after it (a code signature) are tolerated and not covered.

Pure: layout and headers are values, reading goes through a `Source`. Knows no paths, sockets or digests of models.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence

import msgspec

from bundler.errors import BundleError
from bundler.formats.source import Source

ALIGNMENT = 65536
MANIFEST = "bundle.json"

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC = 0x04034B50, 0x02014B50
_END64_MAGIC, _LOCATOR64_MAGIC, _END_MAGIC = 0x06064B50, 0x07064B50, 0x06054B50
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
_UTF8 = 0x0800

_TRAILER = b"bundle-trailer 1 manifest=%s outside=%s"
_TRAILER_START = b"bundle-trailer "
_TRAILER_LENGTH = len(_TRAILER % (b"0" * 64, b"0" * 64))
_MAX_SIGNATURE = 64 << 20
_MAX_DIRECTORY = 64 << 20


class NoBundleError(BundleError):
    """The bytes do not end as a bundle does."""


class Entry(msgspec.Struct, frozen=True):
    """One member as the directory describes it; `offset` is the first byte of its data."""

    name: str
    header_offset: int
    offset: int
    size: int
    crc32: int


class Archive(msgspec.Struct, frozen=True):
    """What the end of the file says: the members in file order and the two digests of the trailer."""

    entries: dict[str, Entry]
    manifest_sha256: str
    outside_sha256: str
    outside_end: int
    """First byte of the trailer's last field, where the `outside` digest's coverage ends."""
    end: int
    """First byte after the archive; what follows is a signature or foreign."""


class DosTime(msgspec.Struct, frozen=True):
    """A member's time stamp as ZIP stores it (two-second steps, from 1980)."""

    date: int = 0x0021
    time: int = 0

    @classmethod
    def from_epoch(cls, seconds: int) -> DosTime:
        """From Unix seconds, UTC, clamped to what ZIP can express (1980 to 2107)."""
        moment = time.gmtime(min(max(seconds, 315532800), 4354819198))
        return cls(
            (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday,
            moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2,
        )


def place(position: int, name: str, size: int, *, aligned: bool) -> Entry:
    """Where a member of `size` bytes goes when the file has reached `position`; its CRC is not known yet."""
    header = _LOCAL.size + len(name.encode()) + (20 if size >= _MAX32 else 0)
    offset = position + header
    if aligned:
        offset = -(-offset // ALIGNMENT) * ALIGNMENT
    return Entry(name, offset - header, offset, size, 0)


def local_header(entry: Entry, stamp: DosTime) -> bytes:
    """The bytes from `entry.header_offset` to `entry.offset`."""
    name = entry.name.encode()
    large = entry.size >= _MAX32
    size = _MAX32 if large else entry.size
    extra = struct.pack("<HHQQ", 1, 16, entry.size, entry.size) if large else b""
    return (
        _LOCAL.pack(
            _LOCAL_MAGIC,
            45 if large else 20,
            _flags(name),
            0,
            stamp.time,
            stamp.date,
            entry.crc32,
            size,
            size,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def directory(entries: Sequence[Entry], start: int, stamp: DosTime) -> bytes:
    """The central directory that begins at `start`, and the end records up to the ZIP comment (the trailer)."""
    body = b"".join(_central(entry, stamp) for entry in entries)
    count, size = len(entries), len(body)
    tail = b""
    if count >= _MAX16 or start >= _MAX32 or size >= _MAX32:
        tail = _END64.pack(
            _END64_MAGIC, _END64.size - 12, 3 << 8 | 45, 45, 0, 0, count, count, size, start
        ) + _LOCATOR64.pack(_LOCATOR64_MAGIC, 0, start + size, 1)
    end = _END.pack(
        _END_MAGIC,
        0,
        0,
        min(count, _MAX16),
        min(count, _MAX16),
        min(size, _MAX32),
        min(start, _MAX32),
        _TRAILER_LENGTH,
    )
    return body + tail + end


def trailer_head(manifest_sha256: str) -> bytes:
    """The trailer up to the `outside` digest, which follows as 64 hexadecimal digits and ends the archive."""
    return _TRAILER[: -len(b"%s")] % manifest_sha256.encode()


def _central(entry: Entry, stamp: DosTime) -> bytes:
    name = entry.name.encode()
    large = entry.size >= _MAX32
    far = entry.header_offset >= _MAX32
    values = ([entry.size, entry.size] if large else []) + ([entry.header_offset] if far else [])
    extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
    size = _MAX32 if large else entry.size
    return (
        _CENTRAL.pack(
            _CENTRAL_MAGIC,
            3 << 8 | 45,
            45 if values else 20,
            _flags(name),
            0,
            stamp.time,
            stamp.date,
            entry.crc32,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            0o100644 << 16,
            _MAX32 if far else entry.header_offset,
        )
        + name
        + extra
    )


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8


def read_archive(source: Source) -> Archive:
    """Find and read the archive of a bundle from the end of its file.

    Raises:
        NoBundleError: there is no bundle in the file, or its end was cut off.
        BundleError: it is damaged.
    """
    end_offset, trailer = _find_end(source)
    count, size, start = _end_records(source, end_offset)
    if size > _MAX_DIRECTORY or start + size > end_offset:
        raise _damaged(f"its directory would lie at {start} and take {size} bytes")
    entries = _read_directory(source.read_at(start, size), count, start)
    manifest_sha256, outside_sha256 = trailer
    entries = [_locate(source, entry) for entry in entries]
    position = 0
    for entry in entries:
        if entry.header_offset < position or entry.offset + entry.size > start:
            raise _damaged(f"member {entry.name} lies outside its place")
        position = entry.offset + entry.size
    end = end_offset + _END.size + _TRAILER_LENGTH
    return Archive({entry.name: entry for entry in entries}, manifest_sha256, outside_sha256, end - 64, end)


def launcher_size(archive: Archive) -> int:
    """Bytes before the first member: the launcher."""
    return min((entry.header_offset for entry in archive.entries.values()), default=0)


def outside_ranges(archive: Archive) -> Iterator[tuple[int, int]]:
    """The (offset, length) ranges that the `outside` digest covers, in file order."""
    position = 0
    for entry in archive.entries.values():
        yield position, entry.offset - position
        position = entry.offset + entry.size
    yield position, archive.outside_end - position


def _find_end(source: Source) -> tuple[int, tuple[str, str]]:
    """Offset of the end record, and the trailer's two digests; the last trailer in the file wins."""
    window = 1 << 16
    overlap = _END.size + _TRAILER_LENGTH
    upper = source.size
    lowest = max(0, upper - _MAX_SIGNATURE)
    while upper > lowest:
        lower = max(lowest, upper - window)
        data = source.read_at(lower, min(upper + overlap, source.size) - lower)
        at = data.rfind(_TRAILER_START)
        while at >= 0:
            found = _trailer_at(data, at, lower)
            if found:
                return found
            at = data.rfind(_TRAILER_START, 0, at)
        upper = lower
        window = 1 << 20
    raise NoBundleError(
        "failed to find a bundle in the file: its end is not there",
        "the file is no bundle, or was cut short while it was copied; compare its size with the original's",
    )


def _trailer_at(data: bytes, at: int, base: int) -> tuple[int, tuple[str, str]] | None:
    begin = at - _END.size
    text = data[at : at + _TRAILER_LENGTH]
    if begin < 0 or len(text) < _TRAILER_LENGTH:
        return None
    if int.from_bytes(data[begin : begin + 4], "little") != _END_MAGIC:
        return None
    words = text.split(b" ")
    if words[:1] + words[1:2] != [b"bundle-trailer", b"1"]:
        newer = len(words) > 1 and words[1].isdigit() and int(words[1]) > 1
        if newer:
            raise BundleError(
                f"failed to read the bundle: its container format is {words[1].decode()}, and this program knows 1",
                "use the version of bundle that built the file, or a newer one",
            )
        return None
    if len(words) != 4 or not words[2].startswith(b"manifest=") or not words[3].startswith(b"outside="):
        return None
    digests = words[2][len(b"manifest=") :], words[3][len(b"outside=") :]
    if any(len(digest) != 64 or digest.strip(b"0123456789abcdef") for digest in digests):
        raise _damaged("its trailer holds no digests")
    return base + begin, (digests[0].decode(), digests[1].decode())


def _end_records(source: Source, end_offset: int) -> tuple[int, int, int]:
    """Member count, directory size and directory offset."""
    _, disk, start_disk, here, count, size, start, comment = _END.unpack(source.read_at(end_offset, _END.size))
    if disk or start_disk or here != count or comment != _TRAILER_LENGTH:
        raise _damaged("its end record contradicts itself")
    if count != _MAX16 and _MAX32 not in (size, start):
        return count, size, start
    locator = source.read_at(end_offset - _LOCATOR64.size, _LOCATOR64.size)
    if end_offset < _LOCATOR64.size + _END64.size or len(locator) != _LOCATOR64.size:
        raise _damaged("its ZIP64 end record is missing")
    magic, _, at, _ = _LOCATOR64.unpack(locator)
    if magic != _LOCATOR64_MAGIC or at != end_offset - _LOCATOR64.size - _END64.size:
        raise _damaged("its ZIP64 end record is not where it belongs")
    magic, _, _, _, _, _, here, count, size, start = _END64.unpack(source.read_at(at, _END64.size))
    if magic != _END64_MAGIC or here != count:
        raise _damaged("its ZIP64 end record contradicts itself")
    return count, size, start


def _read_directory(data: bytes, count: int, start: int) -> list[Entry]:
    """Entries in directory order; `offset` still holds 0, `_locate` finds it."""
    entries: list[Entry] = []
    names: set[str] = set()
    position = 0
    while position < len(data):
        if len(data) - position < _CENTRAL.size:
            raise _damaged("its directory ends in the middle of an entry")
        fields = _CENTRAL.unpack_from(data, position)
        (magic, _, _, _, method, _, _, crc, packed, size, name_length, extra_length, comment_length) = fields[:13]
        header_offset = fields[16]
        if magic != _CENTRAL_MAGIC:
            raise _damaged(f"its directory is broken at byte {start + position}")
        position += _CENTRAL.size
        raw = data[position : position + name_length]
        extra = data[position + name_length : position + name_length + extra_length]
        position += name_length + extra_length + comment_length
        try:
            name = raw.decode()
        except UnicodeDecodeError as cause:
            raise _damaged(f"a member's name at byte {start + position} is no text") from cause
        wide = _wide_values(extra, [size == _MAX32, packed == _MAX32, header_offset == _MAX32], name)
        size, packed = wide[0] if size == _MAX32 else size, wide[1] if packed == _MAX32 else packed
        header_offset = wide[2] if header_offset == _MAX32 else header_offset
        if method != 0 or size != packed:
            raise _damaged(f"member {name} is compressed, which bundles never do")
        if name in names or not is_safe_name(name):
            raise _damaged(f"member name {name!r} is not allowed")
        names.add(name)
        entries.append(Entry(name, header_offset, 0, size, crc))
    if len(entries) != count or position != len(data):
        raise _damaged("its directory does not hold the members it counts")
    return entries


def _wide_values(extra: bytes, wanted: list[bool], name: str) -> list[int]:
    """The 64-bit values of the ZIP64 extra field for the fields wanted, 0 for the others."""
    if not any(wanted):
        return [0] * len(wanted)
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1 and length >= 8 * sum(wanted) and position + 4 + length <= len(extra):
            values = iter(struct.unpack_from(f"<{sum(wanted)}Q", extra, position + 4))
            return [next(values) if want else 0 for want in wanted]
        position += 4 + length
    raise _damaged(f"the 64-bit sizes of member {name} are missing")


def _locate(source: Source, entry: Entry) -> Entry:
    header = source.read_at(entry.header_offset, _LOCAL.size)
    if len(header) != _LOCAL.size:
        raise _damaged(f"the header of member {entry.name} lies beyond the end of the file")
    fields = _LOCAL.unpack(header)
    if fields[0] != _LOCAL_MAGIC:
        raise _damaged(f"the header of member {entry.name} at byte {entry.header_offset} is broken")
    offset = entry.header_offset + _LOCAL.size + fields[9] + fields[10]
    return Entry(entry.name, entry.header_offset, offset, entry.size, entry.crc32)


def is_safe_name(name: str) -> bool:
    """A relative path with forward slashes that stays inside the folder it is extracted to, on every system."""
    if not name or name.startswith("/") or "\\" in name or ":" in name or any(ord(char) < 32 for char in name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _damaged(cause: str) -> BundleError:
    return BundleError(
        f"failed to read the bundle: {cause}", "the file is damaged or was cut short; get it again from its source"
    )
