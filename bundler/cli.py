"""The `bundle` command. The only place of the build side that prints and exits."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click
import msgspec
from click.shell_completion import get_completion_class

from bundler import __version__
from bundler.cli_modelfile import modelfile
from bundler.cli_runtime import runtime
from bundler.cli_template import template
from bundler.cli_variants import apply, diff, patch
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest
from bundler.formats.quantization import TYPES
from bundler.formats.targets import TARGETS
from bundler.terminal import human_size, progress, show, warn

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_BUNDLE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary; errors only.")


def _adapters(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, float]]:
    """`FILE` or `FILE=SCALE`, each as a file and a scale."""
    found = []
    for value in values:
        file, _, scale = value.rpartition("=")
        try:
            number = float(scale) if file else math.nan
        except ValueError:
            number = math.nan
        found.append((file, number) if math.isfinite(number) else (value, 1.0))
    return found


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="bundle")
def command() -> None:
    """Turn a language model into one program that anybody can run.

    A Modelfile says which GGUF model to use and how it should behave. `bundle build` fuses the model, its prompt
    template and a complete runtime into ONE executable file. Whoever gets that file runs it, offline, with nothing
    installed, and has a web chat and an API that OpenAI clients speak.

    \b
      echo 'FROM ./model.gguf' > Modelfile
      bundle build Modelfile -o mymodel.exe
      ./mymodel.exe                        chat in the browser, API on http://127.0.0.1:11434
      ./mymodel.exe run "Why is the sky blue?"
    """


@command.command()
@click.argument("modelfile", type=click.Path(path_type=Path), default=Path("Modelfile"))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The executable to write.")
@click.option("--name", help="The model's name in the APIs.  [default: the output's name without its ending]")
@click.option("--target", type=click.Choice(TARGETS), help="The system that the bundle is for.  [default: this one]")
@click.option(
    "--runtime", "pack", metavar="PACK", help="A runtime pack by the start of its id (see `bundle runtime list`)."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path),
    help="Greeting and starter questions of the web page.  [default: page.toml beside the Modelfile]",
)
@click.option("--warm", is_flag=True, help="Evaluate SYSTEM and MESSAGEs now, so that the first answer comes sooner.")
@click.option("--keep-runtime", is_flag=True, help="Keep launcher and runtime of the bundle that FROM names.")
@click.option(
    "--adapter",
    "adapters",
    metavar="FILE[=SCALE]",
    callback=_adapters,
    multiple=True,
    help="A LoRA adapter beside those of the Modelfile; several may be given.",
)
@click.option(
    "--quantize",
    "type_name",
    type=click.Choice(list(TYPES), case_sensitive=False),
    metavar="TYPE",
    help="Write the model with fewer bits: Q4_K_M, Q8_0, … (kept in the cache, so that it is done once).",
)
@click.option("--imatrix", type=click.Path(path_type=Path), help="What --quantize weighs columns by (llama-imatrix).")
@click.option("--requantize", is_flag=True, help="Let --quantize take a model that is quantized already.")
@click.option("--external-weights", is_flag=True, help="Write the weights beside the executable instead of into it.")
@_JSON
@_QUIET
def build(
    modelfile: Path,
    output: Path,
    name: str | None,
    target: str | None,
    pack: str | None,
    page: Path | None,
    warm: bool,
    keep_runtime: bool,
    adapters: list[tuple[str, float]],
    type_name: str | None,
    imatrix: Path | None,
    requantize: bool,
    external_weights: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build one executable from MODELFILE (a file, or a folder that holds one; default ./Modelfile)."""
    from bundler.build.assemble import build_bundle  # the build side loads only where it is used
    from bundler.build.gather import Adapter
    from bundler.build.quantize import Quantization

    if (imatrix or requantize) and not type_name:
        raise click.UsageError(f"{'--imatrix' if imatrix else '--requantize'} needs --quantize TYPE")
    built = build_bundle(
        modelfile,
        output,
        name=name,
        target=target,
        pack=pack,
        external_weights=external_weights,
        page=page,
        warm=warm,
        keep_runtime=keep_runtime,
        adapters=[Adapter(text, scale) for text, scale in adapters],
        quantization=Quantization(type_name, imatrix, requantize) if type_name else None,
        progress=progress(quiet=quiet or as_json),
        warn=warn,
    )
    written = built.written
    if as_json:
        click.echo(
            json.dumps(
                {
                    "path": str(written.path),
                    "size": written.size,
                    "sidecars": [str(path) for path in written.sidecars],
                    "manifest_sha256": written.manifest_sha256,
                    "taken": built.remarks,
                    "manifest": msgspec.to_builtins(written.manifest),
                }
            )
        )
    elif not quiet:
        template = written.manifest.template
        click.echo(f"{written.path}  {human_size(written.size)}  for {built.target}")
        if template:
            show(f"  template: {template.reason}; stops: {_stops(written.manifest)}")
        if state := written.manifest.warm:
            show(f"  warm:     {len(state.tokens):,} tokens of every prompt are evaluated ({human_size(state.size)})")
        for remark in built.remarks:
            show(f"  taken:    {remark}")
        if written.shared:
            click.echo(f"  shared:   {human_size(written.shared)} lie on the disk once, here and where they come from")
        for sidecar in written.sidecars:
            click.echo(f"  weights:  {sidecar} (keep it beside the executable: {built.split_reason})")
        click.echo(f"  run it:   {_as_command(written.path)}" if built.runs_here else "  copy it there and run it")


