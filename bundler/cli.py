"""The `bundle` command. The only place of the build side that prints and exits."""

from __future__ import annotations

import json
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
from bundler.cli_build import build, stops, upgrade
from bundler.cli_modelfile import modelfile
from bundler.cli_runtime import runtime
from bundler.cli_template import template
from bundler.cli_variants import apply, diff, patch
from bundler.errors import BundleError
from bundler.formats.manifest import Manifest
from bundler.terminal import human_size, progress, show

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_BUNDLE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary; errors only.")


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
    _show_model(manifest)
    for added in manifest.added:
        show(f"added     {added.name}")
        _show_model(manifest.of(added.name), "  ")
    show("members")
    width = max(len(entry.name) for entry in archive.entries.values())
    for entry in archive.entries.values():
        show(f"  {entry.name:{width}}  {entry.size:>14,}  at {entry.offset:,}")


def _show_model(manifest: Manifest, indent: str = "") -> None:
    """What a manifest says of one model."""

    def tell(label: str, text: str) -> None:
        show(f"{indent}{label:9} {text}")

    for model in manifest.models:
        facts = [model.architecture, model.quantization, f"{model.parameters:,} weights"]
        facts += [f"trained context {model.context_length}"] if model.context_length else []
        facts += [f"scale {model.scale:g}"] if model.role == "adapter" else []
        tell(model.role, f"{model.member or model.sidecar}  {', '.join(filter(None, facts))}")
    if manifest.template:
        tell("template", f"{manifest.template.kind}: {manifest.template.reason}")
        tell("stops", stops(manifest))
    if manifest.system is not None:
        tell("system", json.dumps(manifest.system, ensure_ascii=False))
    for message in manifest.messages:
        tell("message", f"{message.role}: {json.dumps(message.content, ensure_ascii=False)}")
    if manifest.page:
        tell("greeting", json.dumps(manifest.page.greeting, ensure_ascii=False))
        for question in manifest.page.starters:
            tell("starter", json.dumps(question, ensure_ascii=False))
    if manifest.requires:
        tell("requires", manifest.requires)
    for key, value in manifest.parameters.items():
        tell("parameter", f"{key} {json.dumps(value)}")
    for model in manifest.models:
        for key, value in model.sampling.items():
            tell("sampling", f"{key} {json.dumps(value)} (recommended by the GGUF)")


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


command.add_command(build)
command.add_command(upgrade)
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
