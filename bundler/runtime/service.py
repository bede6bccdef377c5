"""Answers one internal `Request` with a stream of `Event`s: template, token ids, engine, text.

Stands between the API dialects and the engine. Knows nothing of HTTP. Whoever stops reading an answer (`aclose`)
cancels it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property

import msgspec

from bundler.errors import BundleError
from bundler.formats.manifest import Manifest
from bundler.prompt.specials import Specials
from bundler.runtime import defaults
from bundler.runtime.answertext import AnswerText
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
from bundler.runtime.inbox import Inbox, Postman
from bundler.runtime.prompting import Prompter
from bundler.runtime.request import (
    Chance,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Form,
    Request,
    Sampling,
    Started,
    ToldToken,
    Usage,
)
from bundler.runtime.residence import Residence
from bundler.runtime.startup import Startup
from bundler.runtime.truncating import with_bos


@dataclass
class _Begun:
    """An answer that the engine has accepted."""

    prompt_tokens: int
    handle: Handle
    inbox: Inbox
    answer: AnswerText
    vocabulary: Vocabulary


class Service:
    """One model of a bundle, from the moment its loading begins."""

    def __init__(
        self,
        manifest: Manifest,
        startup: Startup,
        *,
        keep_alive: float | None = None,
        request_seconds: float | None = None,
        shift: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keep_alive`: seconds without requests after which the model is unloaded, None: never; `request_seconds`:
        most that a request may take, waiting included, None: no limit; `shift`: see `Defaults`; `clock` counts seconds.
        """
        self.name = manifest.name
        self.page = manifest.page
        self.defaults = msgspec.structs.replace(defaults.from_manifest(manifest), shift=shift)
        self.startup = startup
        self.residence = Residence(startup, keep_alive)
        self._prompter = Prompter(manifest)
        self._spellings = manifest.specials
        self._request_seconds = None if request_seconds == math.inf else request_seconds
        self._clock = clock
        self._post: Postman | None = None

    @cached_property
    def specials(self) -> Specials:
        """The spellings of the model's control tokens."""
        return Specials(self._spellings)

    def prepare(self) -> None:
        """Compile the template before the first request needs it.

        Raises:
            BundleError: it is no valid template.
        """
        self._prompter.prepare()

    async def answer(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of one answer, as `bundler.runtime.request` describes them.

        A model that is still loading, or was unloaded, is waited for. Close the iterator to cancel the answer.
        """
        async with AsyncExitStack() as stack:
            begun = await self._begin(request, stack)
            if isinstance(begun, Failed):
                yield begun
                return
            yield Started(begun.prompt_tokens)
            inbox, answer = begun.inbox, begun.answer
            finish: EngineFinish | None = None
            while finish is None:
                new, finish = await inbox.get()
                before = answer.tokens
                text = answer.drop(new) if self.residence.closed else answer.push(new)
                if finish is not None:
                    text += answer.finish()
                told: Sequence[ToldToken] = ()
                if request.likeliest is not None:
                    told = [_told(drawn, begun.vocabulary) for drawn in inbox.drawn(answer.tokens - before)]
                if text or told:
                    yield Delta(text, told, last=finish is not None)
                if answer.ended:
                    begun.handle.cancel()
            if finish.reason == "timeout" and not finish.completion_tokens:
                yield self._too_late()
            else:
                yield _finished(answer, finish)

    async def _begin(self, request: Request, stack: AsyncExitStack) -> _Begun | Failed:
        """Give a request to the engine; `stack` takes the answer back and lets the model go."""
        deadline = math.inf if self._request_seconds is None else self._clock() + self._request_seconds
        try:
            async with asyncio.timeout(self._request_seconds):
                loaded = await stack.enter_async_context(self.residence.use(request.keep_alive))
        except TimeoutError:
            return self._too_late()
        except (BundleError, EngineClosed) as error:
            return Failed("unavailable", str(error))
        inbox = Inbox(self._postman())
        try:
            job = await self._job(request, loaded, inbox)
        except PromptTooLong as error:
            return Failed("context_length", str(error))
        except BundleError as error:
            return Failed("invalid_request", error.message)
        if deadline < math.inf:
            job = msgspec.structs.replace(job, time_limit=deadline - self._clock())
        accepted = _submit(loaded, job)
        if isinstance(accepted, Failed):
            return accepted
        stack.callback(accepted.cancel)
        stops = [*self.defaults.stop, *request.stop]
        answer = AnswerText(loaded.vocabulary, stops, request.writing_seconds, self._clock)
        return _Begun(len(job.prompt), accepted, inbox, answer, loaded.vocabulary)

    def _postman(self) -> Postman:
        """The one of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._post is None or self._post.loop is not loop:
            self._post = Postman(loop)
        return self._post

    def _too_late(self) -> Failed:
        return Failed("timeout", f"no answer began within {self._request_seconds:g} seconds; try again later")

    async def _job(self, request: Request, loaded: Loaded, inbox: Inbox) -> Job:
        """What the engine is to do for a request, the results going to `inbox`.

        Raises:
            PromptTooLong, BundleError: see `Prompter.tokens`; or the form of the answer cannot be followed.
        """
        context_length, in_thread = loaded.engine.context_length, self.residence.in_thread
        if self._prompter.is_short(request):
            tokens = self._prompter.tokens(request, loaded.vocabulary, context_length)
        else:
            tokens = await in_thread(self._prompter.tokens, request, loaded.vocabulary, context_length)
        constraint = await in_thread(_constraint, loaded, request.form) if request.form else None
        return Job(
            prompt=tokens,
            sampling=_within(context_length, request.sampling),
            max_tokens=request.max_tokens,
            shift=request.shift,
            keep=with_bos(request.keep, tokens, loaded.vocabulary),
            ignore_end=request.ignore_end,
            constraint=constraint,
            likeliest=request.likeliest,
            on_tokens=inbox.put,
            on_drawn=inbox.put_drawn,
        )

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
        await self.residence.close()


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


def _finished(answer: AnswerText, finish: EngineFinish) -> Finished | Failed:
    if finish.reason == "constraint" and not (answer.cut or answer.ended):
        return Failed(
            "form", f"{finish.error}, after {finish.completion_tokens} tokens of it; ask for another, simpler form"
        )
    if finish.reason == "failed" and not (answer.cut or answer.ended):
        return Failed("internal", finish.error)
    reason: FinishReason = "cancelled"
    if answer.ended and not answer.cut:
        reason = "stop" if answer.stopped else "length"
    elif finish.reason in ("stop", "length", "timeout") and not answer.cut:
        reason = "stop" if finish.reason == "stop" else "length"
    usage = Usage(
        prompt_tokens=finish.prompt_tokens,
        completion_tokens=answer.tokens if answer.ended else finish.completion_tokens,
        cached_tokens=finish.cached_tokens,
        prompt_seconds=finish.prompt_seconds,
        completion_seconds=finish.completion_seconds,
    )
    return Finished(reason, usage)
