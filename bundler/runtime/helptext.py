"""What a bundle says about itself on the command line: the overview of `--help`, and `--version`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bundler import __version__
from bundler.errors import BundleError
from bundler.runtime.announce import model_line
from bundler.runtime.bundlefile import BundleFile, open_own


class Command(NamedTuple):
    usage: str
    summary: str
    description: str


COMMANDS = {
    "serve": Command(
        "serve",
        "chat page and API (what happens without a command)",
        "Answer on a local address: a chat page for the browser, and an API that OpenAI clients speak.",
    ),
    "run": Command(
        "run [PROMPT]",
        "answer one question here on the terminal",
        "Answer one question on stdout, without a server. What is piped in is put before the PROMPT.",
    ),
    "embed": Command(
        "embed [TEXT…]",
        "print texts as vectors, a JSON list on a line each",
        "Print each TEXT, or what is piped in, as a vector of length 1: a JSON list on a line.",
    ),
    "info": Command(
        "info [--json]",
        "what is inside, and how it runs on this machine",
        "Show what the bundle holds, and what was decided for this machine and why.",
    ),
    "verify": Command(
        "verify",
        "read every byte of the file and check it",
        "Read the whole file and compare every byte with the digests inside.",
    ),
    "licenses": Command(
        "licenses",
        "the licences of the model and of the software inside",
        "Print the licences of the model and of the software inside.",
    ),
}


def overview(bundle: BundleFile, program: str) -> str:
    """The text of `--help`."""
    name = bundle.manifest.name
    commands = "\n".join(f"  {command.usage:<16}{command.summary}" for command in COMMANDS.values())
    return f"""{name}: {model_line(bundle.model)}
A language model and all it needs in one file. It runs on this machine alone, without a network.

Usage: {program} [COMMAND] [OPTIONS]

Commands:
{commands}

Examples:
  {program}
      chat in the browser; the same address (http://127.0.0.1:11434) is an API for programs
  {program} run "Why is the sky blue?"
      print the answer here
  cat letter.txt | {program} run "Put this in one sentence:"
      ask about a text
  {program} serve --port 8080 --no-browser
      choose the port, open no window
  curl http://127.0.0.1:11434/v1/chat/completions -d '{{"messages": [{{"role": "user", "content": "Hello"}}]}}'
      use the API while it runs; OpenAI clients take http://127.0.0.1:11434/v1 as their base URL

{program} COMMAND --help explains one command with its options."""


def version(environment: Mapping[str, str]) -> str:
    """The text of `--version`: the bundle's name and digest; the runtime's own version where there is no bundle."""
    try:
        bundle = open_own(environment)
    except BundleError:
        return f"bundle-runtime {__version__}"
    return f"{bundle.manifest.name} (manifest {bundle.digest[:12]}, made with bundle {bundle.manifest.bundler})"
