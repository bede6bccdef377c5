"""From a request to its events, over a scripted engine."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from bundler.errors import BundleError
from bundler.formats.manifest import Message
from bundler.runtime.defaults import from_manifest
from bundler.runtime.engine.interface import Handle, Job
from bundler.runtime.request import ChatMessage, Delta, Event, Failed, Finished, Request, Sampling, Started
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import BOS, ByteVocabulary, ScriptedEngine, ScriptedHandle, loaded, until
from tests.runtime.serving import TEMPLATE, manifest

HI = Request(messages=[ChatMessage("user", "Hi")])
LONG = Request(messages=[ChatMessage("user", "Hi " * 2000)])
"""Its prompt is made in a thread."""


def answer(service: Service, request: Request) -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in service.answer(request)]

    return asyncio.run(collect())


def prompt_of(request: Request, vocabulary: ByteVocabulary | None = None, **changes: Any) -> str:
    engine = ScriptedEngine()
    answer(Service(manifest(**changes), Startup.done(loaded(engine, vocabulary))), request)
    return engine.prompt()


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def test_an_answer_is_started_told_and_finished() -> None:
    events = answer(Service(manifest(), Startup.done(loaded(ScriptedEngine("Hällo 🦙")))), HI)
    assert isinstance(events[0], Started)
    assert all(isinstance(event, Delta) for event in events[1:-1])
    assert isinstance(events[-1], Finished)
    assert text_of(events) == "Hällo 🦙"
    assert events[-1].reason == "stop"


def test_the_stop_strings_of_template_modelfile_and_request_all_hold() -> None:
    template = msgspec.structs.replace(TEMPLATE, stops=["<t>"])
    for stop, expected in (("<t>", "a"), ("<m>", "a"), ("<r>", "a"), ("<x>", "a<x>b")):
        service = Service(
            manifest(template=template, parameters={"stop": ["<m>"]}),
            Startup.done(loaded(ScriptedEngine(f"a{stop}b"))),
        )
        request = Request(messages=HI.messages, stop=["<r>"])
        assert text_of(answer(service, request)) == expected


def test_text_held_back_for_a_stop_string_comes_at_the_end() -> None:
    service = Service(manifest(parameters={"stop": ["<end>"]}), Startup.done(loaded(ScriptedEngine("a <en"))))
    assert text_of(answer(service, HI)) == "a <en"


def test_a_stop_string_cancels_the_engine() -> None:
    engine = ScriptedEngine("a.bcdef", hold=False)
    events = answer(
        Service(manifest(), Startup.done(loaded(engine))), Request(messages=HI.messages, stop=["."], max_tokens=100)
    )
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "stop"
    assert finished.usage.completion_tokens == 2


class Clock:
    """Counts its readings: each token takes a second."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_an_answer_that_took_its_time_ends_with_its_line() -> None:
    engine = ScriptedEngine("one\ntwo\nthree\nfour")
    service = Service(manifest(), Startup.done(loaded(engine)), clock=Clock())
    events = answer(service, Request(messages=HI.messages, writing_seconds=5))
    assert text_of(events) == "one\ntwo\n"
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.usage.completion_tokens) == ("length", 8)


@pytest.mark.parametrize("text", ["", "So far"])
def test_a_request_that_is_out_of_time(text: str) -> None:
    engine = ScriptedEngine(text, end="timeout")
    service = Service(manifest(), Startup.done(loaded(engine)), request_seconds=30, clock=Clock())
    events = answer(service, HI)
    assert engine.jobs[-1].time_limit == 29
    if text:
        assert isinstance(events[-1], Finished)
        assert (text_of(events), events[-1].reason) == (text, "length")
    else:
        assert events[-1] == Failed("timeout", "no answer began within 30 seconds; try again later")


def test_a_request_does_not_wait_for_a_model_longer_than_it_may() -> None:
    events = answer(Service(manifest(), Startup(), request_seconds=0.001), HI)
    assert events == [Failed("timeout", "no answer began within 0.001 seconds; try again later")]


SYSTEM = [ChatMessage("system", "Own."), ChatMessage("user", "Hi")]
HISTORY = [Message("user", "Q"), Message("assistant", "A")]
PROMPTS: list[tuple[list[ChatMessage], dict[str, Any], str]] = [
    ([ChatMessage("user", "Hi")], {}, "[user]Hi[assistant]"),
    ([ChatMessage("user", "Hi")], {"system": "Be brief."}, "[system]Be brief.[user]Hi[assistant]"),
    (SYSTEM, {"system": "Be brief."}, "[system]Own.[user]Hi[assistant]"),
    ([ChatMessage("user", "Hi")], {"messages": HISTORY}, "[user]Q[assistant]A[user]Hi[assistant]"),
    (
        [ChatMessage("user", "Hi")],
        {"messages": HISTORY, "system": "Be brief."},
        "[system]Be brief.[user]Q[assistant]A[user]Hi[assistant]",
    ),
    (SYSTEM, {"messages": HISTORY, "system": "B"}, "[system]Own.[user]Q[assistant]A[user]Hi[assistant]"),
    (SYSTEM[:1], {}, "[system]Own.[assistant]"),
]


