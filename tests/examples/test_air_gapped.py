"""The recipe for a machine without a network: each command of its README, and the unit file, put to work."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server

import pytest

from bundler.build.packs import Pack
from tests.conftest import GUIDE
from tests.examples.readme import Step, steps

EXAMPLE = GUIDE.parent / "air-gapped"
UNIT = "mymodel.service"
TOOLS = {"ss": "iproute2", "strace": "strace", "curl": "curl", "sha256sum": "coreutils"}


class Server:
    """A folder that stands for the server's root, and what systemd would do with the unit in it."""

    def __init__(self, root: Path, under: tuple[str, ...] = ()) -> None:
        self.root = root
        self.under = under
        """A command that runs the service and watches it."""
        with closing(create_server(("127.0.0.1", 0))) as free:
            self.port: int = free.getsockname()[1]
        for folder in ("opt", "etc/systemd/system", "media/usb", "var/cache/private/mymodel", "tmp"):
            (root / folder).mkdir(parents=True)
        (root / "var/cache/mymodel").symlink_to("private/mymodel")  # as DynamicUser has it
        self.process: subprocess.Popen[bytes] | None = None

    def here(self, text: str) -> str:
        """A command or a unit of the server with its paths below the root, and its port free on this machine."""
        moved = re.sub(r"(?<![\w.])/(opt|etc|media|tmp)/", rf"{self.root}/\1/", text)
        return moved.replace("sudo ", "").replace("11434", str(self.port))

    def systemctl(self, verb: str) -> None:
        """`enable --now` and `restart`: start what ExecStart says, with no more environment than the unit gives it."""
        if verb == "restart":
            assert self.stop() == 0
        unit = read_unit(self.root / "etc/systemd/system" / UNIT)
        environment = dict(
            line.split("=", 1)
            for line in [
                unit["Environment"].replace("%C", str(self.root / "var/cache")),
                *Path(self.here(unit["EnvironmentFile"])).read_text().splitlines(),
            ]
        )
        self.process = subprocess.Popen(
            [*self.under, *self.here(unit["ExecStart"]).split()],
            env=environment | {"BUNDLE_PORT": str(self.port), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> int:
        assert self.process
        main = self.process.pid
        if self.under:  # strace lets no signal through to what it watches
            main = int(Path(f"/proc/{main}/task/{main}/children").read_text().split()[0])
        os.kill(main, signal.SIGTERM)
        return self.process.wait(60)


def read_unit(path: Path) -> dict[str, str]:
    """The [Service] section of a unit."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return dict(parser["Service"])


@contextmanager
def server(root: Path, *under: str) -> Iterator[Server]:
    made = Server(root, under)
    try:
        yield made
    finally:
        if made.process and made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def test_each_command_of_the_readme_does_what_it_says(pack: Pack, tmp_path: Path) -> None:
    missing = [f"{tool} ({package})" for tool, package in TOOLS.items() if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    project = tmp_path / "examples" / "air-gapped"
    shutil.copytree(EXAMPLE, project)
    (tmp_path / "examples" / "guide").symlink_to(GUIDE)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with server(tmp_path / "server") as machine:
        for step in steps(EXAMPLE / "README.md"):
            if step.command.startswith("sudo systemctl"):
                machine.systemctl("restart" if "restart" in step.command else "enable")
                continue
            if step.command.startswith("sudo ss"):
                wait_for(machine)
            output = run(step, machine, project, environment)
            assert step.is_shown(output.replace(str(machine.port), "11434")), f"{step.command}:\n{output}"
        assert machine.stop() == 0
    assert list((tmp_path / "server/var/cache/private/mymodel").iterdir()), "the runtime was unpacked elsewhere"


def wait_for(machine: Server) -> None:
    health = next(step for step in steps(EXAMPLE / "README.md") if "/health" in step.command)
    subprocess.run(["bash", "-c", machine.here(health.command)], check=True, capture_output=True)


def run(step: Step, machine: Server, project: Path, environment: dict[str, str]) -> str:
    """What a command prints; one that fails fails the test, but for grep, which fails where it finds nothing."""
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", machine.here(step.command)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == (step.command.startswith("grep -c")), f"{step.command}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def test_the_service_connects_to_nobody(guide: Path, tmp_path: Path) -> None:
    """From the start over a question to the end, with the first start's tests of the CPU."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    with server(tmp_path / "server", "strace", "-f", "-qq", "-o", f"{tmp_path}/trace") as machine:
        shutil.copy(EXAMPLE / UNIT, machine.root / "etc/systemd/system")
        (machine.root / "etc/mymodel.env").write_text("BUNDLE_API_KEY=k\n")
        (machine.root / "opt/mymodel").mkdir()
        shutil.copy(guide, machine.root / "opt/mymodel/mymodel")
        machine.systemctl("enable")
        wait_for(machine)
        url = f"http://127.0.0.1:{machine.port}/v1/chat/completions"
        body = '{"messages": [{"role": "user", "content": "Hello"}]}'
        asked = subprocess.run(
            ["curl", "-sS", "--fail", "-H", "Authorization: Bearer k", url, "-d", body], capture_output=True, check=True
        )
        assert b"choices" in asked.stdout
        machine.stop()
    calls = (tmp_path / "trace").read_text(errors="replace").splitlines()
    reached = [line for line in calls if re.search(r"\b(connect|sendmsg|sendmmsg)\(", line) and "AF_UNIX" not in line]
    assert [line for line in reached if '"127.0.0.1"' not in line and '"::1"' not in line] == []
    refused = used_system_calls(calls) - allowed_system_calls()
    assert not refused, f"the unit's SystemCallFilter refuses {sorted(refused)}"


def used_system_calls(trace: list[str]) -> set[str]:
    return {found[1] for line in trace if (found := re.match(r"\d+ +([a-z][a-z_0-9]*)\(", line))}


def allowed_system_calls() -> set[str]:
    """What @system-service means on this machine; skips where systemd is not installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    listed = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], capture_output=True, text=True).stdout
    groups: dict[str, set[str]] = {}
    for line in listed.splitlines():
        if line.startswith("@"):
            groups[line.strip()] = members = set()
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.add(line.strip())

    def expanded(name: str) -> set[str]:
        return set().union(*(expanded(one) if one.startswith("@") else {one} for one in groups[name]))

    return expanded("@system-service") | expanded("@default")


def test_systemd_takes_the_unit_and_finds_it_hard(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / UNIT
    path.write_text((EXAMPLE / UNIT).read_text().replace("/opt/mymodel/mymodel", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "--no-pager", "security", "--offline=true", "--threshold=20", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout + rated.stderr


def test_the_unit_can_only_reach_its_own_machine() -> None:
    unit = read_unit(EXAMPLE / UNIT)
    assert unit["IPAddressDeny"] == "any"
    assert unit["IPAddressAllow"] == "localhost"
    assert unit["DynamicUser"] == "yes"
    assert unit["Environment"] == "BUNDLE_CACHE=%C/" + unit["CacheDirectory"]
