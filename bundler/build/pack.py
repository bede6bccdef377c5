"""Make the runtime pack of this machine: launcher, frozen application, llama.cpp's libraries, C library, notices.

    launch.txt                    what the launcher must know
    app/bundle-runtime, _internal/   the frozen application
    lib/                          llama.cpp: libllama, libggml, one libggml-cpu-* for each CPU variant
    cxx/  libc/                   the compiler's C++ runtime; dynamic loader and C library (Linux)

That tree is the base part. Backends for GPUs come as parts of their own, beside it. Where packs are kept is `packs`'
business.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path

from bundler import __version__
from bundler.build import (
    cache,
    closure,
    components,
    elf,
    freeze,
    launcher,
    libc,
    libraries,
    llamacpp,
    locks,
    preflight,
    sbom,
    tarball,
    toolchain,
    zig,
)
from bundler.build.progress import Progress
from bundler.build.sbom import Component
from bundler.errors import BundleError
from bundler.formats import packfile, targets
from bundler.formats.packfile import Entry, PackFile, Part

_RECIPE = ("closure", "components", "elf", "freeze", "libc", "pack", "sbom", "tarball")
"""The modules of this package that decide what a pack looks like: when one changes, packs are made anew."""


def inputs() -> dict[str, str]:
    """Everything that the pack of this machine is made from, by name; takes milliseconds.

    Raises:
        BundleError: something that building needs is missing.
    """
    lacks = preflight.check()
    if lacks:
        raise BundleError(*preflight.message(lacks))
    target = targets.host()
    facts = {
        "target": target,
        "application": freeze.key(),
        "libraries": libraries.key(),
        "python": f"{sys.version} {platform.machine()}",
        "launcher": launcher.key(target),
        "recipe": _digest([Path(__file__).with_name(f"{name}.py") for name in _RECIPE]),
    }
    if sys.platform == "linux":
        found = libc.host()
        facts["libc"] = _digest([*found.files.values(), *found.cxx.values()])
    return facts


def build(folder: Path, facts: dict[str, str], progress: Progress) -> None:
    """Make the pack of this machine from `facts` (see `inputs`) as the new folder `folder`, whose lock is held.

    Raises:
        BundleError: a step failed; `folder` is then as it was.
    """
    target = targets.host()
    libs = libraries.build(progress)
    sdist = llamacpp.source(progress)
    program = launcher.build_launcher(target, cache.root(), progress)
    identity = packfile.identify(facts)
    with cache.scratch(f"freeze-{identity[:16]}") as work, cache.replacing(folder) as pack:
        frozen = freeze.freeze(sdist, work, progress)
        brought = _lay_out(work / "root", frozen, libs)
        base = _compress(work / "root", "base", pack, progress)
        executable = pack / _launcher_name(target)
        shutil.copyfile(program, executable)
        executable.chmod(0o755)
        notices = _write_notices(pack, identity, _components(frozen, brought, sdist))
        description = PackFile(
            id=identity,
            target=target,
            llama_cpp=llamacpp.version(),
            bundler=__version__,
            parts={"base": base},
            launcher=_entry(pack, executable),
            notices=[_entry(pack, path) for path in notices],
            inputs=facts,
        )
        (pack / packfile.NAME).write_bytes(packfile.encode(description))


def _lay_out(root: Path, frozen: freeze.Frozen, libs: Path) -> libc.Libc | None:
    """Put together the tree of the base part; returns the C library in it, where one is brought."""
    root.mkdir()
    frozen.folder.rename(root / "app")
    shutil.copytree(libs, root / "lib", symlinks=True)
    settings = {"format": "1", "exe": f"app/{freeze.NAME}", "libs": "app/_internal:lib"}
    brought = None
    if sys.platform == "win32":
        settings["exe"] += ".exe"
    if sys.platform == "linux":
        brought = libc.host()
        libc.copy(brought, root)
        for name in (*brought.files, *brought.cxx):
            (root / "app" / "_internal" / name).unlink(missing_ok=True)
        _forget_folders(root / "app")
        settings |= {
            "libs": "app/_internal:lib:cxx",
            "loader": f"libc/{brought.loader}",
            "libc": "libc",
            "glibc": brought.version,
        }
        closure.check(root)
    (root / "launch.txt").write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
    return brought


def _forget_folders(app: Path) -> None:
    """Take the search paths of the build machine out of everything that was copied from its Python."""
    for path in app.rglob("*"):
        if path.is_file() and not path.is_symlink() and elf.is_elf(path):
            runpath = elf.read(path).runpath
            if any(entry.startswith("/") for entry in runpath.split(":")):
                elf.clear_runpath(path)


def _components(frozen: freeze.Frozen, brought: libc.Libc | None, sdist: Path) -> list[Component]:
    environment = toolchain.environment(locks.path("freeze"))
    found = [path for path in frozen.libraries if not path.name.startswith("libpython")]
    if brought:
        found += [*brought.files.values(), *brought.cxx.values()]
    return [
        components.of_python(),
        *components.of_llama_cpp(sdist, llamacpp.version()),
        *components.of_packages(environment, frozen.modules - {"bundler", "llama_cpp"}),
        *components.of_system(found),
        *components.of_launcher(
            toolchain.environment(locks.path(zig.LOCK)),
            locks.read(locks.path("zstandard"))[0].version,
            launcher.zstd_license(),
            targets.host(),
        ),
    ]


def _write_notices(pack: Path, identity: str, found: list[Component]) -> list[Path]:
    """Write the bill of materials and a licence text per component; returns the files."""
    bill = pack / packfile.SBOM
    bill.write_bytes(sbom.encode(freeze.NAME, __version__, identity, found))
    (pack / packfile.LICENSES).mkdir()
    texts = {pack / packfile.LICENSES / f"{component.name}.txt": component.text for component in found}
    for path, text in texts.items():
        if text:
            path.write_text(text, encoding="utf-8", newline="\n")
    return [bill, *sorted(path for path, text in texts.items() if text)]


def _compress(root: Path, name: str, pack: Path, progress: Progress) -> Part:
    unnamed = pack / f"{name}.tar.zst"
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    with progress.stage("Compressing the runtime", total) as stage:
        unpacked_size = tarball.pack(root, unnamed, stage.advance)
    digest = _sha256(unnamed)
    part = unnamed.rename(pack / f"{name}-{digest}.tar.zst")
    return Part(file=part.name, sha256=digest, size=part.stat().st_size, unpacked_size=unpacked_size)


def _entry(pack: Path, path: Path) -> Entry:
    return Entry(file=path.relative_to(pack).as_posix(), sha256=_sha256(path), size=path.stat().st_size)


def _launcher_name(target: str) -> str:
    return "launcher.exe" if target.startswith("windows-") else "launcher"


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256("".join(_sha256(path) for path in paths).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