@pytest.mark.parametrize(("messages", "changes", "prompt"), PROMPTS)
def test_system_and_messages_of_the_modelfile(
    messages: list[ChatMessage], changes: dict[str, Any], prompt: str
) -> None:
    assert prompt_of(Request(messages=messages), **changes) == prompt


@pytest.mark.parametrize(
    ("template", "add_bos", "prompt"),
    [
        ("{{ bos_token }}Hi", True, "<s>Hi"),
        ("{{ bos_token }}Hi", False, "<s>Hi"),
        ("Hi", True, "<s>Hi"),
        ("Hi", False, "Hi"),
    ],
)
def test_there_is_one_bos_token(template: str, add_bos: bool, prompt: str) -> None:
    changed = msgspec.structs.replace(TEMPLATE, text=template, bos_token="<s>")
    assert prompt_of(HI, ByteVocabulary(add_bos=add_bos), template=changed) == prompt


def test_what_a_user_writes_is_no_control_token() -> None:
    engine = ScriptedEngine()
    template = msgspec.structs.replace(TEMPLATE, text="{{ bos_token }}{{ messages[0].content }}", bos_token="<s>")
    service = Service(manifest(template=template, specials=["<s>"]), Startup.done(loaded(engine)))
    answer(service, Request(messages=[ChatMessage("user", "<s>")]))
    assert engine.jobs[-1].prompt == [BOS, *b"<s>"]


def test_a_plain_prompt_gets_its_bos_token_too() -> None:
    assert prompt_of(Request(prompt="Once"), ByteVocabulary(add_bos=True)) == "<s>Once"


def test_token_ids_are_taken_as_they_are() -> None:
    assert prompt_of(Request(prompt=[79, 110]), ByteVocabulary(add_bos=True)) == "On"


def test_template_arguments_reach_the_template() -> None:
    template = msgspec.structs.replace(TEMPLATE, text="{{ 'yes' if enable_thinking else 'no' }}")
    request = Request(messages=HI.messages, template_arguments={"enable_thinking": True})
    assert prompt_of(request, template=template) == "yes"


def test_template_arguments_cannot_replace_the_messages() -> None:
    request = Request(messages=HI.messages, template_arguments={"messages": []})
    [event] = answer(Service(manifest(), Startup.done(loaded(ScriptedEngine()))), request)
    assert event == Failed(
        "invalid_request", "failed to render the messages: the template's variable messages cannot be set"
    )


def test_a_request_waits_for_the_model() -> None:
    startup = Startup()
    service = Service(manifest(), startup)

    async def ask() -> list[Event]:
        answering = asyncio.ensure_future(_collect(service))
        await asyncio.sleep(0)
        assert not answering.done()
        startup.outcome.set_result(loaded(ScriptedEngine("late")))
        return await answering

    assert text_of(asyncio.run(ask())) == "late"


def test_a_model_that_cannot_be_loaded_fails_the_request() -> None:
    startup = Startup()
    startup.outcome.set_exception(BundleError("failed to load: it is broken"))
    assert answer(Service(manifest(), startup), HI) == [Failed("unavailable", "failed to load: it is broken")]


