"""Opens the page in the user's browser, where somebody sits in front of one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping

from bundler.runtime.child import user_environment


def present(environment: Mapping[str, str]) -> bool:
    """Whether a browser window would be seen by the one who started this program.

    Not in a remote shell, not in automation, and not where the output goes into a file or pipe of a terminal session.
    """
    if environment.get("SSH_CONNECTION") or environment.get("CI"):
        return False
    if sys.platform == "linux":
        has_display = bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
        return has_display and _opener(environment) is not None and _watched()
    return _watched()


def open_page(url: str, environment: Mapping[str, str]) -> None:
    """Ask the desktop to show `url`; a browser gets the user's own environment, and its failure is nobody's matter."""
    if sys.platform == "win32":
        os.startfile(url)  # noqa: S606 - a URL made by this program
        return
    opener = _opener(environment)
    if opener is None:
        return
    try:
        process = subprocess.Popen(
            [opener, url],
            env=user_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return
    threading.Thread(target=process.wait, name="browser", daemon=True).start()


def _opener(environment: Mapping[str, str]) -> str | None:
    return shutil.which("open" if sys.platform == "darwin" else "xdg-open", path=environment.get("PATH"))


def _watched() -> bool:
    """Whether the output is seen on a terminal, or there is no terminal at all (started by a click)."""
    if sys.stdout is not None and sys.stdout.isatty():
        return True
    if sys.platform == "win32":
        return sys.stdout is None
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return True
    return False
