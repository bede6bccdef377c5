"""Where the server listens: the port that was asked for, or the first free one from Ollama's on.

Knows sockets, nothing of HTTP but one question: whether the program on a port is this same bundle.
"""

from __future__ import annotations

import errno
import socket
import sys
from dataclasses import dataclass

from bundler.errors import BundleError
from bundler.runtime.portholder import holder

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434
_TRIES = 20
_ANSWER_SECONDS = 0.5
_TAKEN = (errno.EADDRINUSE, errno.EACCES) if sys.platform == "win32" else (errno.EADDRINUSE,)


@dataclass(frozen=True)
class Listening:
    """A bound, listening socket."""

    socket: socket.socket
    host: str
    port: int
    moved: str = ""
    """Why it is not the usual port; empty where it is."""

    @property
    def url(self) -> str:
        return url(self.host, self.port)

    @property
    def address(self) -> str:
        """The IP address that `host` stands for; a machine's own name often is a loopback address."""
        return str(self.socket.getsockname()[0])


@dataclass(frozen=True)
class Running:
    """The same bundle listens already."""

    url: str


def url(host: str, port: int) -> str:
    """The address for a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"


def with_key(url: str, api_key: str | None) -> str:
    """The address of the page with the API key in its fragment, which browsers send to nobody."""
    from urllib.parse import quote  # only where there is a key

    return f"{url}/#key={quote(api_key, safe='')}" if api_key else url


def listen(host: str, port: int | None, bundle_id: str, *, reuse: bool) -> Listening | Running:
    """Listen on `host`; with `port` None on the first free port from 11434 on, with 0 on any.

    With `reuse`, a port where this same bundle answers already ends the search.

    Raises:
        BundleError: the port asked for is taken, or the host is no address of this machine.
    """
    if port is not None:
        return _listen(host, port)
    taken = ""
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        try:
            return _listen(host, candidate, taken)
        except _TakenError:
            if reuse and running_bundle(host, candidate) == bundle_id:
                return Running(url(host, candidate))
            taken = taken or f"port {DEFAULT_PORT} is taken{_by(candidate)}"
    return _listen(host, 0, taken)


def running_bundle(host: str, port: int) -> str:
    """The id of the bundle that answers on a port of this machine; empty where none does."""
    import http.client  # only where a port is taken

    shown = url(host, port).removeprefix("http://").rpartition(":")[0].strip("[]")
    connection = http.client.HTTPConnection(shown, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().getheader("Bundle-Id", "")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


class _TakenError(BundleError):
    """Somebody else listens there."""


def _listen(host: str, port: int, moved: str = "") -> Listening:
    family, address = _resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as cause:
        listener.close()
        if cause.errno in _TAKEN:
            raise _TakenError(
                f"failed to listen on {host}:{port}: the port is taken{_by(port)}",
                "give another one with --port, or none to take the next that is free",
            ) from cause
        raise BundleError(f"failed to listen on {host}:{port}: {cause.strerror}", _hint(cause)) from cause
    listener.setblocking(False)
    return Listening(listener, host, listener.getsockname()[1], moved)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if host == "localhost":
        return socket.AF_INET, (DEFAULT_HOST, port)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as cause:  # UnicodeError: what cannot be a host name at all, such as `.`
        reason = cause.strerror if isinstance(cause, OSError) else "it is no host name"
        raise BundleError(
            f"failed to listen on {host}: {reason}",
            "--host takes an address of this machine; 127.0.0.1 for itself alone, 0.0.0.0 for its whole network",
        ) from cause
    family, _, _, _, address = sorted(found, key=lambda one: one[0] != socket.AF_INET)[0]
    return family, (str(address[0]), port)


def _by(port: int) -> str:
    name = holder(port)
    return f" by {name}" if name else ""


def _hint(cause: OSError) -> str:
    if cause.errno == errno.EACCES:
        return "ports below 1024 are for the system; take a higher one"
    return "--host takes an address of this machine; 127.0.0.1 for itself alone, 0.0.0.0 for its whole network"
