"""`run`: answer one question on stdout, without a server. Nothing but the answer goes to stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, TextIO

import msgspec

from bundler.errors import BundleError
from bundler.runtime.announce import ProgressLine
from bundler.runtime.bundlefile import BundleFile
from bundler.runtime.defaults import Defaults
from bundler.runtime.piped import piped
from bundler.runtime.request import ChatMessage, Delta, Failed, Finished, Request
from bundler.runtime.service import Service
from bundler.runtime.settings import LoadSettings, UsageError
from bundler.runtime.startup import Startup, load_model

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")


def read_question(words: Sequence[str], stdin: TextIO | None, program: str) -> str:
    """What is piped in, then the words of the command line.

    Raises:
        UsageError: there is neither.
        BundleError: what is piped in is no text.
    """
    question = "\n\n".join(part for part in (piped(stdin).strip("\n"), " ".join(words)) if part.strip())
    if not question:
        raise UsageError("there is no question", f'ask one: {program} run "Why is the sky blue?"')
    return question


def run(
    bundle: BundleFile,
    question: str,
    values: Mapping[str, Any],
    load: LoadSettings,
    environment: Mapping[str, str],
) -> int:
    """Load the model and stream the answer; returns the exit code. `values` are those of `arguments.ASKING`.

    Raises:
        BundleError: the model cannot be loaded, or the question not be answered.
    """
    with ProgressLine() as progress:
        startup = Startup(progress.tell)
        service = Service(bundle.manifest, startup)
        options = load.options(service.defaults)
        if options.parallel is None:
            options = msgspec.structs.replace(options, parallel=1)
        startup.begin(lambda tell: load_model(bundle, options, environment, tell))
        service.prepare()
        asyncio.run(_answer(service, _request(question, values, service.defaults), progress))
    return 0


async def _answer(service: Service, request: Request, progress: ProgressLine) -> None:
    text = ""
    try:
        await service.startup.wait()
        async with aclosing(service.answer(request)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    progress.clear()
                    text = event.text
                    print(text, end="", flush=True)
                elif isinstance(event, Failed):
                    raise BundleError(event.message)
                elif isinstance(event, Finished) and not text.endswith("\n"):
                    print(flush=True)
    finally:
        await service.close()


def _request(question: str, values: Mapping[str, Any], defaults: Defaults) -> Request:
    given = {name: values[name] for name in _SAMPLING if name in values}
    if given.get("seed") == -1:
        given["seed"] = None
    system = [ChatMessage("system", values["system"])] if "system" in values else []
    return Request(
        messages=[*system, ChatMessage("user", question)],
        sampling=msgspec.structs.replace(defaults.sampling, **given),
        stop=values.get("stop", ()),
        max_tokens=values.get("max_tokens", defaults.max_tokens),
    )
