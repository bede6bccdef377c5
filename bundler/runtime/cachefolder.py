"""Where this runtime keeps what it has found out (verdicts on CPU variants). Makes no folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The folder that the launcher chose; in a checkout the user's own: `$BUNDLE_CACHE` or the system's usual place.

    The launcher unpacks to `<cache>/runtime/<sha256>` and says so in BUNDLE_ROOT.
    """
    root = environment.get("BUNDLE_ROOT")
    if getattr(sys, "frozen", False) and root:
        return Path(root).parent.parent
    if environment.get("BUNDLE_CACHE"):
        return Path(environment["BUNDLE_CACHE"]).absolute()
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local", "bundle")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bundle"
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache", "bundle")
