"""Who is in a runtime pack: names, versions and licences, as the installed packages and the system tell them."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from bundler.build.sbom import Component

_CLASSIFIERS = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "License :: OSI Approved :: GNU General Public License v2 (GPLv2)": "GPL-2.0-or-later WITH Bootloader-exception",
}
"""For packages whose metadata has no SPDX expression yet; the GPL one is PyInstaller, whose bootloader is frozen in."""

_SYSTEM = {
    "glibc": "LGPL-2.1-or-later",
    "gcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "openssl": "Apache-2.0",
    "zlib": "Zlib",
    "bzip2": "bzip2-1.0.6",
    "libffi": "MIT",
    "util-linux": "BSD-3-Clause",
    "expat": "MIT",
}
"""Licences of the libraries that come from the system, by the first word of their source package."""


def of_packages(environment: Path, modules: Iterable[str]) -> list[Component]:
    """The distributions installed in `environment` that provide any of the top-level `modules`, and PyInstaller."""
    wanted = set(modules)
    folders = [str(path) for path in environment.glob("lib/python*/site-packages")] or [
        str(environment / "Lib" / "site-packages")
    ]
    return [
        _package(distribution)
        for distribution in distributions(path=folders)
        if distribution.name.lower() == "pyinstaller"
        or any(_module(file.parts[0]) in wanted for file in distribution.files or [] if ".." not in file.parts)
    ]


def of_llama_cpp(sdist: Path, version: str) -> list[Component]:
    """llama.cpp and its binding, from the unpacked sdist of llama-cpp-python."""
    vendored = sdist / "vendor" / "llama.cpp"
    return [
        Component(
            "llama-cpp-python",
            version,
            "MIT",
            f"pkg:pypi/llama-cpp-python@{version}",
            _texts([sdist / "LICENSE.md"]),
        ),
        Component(
            "llama.cpp",
            f"as in llama-cpp-python {version}",
            "MIT",
            f"pkg:generic/llama.cpp?vendored-by=llama-cpp-python%40{version}",
            _texts([vendored / "LICENSE", *sorted((vendored / "licenses").glob("*"))]),
        ),
    ]


def of_python() -> Component:
    """The interpreter that runs this, whose library is frozen in."""
    version = platform.python_version()
    folder = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        Path(sys.base_prefix, "lib", folder, "LICENSE.txt"),
        Path(sys.base_prefix, "LICENSE.txt"),
        Path("/usr/share/doc", folder, "copyright"),
    ]
    text = _texts([path for path in candidates if path.exists()][:1])
    return Component("CPython", version, "Python-2.0", f"pkg:generic/cpython@{version}", text)


def of_launcher(environment: Path, zstd_version: str, zstd_license: str, target: str) -> list[Component]:
    """What is linked into the launcher: zstd's decoder, and the C library that comes with Zig.

    `environment` holds the `ziglang` package; `zstd_version` is that of PyPI's `zstandard`, whose sdist holds zstd.
    """
    zig = next(environment.glob("**/site-packages/ziglang"))
    (version,) = {item.version for item in distributions(path=[str(zig.parent)]) if item.name == "ziglang"}
    found = [
        Component(
            "zstd",
            f"as in zstandard {zstd_version}",
            "BSD-3-Clause",
            f"pkg:generic/zstd?vendored-by=zstandard%40{zstd_version}",
            zstd_license,
        ),
        Component("zig", version, "MIT", f"pkg:pypi/ziglang@{version}", _texts([zig / "LICENSE"])),
    ]
    for system, name, license_id, file in (
        ("linux", "musl", "MIT", "musl/COPYRIGHT"),
        ("windows", "mingw-w64", "ZPL-2.1", "mingw/COPYING"),
    ):
        if target.startswith(system):
            purl = f"pkg:generic/{name}?vendored-by=ziglang%40{version}"
            text = _texts([zig / "lib" / "libc" / file])
            found.append(Component(name, f"as in ziglang {version}", license_id, purl, text))
    return found


def of_system(libraries: Iterable[Path]) -> list[Component]:
    """The source packages of the distribution that the shared `libraries` come from, each once.

    Where no Debian package manager knows a file, the library itself stands for its package, without a version.
    """
    found: dict[str, Component] = {}
    for path in libraries:
        component = _debian(path) or Component(path.name, "unknown", "", f"pkg:generic/{path.name}", "")
        found.setdefault(component.purl, component)
    return list(found.values())


def _package(distribution: Distribution) -> Component:
    metadata = distribution.metadata
    name = distribution.name.lower().replace("_", "-")
    classifiers = metadata.get_all("Classifier") or []
    expression = (metadata.get_all("License-Expression") or [""])[0] or next(
        (_CLASSIFIERS[classifier] for classifier in classifiers if classifier in _CLASSIFIERS), ""
    )
    files = [
        Path(str(distribution.locate_file(file)))
        for file in distribution.files or []
        if ".dist-info" in file.parts[0]
        and (len(file.parts) > 2 or file.name.upper().startswith(("LICEN", "COPYING", "NOTICE")))
    ]
    purl = f"pkg:pypi/{name}@{distribution.version}"
    return Component(name, distribution.version, expression, purl, _texts(sorted(files)))


def _module(entry: str) -> str:
    return entry.partition(".")[0]


def _debian(library: Path) -> Component | None:
    if shutil.which("dpkg-query") is None:
        return None
    resolved = str(library.resolve())
    for path in dict.fromkeys((str(library), resolved, resolved.removeprefix("/usr"), f"/usr{resolved}")):
        owner = _query("--search", path).partition(": ")[0].partition(",")[0]
        if owner:
            break
    else:
        return None
    fields = _query("--show", "--showformat=${source:Package} ${source:Version}", owner).split()
    if len(fields) != 2:
        return None
    source, version = fields
    family = source.split("-")[0].rstrip("0123456789.") if source not in _SYSTEM else source
    text = _texts([Path("/usr/share/doc", owner.partition(":")[0], "copyright")])
    return Component(
        source, version, _SYSTEM.get(family, ""), f"pkg:deb/{_distribution()}/{source}@{version}?arch=source", text
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["ID"]
    except (OSError, KeyError):
        return "debian"


def _query(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout


def _texts(paths: list[Path]) -> str:
    """The texts of `paths`, each under its name where there are several."""
    existing = [path for path in paths if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in existing]
    if len(texts) == 1:
        return texts[0] + "\n"
    return "".join(f"--- {path.name} ---\n{text}\n\n" for path, text in zip(existing, texts, strict=True))
