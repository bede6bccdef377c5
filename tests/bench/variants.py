"""What a new system prompt for a bundle costs in seconds and bytes, where weights are copied and where shared."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bundler.build.assemble import build_bundle
from bundler.build.progress import Silent
from tests.bench import subjects

FILESYSTEMS = ("xfs", "btrfs")


def bench(model: str, folder: Path, rounds: int) -> dict[str, object]:
    """Seconds and bytes of a variant, by how the weights come; prints them."""
    figures = {"copied": _variants(model, folder / "copied", rounds)}
    for filesystem in FILESYSTEMS:
        with _mounted(filesystem, folder, 4 * subjects.model(model).stat().st_size) as place:
            if place:
                figures[f"shared, {filesystem}"] = _variants(model, place, rounds)
    print(f"{'a new system prompt':44}{'seconds':>12}{'bytes written':>18}")
    for name, one in figures.items():
        print(f"  weights {name:34}{one['seconds']:12.2f}{one['written']:18,.0f}")
    return {**figures}


def _variants(model: str, folder: Path, rounds: int) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(subjects.model(model), folder / "model.gguf")
    _build(folder, "FROM ./model.gguf\nSYSTEM One.\n", "base.exe")
    seconds, written = [], 0
    for number in range(rounds):
        begin = time.perf_counter()
        written = _build(folder, f"FROM ./base.exe\nSYSTEM Number {number}.\n", "new.exe")
        seconds.append(time.perf_counter() - begin)
    shutil.rmtree(folder, ignore_errors=True)
    return {"seconds": median(seconds), "written": written}


def _build(folder: Path, modelfile: str, output: str) -> int:
    """Build, flushed to the disk; the bytes that do not share their blocks with other files."""
    (folder / "Modelfile").write_text(modelfile, encoding="utf-8")
    built = build_bundle(
        folder / "Modelfile",
        folder / output,
        name="model",
        target=None,
        pack=None,
        external_weights=False,
        progress=Silent(),
        warn=lambda line: None,
    )
    return built.written.size - built.written.shared


@contextmanager
def _mounted(filesystem: str, folder: Path, size: int) -> Iterator[Path | None]:
    """A filesystem of `size` bytes on a loop device; None where this machine makes or mounts none."""
    make = shutil.which(f"mkfs.{filesystem}", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    image, place = folder / f"{filesystem}.img", folder / filesystem
    if make is None or os.geteuid() != 0:
        print(f"no {filesystem}: needs mkfs.{filesystem} and a user who may mount")
        yield None
        return
    with image.open("wb") as file:
        file.truncate(size)
    place.mkdir()
    subprocess.run([make, "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False).returncode != 0:
        print(f"no {filesystem}: this machine mounts none")
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        image.unlink()
