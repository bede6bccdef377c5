"""`bundle runtime`: make, show, carry and delete runtime packs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bundler.terminal import human_size, long_progress, progress

_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress; errors only.")
_PACK = click.argument("pack_id", metavar="ID")


@click.group()
def runtime() -> None:
    """Make, list and carry runtime packs: the part of a bundle that is not the model.

    A pack is made once for one kind of system and kept in the cache; every bundle for that system gets a copy. A pack
    for another system is built there and brought here with `export` and `import`.
    """


@runtime.command("build")
@_QUIET
def build_pack(quiet: bool) -> None:
    """Build the pack of this machine (about ten minutes the first time, an instant when nothing has changed)."""
    from bundler.build import packs  # the build side loads only where it is used

    found = packs.ensure_host(long_progress(quiet=quiet))
    if not quiet:
        click.echo(f"{found.id[:12]}  {found.target}  {human_size(found.size)}  {found.root}")


@runtime.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_packs(as_json: bool) -> None:
    """List the packs in the cache, the newest first."""
    from bundler.build import packs

    found = packs.every()
    if as_json:
        facts = [
            {
                "id": pack.id,
                "target": pack.target,
                "llama_cpp": pack.llama_cpp,
                "bundler": pack.file.bundler,
                "parts": {name: part.size for name, part in sorted(pack.parts.items())},
                "size": pack.size,
                "path": str(pack.root),
            }
            for pack in found
        ]
        click.echo(json.dumps(facts, indent=2))
        return
    for pack in found:
        click.echo(f"{pack.id[:12]}  {pack.target:<14}  {human_size(pack.size):>8}  {', '.join(sorted(pack.parts))}")
    if not found:
        click.echo("No runtime pack yet; `bundle runtime build` makes one.", err=True)


@runtime.command("export")
@_PACK
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write.  [default: TARGET-ID.pack]")
@_QUIET
def export_pack(pack_id: str, output: Path | None, quiet: bool) -> None:
    """Write the pack whose id begins with ID to one file, to be imported on another machine."""
    from bundler.build import packs

    found = packs.select(pack_id)
    target = output or Path(f"{found.target}-{found.id[:12]}.pack")
    packs.export(found, target, progress(quiet=quiet))
    if not quiet:
        click.echo(str(target))


@runtime.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_QUIET
def import_pack(file: Path, quiet: bool) -> None:
    """Take in a pack that `export` wrote, after checking all of it."""
    from bundler.build import packs

    found = packs.bring(file, progress(quiet=quiet))
    if not quiet:
        click.echo(f"{found.id[:12]}  {found.target}  {human_size(found.size)}")


@runtime.command("remove")
@_PACK
def remove_pack(pack_id: str) -> None:
    """Delete the pack whose id begins with ID. Bundles that were built with it are not affected."""
    from bundler.build import packs

    found = packs.select(pack_id)
    packs.remove(found)
    click.echo(f"Removed {found.id[:12]} ({found.target}).")
