"""Answers one internal `Request` with a stream of `Event`s: template, token ids, engine, text.

Stands between the API dialects and the engine. Knows nothing of HTTP. Whoever stops reading an answer (`aclose`)
cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest
from bundler.runtime import defaults
from bundler.runtime.detokenize import Detokenizer
from bundler.runtime.engine.interface import (
    Constraint,
    Drawn,
    EngineClosed,
    EngineFinish,
    Handle,
    Job,
    Loaded,
    Overloaded,
    PromptTooLong,
    Vocabulary,
)
from bundler.runtime.inbox import Inbox
from bundler.runtime.prompting import Prompter
from bundler.runtime.request import (
    Chance,
    Delta,
    Event,
    Failed,
    Finished,
    Form,
    Request,
    Sampling,
    Started,
    ToldToken,
    Usage,
)
from bundler.runtime.startup import Startup
from bundler.runtime.stops import StopFilter


class Service:
    """The model of one bundle, from the moment its loading begins."""

    def __init__(self, manifest: Manifest, startup: Startup) -> None:
        self.name = manifest.name
        self.page = manifest.page
        self.defaults = defaults.from_manifest(manifest)
        self.startup = startup
        self._prompter = Prompter(manifest)
        self._tokenizing: set[asyncio.Task[list[int]]] = set()
        self._closed = asyncio.Event()

    def prepare(self) -> None:
        """Compile the template before the first request needs it.

        Raises:
            BundleError: it is no valid template.
        """
        self._prompter.prepare()

    async def answer(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of one answer, as `bundler.runtime.request` describes them.

        A model that is still loading is waited for. Close the iterator to cancel the answer.
        """
        try:
            loaded = await self.loaded()
        except (BundleError, EngineClosed) as error:
            yield Failed("unavailable", str(error))
            return
        try:
            tokens = await self._tokens(request, loaded)
        except PromptTooLong as error:
            yield Failed("context_length", str(error))
            return
        except BundleError as error:
            yield Failed("invalid_request", error.message)
            return
        try:
            constraint = await asyncio.to_thread(_constraint, loaded, request.form) if request.form else None
        except BundleError as error:
            yield Failed("invalid_request", error.message)
            return
        inbox = Inbox(asyncio.get_running_loop())
        job = Job(
            prompt=tokens,
            sampling=_within(loaded.engine.context_length, request.sampling),
            max_tokens=request.max_tokens,
            ignore_end=request.ignore_end,
            constraint=constraint,
            likeliest=request.likeliest,
            on_tokens=inbox.put,
            on_drawn=inbox.put_drawn,
        )
        accepted = _submit(loaded, job)
        if isinstance(accepted, Failed):
            yield accepted
            return
        try:
            yield Started(len(tokens))
            answer = _Answer(loaded.vocabulary, [*self.defaults.stop, *request.stop])
            finish: EngineFinish | None = None
            while finish is None:
                new, finish = await inbox.get()
                before = answer.tokens
                text = answer.drop(new) if self._closed.is_set() else answer.push(new)
                if finish is not None:
                    text += answer.finish()
                told = [_told(drawn, loaded.vocabulary) for drawn in inbox.drawn(answer.tokens - before)]
                if text or told:
                    yield Delta(text, told)
                if answer.stopped:
                    accepted.cancel()
            yield _finished(answer, finish)
        finally:
            accepted.cancel()

    async def render(self, request: Request) -> str:
        """The prompt of a request as text; needs no model.

        Raises:
            BundleError: see `Prompter.render`.
        """
        return (await asyncio.to_thread(self._prompter.render, request)).text

    async def close(self) -> None:
        """Cancel every answer and free the model. Answers under way end with `Finished("cancelled")`.

        The vocabulary goes with the model, so nobody may be reading from it by then.
        """
        self._closed.set()
        if self._tokenizing:
            await asyncio.wait(self._tokenizing)
        if self.startup.loaded:
            await asyncio.to_thread(self.startup.loaded.engine.close)

    async def loaded(self) -> Loaded:
        """The model, when it is loaded.

        Raises:
            BundleError: it could not be loaded.
            EngineClosed: the service was closed.
        """
        if self.startup.running:
            waiting = {asyncio.ensure_future(self.startup.wait()), asyncio.ensure_future(self._closed.wait())}
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
        if self._closed.is_set():
            raise EngineClosed("the server is stopping")
        return self.startup.outcome.result()

    async def _tokens(self, request: Request, loaded: Loaded) -> list[int]:
        """The prompt, made in a thread that goes on to its end also where nobody waits for it any more.

        Raises:
            PromptTooLong, BundleError: see `Prompter.tokens`.
        """
        making = asyncio.to_thread(self._prompter.tokens, request, loaded.vocabulary, loaded.engine.context_length)
        task = asyncio.create_task(making)
        self._tokenizing.add(task)
        task.add_done_callback(self._tokenized)
        return await asyncio.shield(task)

    def _tokenized(self, task: asyncio.Task[list[int]]) -> None:
        self._tokenizing.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it where nobody waits


