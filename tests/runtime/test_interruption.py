"""The first signal asks, the second one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as Unix has them")

PROGRAM = """
import os
import threading
from bundler.runtime.interruption import Interruption
interruption = Interruption()
interruption.install()
if {finishing}:
    interruption.on_first = lambda: os.write(1, b"finishing\\n")  # print would clash with the one it interrupts
print("up", flush=True)
threading.Event().wait()
"""


def started(*, finishing: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(finishing=finishing)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_twice_means_now(number: signal.Signals, code: int) -> None:
    with started(finishing=True) as process:
        assert process.stdout
        process.send_signal(number)
        assert process.stdout.readline() == "finishing\n"
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == code


def test_with_nothing_to_finish_once_is_enough() -> None:
    with started(finishing=False) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
