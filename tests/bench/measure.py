"""Take one measurement: start a server, wait, ask, look at its memory, stop it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
from dataclasses import dataclass

from tests.bench.subjects import Subject, free_port

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


def launch(subject: Subject, *, tokens: int = 33) -> Launch:
    """Start, wait for /health, ask for `tokens` tokens, stop."""
    port = free_port()
    begin = time.perf_counter()
    process = subject.start(port)
    try:
        while not _healthy(port):
            if process.poll() is not None or time.perf_counter() - begin > LIMIT:
                raise RuntimeError(f"{subject.name} did not start (exit code {process.poll()})")
            time.sleep(0.002)
        ready = time.perf_counter() - begin
        first, rate = _complete(port, tokens)
        memory = _memory(process.pid)
        return Launch(ready, first - begin, rate, memory["Rss"], memory["File"], memory["Anon"])
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def repacked(subject: Subject) -> int:
    """Bytes of weights that llama.cpp holds a second time, rearranged for this CPU, as our --verbose log says."""
    port = free_port()
    process = subprocess.Popen(
        [*subject.command, "--port", str(port), "--verbose"],
        env=subject.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if found := re.search(rb"REPACK model buffer size\s*=\s*([\d.]+) MiB", line):
                return round(float(found[1]) * (1 << 20))
            if b"ready, loaded" in line:
                break
        return 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _complete(port: int, tokens: int) -> tuple[float, float]:
    """The moment of the first token, and tokens per second after it."""
    body = {"prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {response.read()[:300]!r}")
    first = last = 0.0
    pieces = 0
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        choices = json.loads(line[6:]).get("choices") or [{}]
        if choices[0].get("text"):
            last = time.perf_counter()
            first = first or last
            pieces += 1
    connection.close()
    return first, (tokens - 1) / (last - first) if pieces > 1 else 0.0


def _memory(pid: int) -> dict[str, int]:
    """Resident bytes of a process and its children, from smaps_rollup."""
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


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