class _Answer:
    """The text of an answer so far, with the number of tokens that went into it."""

    def __init__(self, vocabulary: Vocabulary, stops: list[str]) -> None:
        self._detokenizer = Detokenizer(vocabulary.piece)
        self._filter = StopFilter(stops)
        self.tokens = 0
        self.cut = False
        """Whether tokens were dropped, so that the answer is not whole however it ended."""

    @property
    def stopped(self) -> bool:
        return self._filter.stopped

    def push(self, tokens: list[int]) -> str:
        text = ""
        for token in tokens:
            if self.stopped:
                break
            self.tokens += 1
            text += self._filter.push(self._detokenizer.push(token))
        return text

    def drop(self, tokens: list[int]) -> str:
        """Leave tokens out that the vocabulary can no longer be asked about."""
        self.cut = self.cut or (bool(tokens) and not self.stopped)
        return ""

    def finish(self) -> str:
        return self._filter.finish()


def _within(context_length: int, sampling: Sampling) -> Sampling:
    """Penalties look back on the whole context at most; llama.cpp reserves memory for as much as it is told."""
    back = min(sampling.repeat_last_n, context_length)
    return msgspec.structs.replace(sampling, repeat_last_n=back)


def _constraint(loaded: Loaded, form: Form) -> Constraint:
    """The constraint that a form is for this model; takes a while.

    Raises:
        BundleError: it cannot be followed.
    """
    if loaded.constraints is None:
        raise BundleError("failed to follow the form of the answer: this model generates no text")
    match form.kind:
        case "schema":
            return loaded.constraints.schema(form.source)
        case "grammar":
            return loaded.constraints.gbnf(form.source)
        case "expression":
            return loaded.constraints.expression(form.source)


def _told(drawn: Drawn, vocabulary: Vocabulary) -> ToldToken:
    def chance(token: int, probability: float) -> Chance:
        return Chance(vocabulary.piece(token, special=True), probability)

    likeliest = [chance(each.token, each.probability) for each in drawn.likeliest]
    return ToldToken(chance(drawn.token, drawn.probability), likeliest)


def _submit(loaded: Loaded, job: Job) -> Handle | Failed:
    try:
        return loaded.engine.submit(job)
    except PromptTooLong as error:
        return Failed("context_length", str(error))
    except Overloaded as error:
        return Failed("overloaded", str(error))
    except EngineClosed as error:
        return Failed("unavailable", str(error) or "the server is stopping")
    except ValueError as error:
        return Failed("invalid_request", str(error))


def _finished(answer: _Answer, finish: EngineFinish) -> Finished | Failed:
    reason = "cancelled" if answer.cut else "stop" if answer.stopped else finish.reason
    if reason == "failed":
        return Failed("internal", finish.error)
    usage = Usage(
        prompt_tokens=finish.prompt_tokens,
        completion_tokens=answer.tokens if answer.stopped else finish.completion_tokens,
        cached_tokens=finish.cached_tokens,
        prompt_seconds=finish.prompt_seconds,
        completion_seconds=finish.completion_seconds,
    )
    return Finished(reason, usage)
