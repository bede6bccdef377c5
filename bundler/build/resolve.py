"""Which files a Modelfile means: the Modelfile of a folder, the weights of a FROM.

Looks at the file system and at the first bytes of files; what a GGUF holds is read elsewhere. Path rules: Ollama's.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from bundler.build import modelfolder
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import MAX_SIZE, Command, Modelfile, parse

_READABLE = "check the path and its permissions"
_MODEL_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)*(:[\w.-]+)?")
_OTHER_FORMATS: Final = (
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


def read_modelfile(argument: Path) -> tuple[Path, Modelfile]:
    """The Modelfile that `argument` names: a file, or a folder that holds one called `Modelfile`.

    Raises:
        BundleError: there is none, it cannot be read, or it is wrong.
    """
    path = argument / "Modelfile" if argument.is_dir() else argument
    shown = clipped(str(path), 1000)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError as cause:
        raise BundleError(f"failed to read Modelfile: there is no {shown}", _near(path)) from cause
    except (OSError, ValueError) as cause:
        raise BundleError(f"failed to read Modelfile {shown}: {_reason(cause)}", _READABLE) from cause
    if data.startswith(b"GGUF"):
        raise BundleError(
            f"failed to read Modelfile {shown}: it is a GGUF model",
            f"write a Modelfile with the line: FROM {path.name}",
        )
    format_name = _other_format(data)
    if format_name:
        raise BundleError(f"failed to read Modelfile {shown}: it looks like {format_name}", "give a Modelfile")
    if len(data) > MAX_SIZE:
        raise BundleError(
            f"failed to read Modelfile {shown}: it is larger than {MAX_SIZE >> 20} MiB", "give a Modelfile"
        )
    return path, parse(data, shown)


def weights_file(modelfile: Modelfile, command: Command, folder: Path) -> Path:
    """The GGUF file that a FROM names, relative to `folder`: the file itself, or a folder that holds no other weights.

    Raises:
        ModelfileError: there is no such file, it cannot be read, it is no GGUF or a folder's weights are not one GGUF.
    """
    place, value = command.value_place, clipped(command.value)
    path = _expand(modelfile, command, folder)
    try:
        if path.is_dir():
            path = _only_gguf(modelfile, command, path)
            value = clipped(str(Path(command.value, path.name)))
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise modelfile.error(place, f"{value} is a device, a pipe or a socket", "give a path to a .gguf")
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError as cause:
        if _is_model_name(command.value) and not ("/" in value and path.parent.is_dir()):
            cause_text = f"there is no file {value}, and model names are not supported yet"
            hint = _near(path, _present(path.parent))
            raise modelfile.error(place, cause_text, hint) from cause
        raise modelfile.error(
            place, f"there is no file {clipped(str(path), 1000)}", _near(path, _present(path.parent))
        ) from cause
    except (OSError, ValueError) as cause:
        raise modelfile.error(place, f"{value} cannot be read: {_reason(cause)}", _READABLE) from cause
    if not head.startswith(b"GGUF"):
        raise modelfile.error(place, f"{value} is no GGUF: it {_looks_like(head)}", "give a model file in GGUF format")
    return path


def check_drafts(modelfile: Modelfile, folder: Path) -> None:
    """Check that no DRAFT names what a FROM names.

    Raises:
        ModelfileError: one does.
    """
    models = {os.path.realpath(_expand(modelfile, command, folder)) for command in modelfile.all("from")}
    for command in modelfile.all("draft"):
        if os.path.realpath(_expand(modelfile, command, folder)) in models:
            raise modelfile.error(
                command.value_place,
                f"DRAFT names the same file as FROM: {clipped(command.value)}",
                "name a smaller model with the same vocabulary, or leave DRAFT out",
            )


def _only_gguf(modelfile: Modelfile, command: Command, folder: Path) -> Path:
    """The one GGUF in a folder."""
    place, value = command.value_place, clipped(command.value)
    pattern, files = modelfolder.find(folder)
    if not files:
        raise modelfile.error(place, f"{value} is a folder without weights", "give a path to a .gguf")
    if pattern not in modelfolder.GGUF_CLASSES:
        converted = "convert it with llama.cpp's convert_hf_to_gguf.py, and name the GGUF"
        hint = _present(folder, converted)
        raise modelfile.error(place, f"{value} is a folder with weights in another format ({pattern})", hint)
    if len(files) > 1:
        raise modelfile.error(place, f"{value} is a folder with {len(files)} files {pattern}", _present(folder))
    if modelfolder.leads_out(files[0]):
        raise modelfile.error(
            place,
            f"{clipped(files[0].name)} in {value} is a link that leads out of the folder",
            f"name the file itself: FROM {clipped(os.path.realpath(files[0]), 1000)}",
        )
    return files[0]


def _expand(modelfile: Modelfile, command: Command, folder: Path) -> Path:
    """Absolute, `~`, `~/x`, `~user/x`, else relative to the folder; `..` takes away the name before it, link or not."""
    path = Path(command.value)
    try:
        if command.value.startswith("~"):
            return Path(os.path.normpath(path.expanduser()))
        return Path(os.path.normpath(folder / path))
    except RuntimeError as cause:
        raise modelfile.error(
            command.value_place, f"the home folder of {path.parts[0]} is not known", "give the whole path"
        ) from cause


def _is_model_name(value: str) -> bool:
    return _MODEL_NAME.fullmatch(value) is not None and not value.lower().endswith(".gguf")


def _near(path: Path, otherwise: str = "check the path") -> str:
    """A hint with the names in the folder that are most like the missing one."""
    if not path.parent.is_dir():
        return f"there is no folder {clipped(str(path.parent), 1000)} either"
    names = {name.lower(): name for name in _names(path.parent)}
    near = [clipped(names[name]) for name in get_close_matches(path.name.lower(), names, 3)]
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def _present(folder: Path, otherwise: str = "give a path to a .gguf") -> str:
    models = [clipped(name) for name in _names(folder) if name.lower().endswith(".gguf")]
    if not models:
        return otherwise
    return f"name one of them: {', '.join(models[:5])}" if len(models) > 1 else f"the folder has {models[0]}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []


def _other_format(head: bytes) -> str:
    return next((name for magic, name in _OTHER_FORMATS if head.startswith(magic)), "")


def _looks_like(head: bytes) -> str:
    name = _other_format(head)
    if name:
        return f"looks like {name}"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "looks like safetensors"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html")):
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


def _reason(cause: OSError | ValueError) -> str:
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
