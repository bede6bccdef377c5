"""Where `stub/`, `native/`, `templates/`, `requirements/` lie: in a checkout, an installed wheel or the frozen app."""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> Path:
    """The folder or file `name` (`"stub"`, `"templates/chat"`).

    Raises:
        FileNotFoundError: this installation does not carry it.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parent):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is not part of this installation of bundle")
