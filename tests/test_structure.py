"""Imports run one way: cli -> build -> {formats, prompt} <- runtime, with errors and data beneath."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bundler

ROOT = Path(bundler.__file__).parent
BENEATH = {"errors", "data"}
MAY_IMPORT = {
    "errors": set[str](),
    "data": set[str](),
    "formats": {"formats"},
    "prompt": {"prompt", "formats"},
    "runtime": {"runtime", "prompt", "formats"},
    "build": {"build", "prompt", "formats"},
}
FRONT = {"cli", "cli_build", "cli_modelfile", "cli_runtime", "cli_template", "cli_variants", "terminal"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(ROOT.rglob("*.py"))
        if "_data" not in path.parts
    }


def imports(path: Path) -> set[str]:
    """The modules of this project that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    known = modules()
    return {name for name in found if name in known and name != "bundler"}


@pytest.mark.parametrize("name", [name for name in modules() if name.count(".")])
def test_imports_run_one_way(name: str) -> None:
    room = name.split(".")[1]
    if room in FRONT:
        return
    for imported in imports(modules()[name]):
        other = imported.split(".")[1]
        assert other in MAY_IMPORT[room] | BENEATH, f"{name} must not import {imported}"


def test_no_import_cycles() -> None:
    graph = {name: imports(path) - {name} for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for imported in sorted(graph[name]):
            visit(imported, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())
