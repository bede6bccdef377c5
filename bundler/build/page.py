"""Finds the page file of a Modelfile: the one that is named, or `page.toml` beside it.

Looks at the file system; what a page file may hold is `bundler.formats.pagefile`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bundler.errors import BundleError
from bundler.formats import pagefile
from bundler.formats.excerpt import clipped
from bundler.formats.manifest import Page

NAME: Final = "page.toml"
MAX_SIZE: Final = 1 << 16
"""Bytes; the longest greeting and eight questions need a fraction of it."""


def read_page(given: Path | None, modelfile: Path) -> Page | None:
    """What the page of this Modelfile says: from the file `given`, else from `page.toml` beside it, where there is one.

    Raises:
        BundleError: the file that was named is not there, or a file cannot be read or is wrong.
    """
    path = given or modelfile.with_name(NAME)
    shown = clipped(str(path), 1000)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BundleError(f"failed to read {shown}: it is no file", "give a page file, such as page.toml")
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError as cause:
        if given is None:
            return None
        raise BundleError(f"failed to read {shown}: there is no such file", "check the path behind --page") from cause
    except (OSError, ValueError) as cause:
        reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise BundleError(f"failed to read {shown}: {reason}", "check the path and its permissions") from cause
    if len(data) > MAX_SIZE:
        raise BundleError(
            f"failed to read {shown}: it is larger than {MAX_SIZE >> 10} KiB", "a greeting and eight questions suffice"
        )
    return pagefile.parse(data, shown)
