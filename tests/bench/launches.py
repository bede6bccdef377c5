"""Take one measurement of a server's launch: start it, wait, ask, look at its memory, stop it."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.subjects import CONTEXT, Subject, free_port

LIMIT = 300.0
PROMPT = (
    "The quick brown fox jumps over the lazy dog while the sun sets behind the distant hills and the river runs slowly "
    "towards the sea in the evening."
)


@dataclass(frozen=True)
class Launch:
    """Seconds from the start of the process, and bytes of its memory after the answer."""

    ready: float
    first_token: float
    tokens_per_second: float
    resident: int
    file_backed: int
    anonymous: int


class Streamed(NamedTuple):
    """An answer that came token by token."""

    begun: float
    """The moment of the first token, as `time.perf_counter` counts."""
    tokens_per_second: float
    """After the first."""
    text: str


@contextmanager
def started(subject: Subject) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server that is ready, and its port; stopped at the end."""
    port = free_port()
    begin = time.perf_counter()
    process = subject.start(port)
    try:
        while not _answers(port, subject.ready):
            if process.poll() is not None or time.perf_counter() - begin > LIMIT:
                raise RuntimeError(f"{subject.name} did not start (exit code {process.poll()})")
            time.sleep(0.002)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def launch(subject: Subject, *, tokens: int = 33) -> Launch:
    """Start, wait until it is ready, ask for `tokens` tokens, stop."""
    begin = time.perf_counter()
    with started(subject) as (process, port):
        ready = time.perf_counter() - begin
        answer = stream(port, "/v1/completions", {"prompt": PROMPT, "temperature": 0}, tokens)
        used = memory(process.pid)
        return Launch(ready, answer.begun - begin, answer.tokens_per_second, used["Rss"], used["File"], used["Anon"])


def chat_launch(subject: Subject) -> float:
    """Start, and ask a chat, sampled as by default: seconds until its first token."""
    begin = time.perf_counter()
    with started(subject) as (_, port):
        asked = {"messages": [{"role": "user", "content": "Hello"}]}
        return stream(port, "/v1/chat/completions", asked, 2).begun - begin


def buffers(subject: Subject) -> dict[str, int]:
    """Bytes of private memory that llama.cpp names in our --verbose log, by what they hold."""
    kinds = {"repacked weights": "REPACK model", "KV cache": "KV", "compute": "compute", "output": "output"}
    port = free_port()
    process = subprocess.Popen(
        [*subject.command, *subject.options(1, CONTEXT, False), "--port", str(port), "--verbose"],
        env=subject.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    found = dict.fromkeys(kinds, 0)
    try:
        for line in process.stdout:
            for name, words in kinds.items():
                if match := re.search(rf"{words} buffer size\s*=\s*([\d.]+) MiB".encode(), line):
                    found[name] += round(float(match[1]) * (1 << 20))
            if b"ready, loaded" in line:
                break
        return found
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def stream(port: int, path: str, asked: Mapping[str, object], tokens: int) -> Streamed:
    """Have exactly `tokens` tokens generated.

    Timed until the answer is said to be whole: a server may keep text back, or send several tokens' text in one piece.

    Raises:
        RuntimeError: it was refused, or not as long as asked for.
    """
    body = {"max_tokens": tokens, "stream": True, "ignore_eos": True, **asked}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {response.read()[:300]!r}")
    first = last = 0.0
    reason = None
    texts: list[str] = []
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        choice = (json.loads(line[6:]).get("choices") or [{}])[0]
        if text := choice.get("text") or choice.get("delta", {}).get("content"):
            first = first or time.perf_counter()
            texts.append(text)
        if choice.get("finish_reason"):
            last, reason = time.perf_counter(), choice["finish_reason"]
    connection.close()
    if not first or reason != "length":
        raise RuntimeError(f"an answer was not as long as asked for: it ended with {reason}")
    return Streamed(first, (tokens - 1) / (last - first), "".join(texts))


def memory(pid: int) -> dict[str, int]:
    """Resident bytes of a process and its children, from smaps_rollup: all, backed by files, private."""
    total = {"Rss": 0, "File": 0, "Anon": 0}
    for each in [pid, *_children(pid)]:
        fields: dict[str, int] = {}
        with open(f"/proc/{each}/smaps_rollup", encoding="ascii") as file:
            for line in list(file)[1:]:
                key, value, *_ = line.split()
                fields[key.rstrip(":")] = int(value) * 1024
        total["Rss"] += fields["Rss"]
        total["Anon"] += fields["Anonymous"]
        total["File"] += fields["Rss"] - fields["Anonymous"]
    return total


def main_thread_seconds(pid: int) -> float:
    """CPU time of a process's first thread: in a bundle the one that speaks HTTP."""
    with open(f"/proc/{pid}/task/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads that a process has."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text(encoding="ascii").split()[0]) for each in tasks) / 1e9


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
