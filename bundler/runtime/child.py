"""How the runtime starts another process of itself, and with which environment other programs start.

In a bundle a child goes through the launcher again, so that it gets loader, libraries and variables as its parent did.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bundler.errors import BundleError

_FROM_LAUNCHER = (
    "BUNDLE_FD",
    "BUNDLE_HANDLE",
    "BUNDLE_EXE",
    "BUNDLE_ROOT",
    "BUNDLE_TARGET",
    "BUNDLE_USER_LD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
)


def command(environment: Mapping[str, str]) -> list[str]:
    """The beginning of a command line that runs this same runtime; arguments follow.

    On Linux the open descriptor is executed, not a path: the file may have been renamed or replaced since. The child
    must inherit it (`descriptors`).
    """
    if not getattr(sys, "frozen", False):
        return [sys.executable, "-m", "bundler.runtime"]
    if sys.platform == "linux" and "BUNDLE_FD" in environment:
        return [f"/proc/self/fd/{int(environment['BUNDLE_FD'])}"]
    if "BUNDLE_EXE" in environment:
        return [environment["BUNDLE_EXE"]]
    raise BundleError(
        "failed to start a part of this program: it was not started by its launcher", "run the bundle itself"
    )


def descriptors(environment: Mapping[str, str]) -> tuple[int, ...]:
    """The descriptors that a child of `command` must inherit (`pass_fds`)."""
    given = environment.get("BUNDLE_FD", "")
    return (int(given),) if getattr(sys, "frozen", False) and sys.platform == "linux" and given.isdecimal() else ()


def user_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's own environment: without what the launcher added (a browser must not load our libraries)."""
    if not getattr(sys, "frozen", False):
        return dict(environment)
    own = {
        key: value for key, value in environment.items() if key not in _FROM_LAUNCHER and not key.startswith("_PYI_")
    }
    if "BUNDLE_USER_LD_LIBRARY_PATH" in environment:
        own["LD_LIBRARY_PATH"] = environment["BUNDLE_USER_LD_LIBRARY_PATH"]
    return own
