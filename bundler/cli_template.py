"""`bundle template`: the exact prompt that a conversation becomes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bundler.terminal import progress, warn

if TYPE_CHECKING:
    from bundler.build.prompts import Subject
    from bundler.build.tokenids import Token
    from bundler.prompt.conversation import Rendered, ThinkLevel

_THINKING = ("true", "false", "low", "medium", "high", "max")
_FILE = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.argument(
    "source", metavar="[MODELFILE|FOLDER|GGUF|BUNDLE]", type=click.Path(path_type=Path), default=Path("Modelfile")
)
@click.option(
    "--messages",
    type=_FILE,
    required=True,
    help="JSON: a list of messages, or a chat request as OpenAI's API takes it; - reads it from stdin.",
)
@click.option("--tools", type=_FILE, help="JSON: a list of tools, as OpenAI's API takes them.")
@click.option("--documents", type=_FILE, help="JSON: a list of documents, for templates that show some.")
@click.option(
    "--think",
    type=click.Choice(_THINKING),
    is_flag=False,
    flag_value="true",
    metavar="[LEVEL]",
    help="Let the model think: true, false, low, medium, high or max.  [default: as it does by itself]",
)
@click.option("--no-generation-prompt", is_flag=True, help="Leave out what comes before an answer.")
@click.option("--continue", "continued", is_flag=True, help="End within the last message, which the model continues.")
@click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Set a variable of the template.")
@click.option("--ids", is_flag=True, help="Print the token ids, and what each stands for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def template(
    source: Path,
    messages: Path,
    tools: Path | None,
    documents: Path | None,
    think: str | None,
    no_generation_prompt: bool,
    continued: bool,
    arguments: tuple[str, ...],
    ids: bool,
    as_json: bool,
) -> None:
    """Print the prompt that a conversation becomes, byte by byte as the model gets it.

    SYSTEM and MESSAGEs of the Modelfile are applied, as a bundle does. Of the weights only the header is read: a GGUF
    without its tensors will do.
    """
    from bundler.build import chatfile, prompts  # the build side loads only where it is used

    conversation = chatfile.ChatFile(messages, tools, documents).conversation(
        think=None if think is None else _thinking(think),
        arguments=dict(map(_argument, arguments)),
        generation_prompt=not no_generation_prompt,
        continued=continued,
    )
    with prompts.open_subject(source, progress(quiet=False)) as subject:
        for warning in subject.warnings:
            warn(warning)
        prompt = subject.render(conversation)
        tokens = _tokens(subject, prompt) if ids else None
    if as_json:
        click.echo(json.dumps(_facts(subject, prompt, tokens)))
    elif tokens is not None:
        for token in tokens:
            click.echo(f"{token.id}\t{json.dumps(token.piece, ensure_ascii=False)}")
    else:
        sys.stdout.buffer.write(prompt.text.encode())


def _tokens(subject: Subject, prompt: Rendered) -> list[Token]:
    from bundler.build import packs
    from bundler.build.tokenids import token_ids
    from bundler.formats import targets

    shown = progress(quiet=False)
    pack = packs.find(targets.host(), None) or packs.ensure_host(shown)
    return token_ids(pack, subject, prompt, shown)


def _facts(subject: Subject, prompt: Rendered, tokens: list[Token] | None) -> dict[str, Any]:
    template = subject.template
    return {
        "prompt": prompt.text,
        "template": {"kind": template.kind, "source": template.source, "reason": template.reason},
        **({} if tokens is None else {"tokens": [{"id": token.id, "piece": token.piece} for token in tokens]}),
    }


def _thinking(word: str) -> bool | ThinkLevel:
    return {"true": True, "false": False}.get(word, cast("ThinkLevel", word))


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is no NAME=VALUE", param_hint="--arg")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