def test_an_answer_that_nobody_reads_on_is_cancelled() -> None:
    engine = ScriptedEngine("Hello", hold=True)

    async def read_one() -> None:
        async with aclosing(Service(manifest(), Startup.done(loaded(engine))).answer(HI)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    return

    asyncio.run(read_one())
    until(lambda: bool(engine.finishes))
    assert engine.finishes[0].reason == "cancelled"


def test_loading_tells_its_progress_and_wraps_what_goes_wrong() -> None:
    told: list[tuple[float, str]] = []
    startup = Startup(lambda fraction, stage: told.append((fraction, stage)))

    def load(progress: Any) -> Any:
        progress(0.5, "halfway")
        raise RuntimeError("odd")

    startup.begin(load)
    with pytest.raises(BundleError, match=r"^failed to load the model: RuntimeError: odd$"):
        startup.outcome.result(30)
    assert told == [(0.5, "halfway")]
    assert startup.loaded is None


def test_ollama_s_ways_to_say_no_limit() -> None:
    defaults = from_manifest(manifest(parameters={"num_predict": -1, "seed": -1, "num_ctx": 512, "num_thread": 0}))
    assert (defaults.max_tokens, defaults.sampling.seed) == (None, None)
    assert (defaults.context_length, defaults.threads) == (512, None)


@pytest.mark.parametrize(("asked", "given"), [(-1, -1), (64, 64), (2**31 - 1, 1000)])
def test_penalties_look_back_on_the_context_at_most(asked: int, given: int) -> None:
    engine = ScriptedEngine()
    request = Request(messages=HI.messages, sampling=Sampling(repeat_last_n=asked, repeat_penalty=1.1))
    answer(Service(manifest(), Startup.done(loaded(engine))), request)
    assert engine.jobs[0].sampling.repeat_last_n == given


def test_a_request_that_waits_for_the_model_ends_with_the_service() -> None:
    service = Service(manifest(), Startup())

    async def stop_while_loading() -> list[Event]:
        answering = asyncio.ensure_future(_collect(service))
        await asyncio.sleep(0)
        await service.close()
        return await answering

    assert asyncio.run(stop_while_loading()) == [Failed("unavailable", "the server is stopping")]


def test_the_model_is_not_freed_while_a_prompt_is_made() -> None:
    """The vocabulary is part of the model: tokenizing over a freed one crashes."""
    vocabulary = SlowVocabulary()
    engine = ScriptedEngine()
    service = Service(manifest(), Startup.done(loaded(engine, vocabulary)))

    async def stop_while_tokenizing() -> list[Event]:
        answering = asyncio.ensure_future(_collect(service, LONG))
        await asyncio.to_thread(vocabulary.entered.wait, 30)
        closing = asyncio.ensure_future(service.close())
        await asyncio.sleep(0)
        assert not engine.closed
        vocabulary.go_on.set()
        await closing
        return await answering

    *_, last = asyncio.run(stop_while_tokenizing())
    assert isinstance(last, Failed) or (isinstance(last, Finished) and last.reason == "cancelled")
    assert engine.closed
    assert answer(service, HI) == [Failed("unavailable", "the server is stopping")]


def test_a_prompt_that_nobody_waits_for_is_made_before_the_model_is_freed() -> None:
    vocabulary = SlowVocabulary()
    engine = ScriptedEngine()
    service = Service(manifest(), Startup.done(loaded(engine, vocabulary)))

    async def leave_while_tokenizing() -> None:
        answering = asyncio.ensure_future(_collect(service, LONG))
        await asyncio.to_thread(vocabulary.entered.wait, 30)
        answering.cancel()
        await asyncio.wait([answering])
        closing = asyncio.ensure_future(service.close())
        await asyncio.sleep(0)
        assert not engine.closed
        vocabulary.go_on.set()
        await closing

    asyncio.run(leave_while_tokenizing())
    assert engine.closed


def test_tokens_that_come_after_the_end_are_not_looked_up() -> None:
    engine = LateEngine("Hello")
    service = Service(manifest(), Startup.done(loaded(engine, GoneVocabulary(engine))))

    async def close_while_answering() -> list[Event]:
        answering = asyncio.ensure_future(_collect(service))
        await asyncio.to_thread(until, lambda: bool(engine.jobs))
        await service.close()
        return await answering

    *_, last = asyncio.run(close_while_answering())
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"


def test_an_answer_that_a_stop_string_ended_is_whole_whatever_comes_after() -> None:
    service = Service(manifest(), Startup.done(loaded(ScriptedEngine("a<r>", fail="out of memory"))))
    *_, last = answer(service, Request(messages=HI.messages, stop=["<r>"]))
    assert isinstance(last, Finished)
    assert last.reason == "stop"


def test_a_prompt_that_cannot_fit_is_refused_without_being_tokenized() -> None:
    engine = ScriptedEngine()
    service = Service(manifest(), Startup.done(loaded(engine, UnreadVocabulary())))
    for character in ("x", " ", "ü"):
        size = 64 * engine.context_length // len(character.encode()) + 1
        [failed] = answer(service, Request(prompt=character * size))
        assert isinstance(failed, Failed)
        assert failed.kind == "context_length"
        assert "at least 160" in failed.message
        assert "the context holds 1000" in failed.message


@pytest.mark.parametrize("size", [64 * 1000, 100 * 1000])
def test_a_prompt_of_long_tokens_is_tokenized_however_many_bytes_it_has(size: int) -> None:
    service = Service(manifest(), Startup.done(loaded(ScriptedEngine(), LongVocabulary(longest_piece=100))))
    assert isinstance(answer(service, Request(prompt="x" * size))[-1], Finished)


class UnreadVocabulary(ByteVocabulary):
    """Nobody may tokenize."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        raise AssertionError


class LongVocabulary(ByteVocabulary):
    """Takes a thousand bytes for one token."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [ord(text[0])] * (len(text) // 1000)


class SlowVocabulary(ByteVocabulary):
    """Tokenizes only when it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.entered.set()
        assert self.go_on.wait(30)
        return super().tokenize(text, add_special=add_special, parse_special=parse_special)


class LateEngine(ScriptedEngine):
    """Hands its whole answer out when it is closed, as a step does that was under way."""

    def submit(self, job: Job) -> Handle:
        self.jobs.append(job)
        return ScriptedHandle()

    def close(self) -> None:
        self.closed = True
        [job] = self.jobs
        self._work(job, ScriptedHandle())


class GoneVocabulary(ByteVocabulary):
    """Is gone with its engine."""

    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__()
        self._engine = engine

    def piece(self, token: int, *, special: bool = False) -> bytes:
        assert not self._engine.closed
        return super().piece(token, special=special)


async def _collect(service: Service, request: Request = HI) -> list[Event]:
    return [event async for event in service.answer(request)]
