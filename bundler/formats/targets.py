"""The systems that a bundle can be made for, by name."""

from __future__ import annotations

import platform
import sys

from bundler.errors import BundleError

TARGETS = ("linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-arm64", "macos-x86_64")

_SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def host() -> str:
    """The target of the machine and interpreter that run this.

    Raises:
        BundleError: bundles cannot be made for it.
    """
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    system = _SYSTEMS.get(sys.platform, sys.platform)
    if system == "macos" and machine == "aarch64":
        machine = "arm64"
    target = f"{system}-{machine}"
    if target not in TARGETS:
        raise BundleError(
            f"failed to name this machine's target: {target} is not supported", f"targets are {', '.join(TARGETS)}"
        )
    return target
