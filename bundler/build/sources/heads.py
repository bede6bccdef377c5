"""What a file is by its first bytes."""

from __future__ import annotations

from typing import Final

GGUF: Final = b"GGUF"
SIZE: Final = 1024
"""First bytes that are looked at."""

_OTHERS: Final = (
    (b"PK\x03\x04", "a ZIP archive, as PyTorch checkpoints are"),
    (b"ggjt", "an old llama.cpp model (GGJT)"),
    (b"tjgg", "an old llama.cpp model (GGJT)"),
    (b"lmgg", "an old llama.cpp model (GGML)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"version https://git-lfs", "a Git LFS pointer, and not the file it points to"),
    (b"\x7fELF", "a Linux program"),
    (b"MZ", "a Windows program"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF document"),
)


def other_format(head: bytes) -> str:
    """The name of a known format that is neither GGUF nor text; empty where it is none."""
    return next((name for magic, name in _OTHERS if head.startswith(magic)), "")


def is_web_page(head: bytes) -> bool:
    return head.lstrip().lower().startswith((b"<!doctype", b"<html"))


def looks_like(head: bytes) -> str:
    """What to say of a file that is no GGUF, beginning with a verb."""
    name = other_format(head)
    if name:
        return f"looks like {name}"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "looks like safetensors"
    if is_web_page(head):
        return "looks like a web page: the download went wrong"
    if not head:
        return "is empty"
    if not head.strip(b"\0"):
        return "begins with zeros: the download did not finish"
    try:
        head.decode()
    except UnicodeDecodeError as cause:
        if cause.start < len(head) - 4:
            return f"begins with the bytes {head[:4].hex(' ')}"
    return "looks like a text file"
