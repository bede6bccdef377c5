"""Where the server listens."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import BundleError
from bundler.runtime import address
from bundler.runtime.address import Listening, Running, listen, url
from bundler.runtime.portholder import holder
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded
from tests.runtime.serving import BUNDLE_ID, MANIFEST, served


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on, and that nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken(taken: int) -> None:
    with pytest.raises(BundleError) as raised:
        listen("127.0.0.1", taken, BUNDLE_ID, reuse=True)
    by = f" by {Path('/proc/self/comm').read_text().strip()} (process {os.getpid()})" if sys.platform == "linux" else ""
    assert raised.value.render() == (
        f"error: failed to listen on 127.0.0.1:{taken}: the port is taken{by}\n"
        "hint: give another one with --port, or none to take the next that is free"
    )


def test_the_next_free_port_when_none_was_asked_for(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "DEFAULT_PORT", taken)
    monkeypatch.setattr(address, "_ANSWER_SECONDS", 0.05)
    place = listen("127.0.0.1", None, BUNDLE_ID, reuse=True)
    assert isinstance(place, Listening)
    with place.socket:
        assert place.port > taken
        assert place.moved.startswith(f"port {taken} is taken")


def test_the_same_bundle_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Service(MANIFEST, Startup.done(loaded(ScriptedEngine())))) as running:
        monkeypatch.setattr(address, "DEFAULT_PORT", int(running.rpartition(":")[2]))
        assert listen("127.0.0.1", None, BUNDLE_ID, reuse=True) == Running(running)
        for other in (
            listen("127.0.0.1", None, "cd" * 32, reuse=True),
            listen("127.0.0.1", None, BUNDLE_ID, reuse=False),
        ):
            assert isinstance(other, Listening)
            other.socket.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", ".", "a" * 70])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(BundleError, match=f"^failed to listen on {host}"):
        listen(host, 0, BUNDLE_ID, reuse=False)


def test_a_name_is_the_address_that_it_stands_for() -> None:
    """Debian's own name for a machine is 127.0.1.1: only this machine reaches it, and Host headers are checked."""
    place = listen("localhost", 0, BUNDLE_ID, reuse=False)
    assert isinstance(place, Listening)
    with place.socket:
        assert (place.host, place.address) == ("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
    ],
)
def test_the_address_that_is_shown(host: str, shown: str) -> None:
    assert url(host, 80) == shown


def test_who_holds_a_port_is_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
        "   1: 0100007F:2CAA 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n"
    )
    descriptors = tmp_path / "123/fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("socket:[4711]")
    (tmp_path / "123/comm").write_text("ollama\n")
    expected = "ollama (process 123)" if sys.platform == "linux" else ""
    assert holder(11434, tmp_path) == expected
    assert holder(11435, tmp_path) == ""
