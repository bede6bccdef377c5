"""`bundle diff`, `bundle patch` and `bundle apply`: what two bundles have in common, and what they do not."""

from __future__ import annotations

import json
import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bundler.errors import BundleError
from bundler.terminal import human_size, progress, show

if TYPE_CHECKING:
    from bundler.build.diff import Difference

_DIFFERENT, _TROUBLE = 1, 2
"""Exit codes of diff(1)."""


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code says whether they differ.")
def diff(old: Path, new: Path, as_json: bool, quiet: bool) -> None:
    """Name what differs between two bundles: weights, adapters, template, parameters, runtime, …

    Exit code 0: nothing; 1: something; 2: one of them cannot be read.
    """
    try:
        digests, found = _compare(old, new)
    except BundleError as error:
        click.echo(error.render(), err=True)
        sys.exit(_TROUBLE)
    if as_json:
        bundles = [
            {"path": str(path), "manifest_sha256": sha256} for path, sha256 in zip((old, new), digests, strict=True)
        ]
        facts = {"old": bundles[0], "new": bundles[1], "equal": not found, "differences": _plain(found)}
        click.echo(json.dumps(facts, ensure_ascii=False))
    elif found and not quiet:
        show(f"--- {old}")
        show(f"+++ {new}")
        for difference in found:
            _tell(difference)
    if found:
        sys.exit(_DIFFERENT)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The patch to write.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary; errors only.")
def patch(old: Path, new: Path, output: Path, as_json: bool, quiet: bool) -> None:
    """Write what turns the bundle OLD into NEW, for a site that has OLD: all but what both have in common."""
    from bundler.build.patch import make

    made = make(old, new, output, progress(quiet=quiet or as_json))
    if as_json:
        facts = {"path": str(output), "size": made.size, "sha256": made.sha256}
        versions = {"old": msgspec.to_builtins(made.patch.old), "new": msgspec.to_builtins(made.patch.new)}
        carried = [{"name": member.name, "size": member.size} for member in made.patch.members]
        click.echo(json.dumps({**facts, **versions, "members": carried}))
    elif not quiet:
        click.echo(f"{output}  {human_size(made.size)}  sha256:{made.sha256}")
        for member in made.patch.members:
            show(f"  {member.name}  {human_size(member.size)}")
        click.echo(f"  put it onto the old bundle: bundle apply {output} {old.name} -o NEW")


@click.command()
@click.argument("patch", type=click.Path(path_type=Path))
@click.argument("old", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The executable to write.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary; errors only.")
def apply(patch: Path, old: Path, output: Path, as_json: bool, quiet: bool) -> None:
    """Write the bundle that PATCH makes of OLD: the very bytes of the one it was made for. Needs no network."""
    from bundler.build.apply import apply as apply_patch

    made = apply_patch(patch, old, output, progress(quiet=quiet or as_json))
    if as_json:
        facts = {"path": str(output), "size": made.size, "sha256": made.sha256, "shared": made.shared}
        beside = [str(path) for path in made.sidecars]
        click.echo(json.dumps({**facts, "sidecars": beside, "manifest_sha256": made.new.manifest_sha256}))
    elif not quiet:
        click.echo(f"{output}  {human_size(made.size)}  manifest sha256:{made.new.manifest_sha256}")
        if made.shared:
            click.echo(f"  {human_size(made.shared)} share their blocks with {old}")
        for path in made.sidecars:
            click.echo(f"  weights:  {path} (keep it beside the executable)")


def _compare(old: Path, new: Path) -> tuple[tuple[str, str], list[Difference]]:
    from bundler.build.bundles import open_bundle  # the build side loads only where it is used
    from bundler.build.diff import differences

    with open_bundle(old) as one, open_bundle(new) as other:
        return (one.archive.manifest_sha256, other.archive.manifest_sha256), differences(one, other)


def _plain(found: list[Difference]) -> Any:
    return [msgspec.to_builtins(difference) for difference in found]


def _tell(difference: Difference) -> None:
    title = f"{difference.part} {difference.item}".rstrip()
    before, after = _text(difference.part, difference.old), _text(difference.part, difference.new)
    if before and after and ("\n" in before or "\n" in after):
        lines = unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm="")
        for line in list(lines)[2:]:
            show(line if line.startswith("@@") else f"{line[0]}{title}: {line[1:]}")
        return
    for sign, value in (("-", before), ("+", after)):
        for line in value.split("\n") if value is not None else ():
            show(f"{sign}{title}: {line}")


def _text(part: str, value: Any) -> str | None:
    """A value for people; texts keep their lines."""
    if value is None:
        return None
    if part in ("weights", "adapter"):
        facts = [value["file"]] if part == "weights" else []
        facts += [value["quantization"], human_size(value["size"]), f"sha256:{value['sha256'][:16]}"]
        facts += [f"scale {value['scale']:g}"] if "scale" in value else []
        return ", ".join(filter(None, facts))
    if part == "template":
        return f"{value['kind']}, {value['reason']}; stops {json.dumps(value['stops'])}\n{value['text']}"
    if part == "warm":
        return f"{len(value['tokens'])} tokens, {human_size(value['size'])}, sha256:{value['sha256'][:16]}"
    if part == "launcher":
        return f"{human_size(value['size'])}, sha256:{value['sha256'][:16]}"
    if part == "runtime":
        return f"{', '.join(value['parts'])}, llama-cpp-python {value['llama_cpp']}, pack {value['pack'][:12]}"
    if part == "message":
        return f"{value['role']}: {value['content']}"
    return value if part in ("system", "Modelfile") else json.dumps(value, ensure_ascii=False)
