"""A target that breaks every promise, to see that each is noticed."""

from __future__ import annotations

import os
import time
from random import Random

from bundler.errors import BundleError

SECONDS = 0.2


def case(chance: Random) -> str:
    return chance.choice(["fine", "refused", "raises", "runs on", "dies", "hoards"])


def attempt(case: str) -> bool:
    match case:
        case "refused":
            raise BundleError("failed as it should")
        case "raises":
            raise LookupError("odd")
        case "runs on":
            while time.monotonic() > 0:
                pass
        case "dies":
            os.abort()
        case "hoards":
            return len(bytearray(8 << 30)) > 0
    return True
