"""Entry of the frozen application and of `python -m bundler.runtime`: the hidden commands first, then the command line.

The hidden ones are called by programs, in children, and so import nothing but what they need.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    if getattr(sys, "frozen", False):
        _look_in_archive_first(sys._MEIPASS)  # type: ignore[attr-defined]
    command, arguments = sys.argv[1:2], sys.argv[2:]
    if command == ["_probe"]:
        from bundler.runtime import probe

        return probe.main(arguments)
    if command == ["_dry-load"]:
        from bundler.runtime import dryload

        return dryload.main(arguments)
    if command == ["_token-ids"]:
        from bundler.runtime import tokenids

        return tokenids.main(arguments)
    if command == ["_warm"]:
        from bundler.runtime import warmup

        return warmup.main(arguments)
    if command == ["_quantize"]:
        from bundler.runtime import quantize

        return quantize.main(arguments)
    if getattr(sys, "frozen", False):
        _import_msgspec()
    from bundler.runtime import cli

    return cli.main(sys.argv[1:])


def _look_in_archive_first(archive: str) -> None:
    """Find a module where nearly all are. PyInstaller would look into a ZIP file and a folder before, for each one."""
    sys.path[:] = [archive, *(place for place in sys.path if place != archive)]


def _import_msgspec() -> None:
    """Without `typing_extensions` and `inspect` in its wake, a fifth of the start; `typing` has what it needs."""
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


def leave(code: int) -> None:
    """End at once: a thread may be inside llama.cpp, whose libraries an ordinary exit would take down under it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    leave(main())
