"""llama.cpp, compiled from the sdist of llama-cpp-python: the runtime's libraries, and its peers for measurements.

One build tree per key (source, options, compiler) in the cache. The tree stays, so that an interrupted build goes on
where it stopped and the peer programs share the libraries' objects. Knows nothing of packs.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bundler.build import cache, compiler, locks, sdists, toolchain
from bundler.build.progress import Progress
from bundler.errors import BundleError

OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_INSTALL_RPATH": "@loader_path" if sys.platform == "darwin" else "$ORIGIN",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "GGML_OPENMP": "OFF",
    "GGML_CCACHE": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_COMMON": "ON",
    "LLAMA_BUILD_TOOLS": "ON",
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
}
"""Configured once for libraries and programs; what is compiled is chosen by target, so the programs cost nothing here.
(`LLAMA_CURL` is gone from this llama.cpp; HTTPS downloads hang on `LLAMA_OPENSSL` alone.)"""

TOOLS = ("llama-server", "llama-quantize", "llama-bench", "llama-batched-bench")


def version() -> str:
    """The version of llama-cpp-python whose llama.cpp this is."""
    return _pin().version


def key() -> str:
    """The content address of the libraries: 64 hex digits over source, options and compiler.

    Raises:
        BundleError: there is no compiler.
    """
    compilers = [f"{platform.machine()} {compiler.identity(language)}" for language in ("C", "C++")]
    facts = {"source": _pin().sha256, "options": OPTIONS, "compiler": compilers, "recipe": 1}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def build(progress: Progress) -> Path:
    """The folder of llama.cpp's shared libraries, compiled on the first call.

    Every CPU variant of this architecture is there and nothing else, stripped, under the names they are loaded by.

    Raises:
        BundleError: no compiler, no network for the first download, or the compilation failed.
    """
    finished = cache.folder("llamacpp", key()[:16]) / "lib"
    if finished.is_dir():
        return finished
    with cache.locked(finished):
        if not finished.is_dir():
            tree = _compile(finished.parent / "tree", ["llama"], "Compiling llama.cpp", progress)
            with cache.replacing(finished) as folder:
                _collect(tree / "bin", folder)
    return finished


def build_tools(progress: Progress, names: Sequence[str] = TOOLS) -> Path:
    """The folder with the programs `names`, some of `TOOLS`, and the libraries they load.

    They are for measurements and tests, never part of a pack.

    Raises:
        BundleError: as for `build`.
    """
    libraries = build(progress)
    every = libraries.parent / "tools"
    stamp = every if names == TOOLS else every.with_name("-".join(["tools", *names]))
    tree = libraries.parent / "tree"
    with cache.locked(libraries):
        if not every.exists() and not stamp.exists():
            _compile(tree, list(names), f"Compiling {names[0]}{' and its kin' if names[1:] else ''}", progress)
            stamp.touch()
    return tree / "bin"


def source(progress: Progress) -> Path:
    """The unpacked sdist of llama-cpp-python, downloaded and checked on the first call.

    Raises:
        BundleError: it cannot be downloaded, or is not the pinned archive.
    """
    (digest,) = _pin().sha256
    folder = cache.folder("sources") / f"llama-cpp-python-{version()}-{digest[:16]}"
    if folder.is_dir():
        return folder
    with cache.locked(folder):
        if not folder.is_dir():
            archive = sdists.archive("llamacpp", "cmake", progress)
            with progress.stage("Unpacking the source of llama.cpp"), cache.replacing(folder) as work:
                with tarfile.open(archive) as tar:
                    if hasattr(tarfile, "data_filter"):
                        tar.extractall(work, filter="data")
                    else:  # Python before 3.11.4, as in Debian 12
                        tar.extractall(work)  # noqa: S202 - the archive is the pinned one
                (top,) = work.iterdir()
                for entry in top.iterdir():
                    entry.rename(work / entry.name)
                top.rmdir()
    return folder


def _pin() -> locks.Pin:
    (pin,) = locks.read(locks.path("llamacpp"))
    return pin


def _compile(tree: Path, targets: list[str], title: str, progress: Progress) -> Path:
    """Bring `targets` up to date in the build tree `tree`, holding its lock."""
    sources = source(progress) / "vendor" / "llama.cpp"
    environment = toolchain.environment(locks.path("cmake"))
    ninja = toolchain.program(environment, "ninja")
    log = tree.with_suffix(".log")
    # Without it CMake would ask git for a commit, and find the repository that the cache happens to lie in.
    process_environment = {**os.environ, "GIT_DIR": os.devnull, "NINJA_STATUS": "[%f/%t] "}
    if not (tree / "build.ninja").exists():
        shutil.rmtree(tree, ignore_errors=True)
        maps = f"-ffile-prefix-map={sources}=llama.cpp -ffile-prefix-map={tree}=build"
        options = {**OPTIONS, "CMAKE_C_FLAGS": maps, "CMAKE_CXX_FLAGS": maps, "CMAKE_MAKE_PROGRAM": str(ninja)}
        configure = [str(toolchain.program(environment, "cmake")), "-G", "Ninja", "-S", str(sources), "-B", str(tree)]
        with progress.stage("Configuring llama.cpp"), log.open("w", encoding="utf-8") as output:
            status = subprocess.run(
                [*configure, *(f"-D{name}={value}" for name, value in options.items())],
                env=process_environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
        if status != 0:
            (tree / "build.ninja").unlink(missing_ok=True)
            raise _failed("configure llama.cpp", log)
    _run_ninja([str(ninja), "-C", str(tree), *targets], process_environment, log, title, progress)
    return tree


def _run_ninja(command: list[str], environment: dict[str, str], log: Path, title: str, progress: Progress) -> None:
    """Run ninja, turning its `[done/total]` lines into steps; all of its output goes to `log`."""
    plan = subprocess.run([*command, "-n"], env=environment, capture_output=True, text=True)
    steps = [int(total) for total in re.findall(r"^\[\d+/(\d+)\]", plan.stdout, re.MULTILINE)]
    with progress.stage(title, steps[-1] if steps else None, "steps") as stage, log.open("a", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                out.write(line)
                if re.match(r"\[\d+/\d+\]", line):
                    stage.advance(1)
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise _failed("compile llama.cpp", log)


def _collect(built: Path, folder: Path) -> None:
    """Copy the libraries, stripped, under their sonames; the shorter names they are opened by stay links."""
    for path in sorted(built.iterdir()):
        if not re.match(r"(lib)?(llama|ggml|ggml-base|ggml-cpu-[\w.]+)\.(so|dll|dylib|\d)", path.name):
            continue
        if path.is_symlink() and (built / os.readlink(path)).is_symlink():
            (folder / path.name).symlink_to(os.readlink(path))
        elif not re.search(r"\.\d+\.\d+", path.name):
            shutil.copy(path, folder / path.name)
    if shutil.which("strip"):
        flag = "-x" if sys.platform == "darwin" else "--strip-unneeded"
        libraries = [str(path) for path in sorted(folder.iterdir()) if not path.is_symlink()]
        subprocess.run(["strip", flag, *libraries], check=True)


def _failed(what: str, log: Path) -> BundleError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    cause = next((line for line in lines if re.search(r"\b(fatal )?error\b", line, re.IGNORECASE)), lines[-1:] or [""])
    return BundleError(f"failed to {what}: {cause if isinstance(cause, str) else cause[0]}", f"the whole log is {log}")