@command.command()
@_BUNDLE
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The executable to write.")
@click.option(
    "--runtime", "pack", metavar="PACK", help="A runtime pack by the start of its id (see `bundle runtime list`)."
)
@_QUIET
def upgrade(file: Path, output: Path, pack: str | None, quiet: bool) -> None:
    """Write a bundle again with the launcher and the runtime of now; all else stays as it is."""
    from bundler.build.upgrade import upgrade as upgrade_bundle

    written = upgrade_bundle(file, output, pack=pack, progress=progress(quiet=quiet), warn=warn)
    if not quiet:
        click.echo(f"{written.path}  {human_size(written.size)}  for {', '.join(written.manifest.runtime)}")


@command.command()
@_BUNDLE
@_JSON
def inspect(file: Path, as_json: bool) -> None:
    """Show what a bundle holds: model, template, parameters, members, digests."""
    from bundler.build.bundles import open_bundle

    with open_bundle(file) as bundle:
        manifest, archive = bundle.manifest, bundle.archive
        size = bundle.source.size
    if as_json:
        facts: dict[str, Any] = msgspec.to_builtins(manifest)
        click.echo(json.dumps({"path": str(file), "size": size, "manifest_sha256": archive.manifest_sha256, **facts}))
        return
    show(f"{manifest.name}  {human_size(size)}  built by bundle {manifest.bundler}, format {manifest.format}")
    show(f"manifest  sha256:{archive.manifest_sha256}")
    for target, parts in manifest.runtime.items():
        show(
            f"runtime   {target}: {', '.join(parts.parts)} (llama-cpp-python {parts.llama_cpp}, pack {parts.pack[:12]})"
        )
    for model in manifest.models:
        facts_line = [model.architecture, model.quantization, f"{model.parameters:,} weights"]
        facts_line += [f"trained context {model.context_length}"] if model.context_length else []
        facts_line += [f"scale {model.scale:g}"] if model.role == "adapter" else []
        show(f"{model.role:9} {model.member or model.sidecar}  {', '.join(filter(None, facts_line))}")
    if manifest.template:
        show(f"template  {manifest.template.kind}: {manifest.template.reason}")
        show(f"stops     {_stops(manifest)}")
    if manifest.system is not None:
        show(f"system    {json.dumps(manifest.system, ensure_ascii=False)}")
    for message in manifest.messages:
        show(f"message   {message.role}: {json.dumps(message.content, ensure_ascii=False)}")
    if manifest.page:
        show(f"greeting  {json.dumps(manifest.page.greeting, ensure_ascii=False)}")
        for question in manifest.page.starters:
            show(f"starter   {json.dumps(question, ensure_ascii=False)}")
    if manifest.requires:
        show(f"requires  {manifest.requires}")
    for key, value in manifest.parameters.items():
        show(f"parameter {key} {json.dumps(value)}")
    for model in manifest.models:
        for key, value in model.sampling.items():
            show(f"sampling  {key} {json.dumps(value)} (recommended by the GGUF)")
    show("members")
    width = max(len(entry.name) for entry in archive.entries.values())
    for entry in archive.entries.values():
        show(f"  {entry.name:{width}}  {entry.size:>14,}  at {entry.offset:,}")


@command.command()
@_BUNDLE
@_JSON
@_QUIET
def verify(file: Path, as_json: bool, quiet: bool) -> None:
    """Read every byte of a bundle and compare it with the digests inside."""
    from bundler.build.bundles import verify_bundle

    report = verify_bundle(file, progress(quiet=quiet or as_json))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "path": str(file),
                    "ok": True,
                    "manifest_sha256": report.manifest_sha256,
                    "members": report.members,
                    "size": report.size,
                    "appended": report.appended,
                }
            )
        )
    elif not quiet:
        click.echo(f"{file}: whole; {report.members} members, {report.size:,} bytes")
        click.echo(f"manifest sha256:{report.manifest_sha256}")
        if report.appended:
            click.echo(
                f"{report.appended:,} bytes after the bundle are covered by no digest (a code signature, or foreign)"
            )


@command.command()
@_BUNDLE
@click.argument("members", nargs=-1)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path(), help="Folder to write to.  [default: .]"
)
@_QUIET
def extract(file: Path, members: tuple[str, ...], output: Path, quiet: bool) -> None:
    """Write MEMBERS of a bundle (all, if none is named) into a folder."""
    from bundler.build.bundles import extract as extract_members

    for path in extract_members(file, output, members, progress(quiet=quiet)):
        if not quiet:
            click.echo(path)


@command.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script: `bundle completion bash > ~/.local/share/bash-completion/completions/bundle`."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(command, {}, "bundle", "_BUNDLE_COMPLETE").source())


def _stops(manifest: Manifest) -> str:
    """The strings that end an answer besides the model's own end tokens: the template's and the Modelfile's."""
    given = manifest.parameters.get("stop", [])
    stops = [*(manifest.template.stops if manifest.template else []), *(given if isinstance(given, list) else [given])]
    return ", ".join(json.dumps(stop, ensure_ascii=False) for stop in stops) or "none"


def _as_command(path: Path) -> str:
    text = str(path)
    return text if "/" in text else f"./{text}"


command.add_command(modelfile)
command.add_command(runtime)
command.add_command(template)
command.add_command(diff)
command.add_command(patch)
command.add_command(apply)


def main() -> None:
    """Run the command line; exit code 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

    What nobody expected is one line too; with the variable BUNDLE_VERBOSE set it is a traceback.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show a character shows `?`
            stream.reconfigure(errors="replace")
    try:
        command(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BundleError as error:
        click.echo(error.render(), err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("error: interrupted; the output is as it was before", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if os.environ.get("BUNDLE_VERBOSE"):
            raise
        click.echo(f"error: failed unexpectedly: {type(error).__name__}: {error}", err=True)
        click.echo("hint: please report it; with the variable BUNDLE_VERBOSE=1 it says where", err=True)
        sys.exit(1)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
