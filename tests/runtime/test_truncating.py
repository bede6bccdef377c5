"""Prompts that do not fit: refused with numbers, or made shorter where that is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bundler.formats.manifest import Message
from bundler.runtime import truncating
from bundler.runtime.request import ChatMessage, Event, Failed, Request
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import BOS, ByteVocabulary, ScriptedEngine, loaded
from tests.runtime.serving import manifest

CHAT = [
    ChatMessage("system", "S" * 10),
    ChatMessage("user", "a" * 30),
    ChatMessage("assistant", "b" * 30),
    ChatMessage("user", "c" * 30),
    ChatMessage("assistant", "d" * 30),
    ChatMessage("user", "e" * 30),
]
ROOM = len("[system][user][assistant]") + 10 + 30


def asked(request: Request, context: int, *, add_bos: bool = False, **changes: Any) -> ScriptedEngine | Event:
    """The engine that got the prompt, or the failure."""
    engine = ScriptedEngine(context_length=context)
    service = Service(manifest(**changes), Startup.done(loaded(engine, ByteVocabulary(add_bos=add_bos))))

    async def collect() -> list[Event]:
        return [event async for event in service.answer(request)]

    events = asyncio.run(collect())
    return engine if engine.jobs else events[-1]


def prompt(request: Request, context: int, **changes: Any) -> str:
    engine = asked(request, context, **changes)
    assert isinstance(engine, ScriptedEngine)
    assert len(engine.jobs[-1].prompt) < context
    return engine.prompt()


def test_without_truncation_a_long_prompt_is_refused_with_numbers() -> None:
    failed = asked(Request(messages=CHAT), 200)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message) == (
        "context_length",
        "the prompt has 219 tokens, and the context holds 200, the answer included",
    )


@pytest.mark.parametrize(
    ("context", "answer", "letters"),
    [(220, 1, "Sabcde"), (219, 1, "Scde"), (150, 4, "Scde"), (140, 40, "Se"), (ROOM + 1, 1, "Se")],
)
def test_a_chat_loses_its_oldest_messages_and_keeps_what_the_system_says(
    context: int, answer: int, letters: str
) -> None:
    made = prompt(Request(messages=CHAT, truncate=True, max_tokens=answer), context)
    assert [letter for letter in "Sabcde" if letter * 10 in made] == list(letters)
    assert made.endswith("[user]" + "e" * 30 + "[assistant]")


def test_messages_of_the_modelfile_are_lost_first() -> None:
    history = [Message("user", "Q" * 30), Message("assistant", "A" * 30)]
    request = Request(messages=[ChatMessage("user", "Hi")], truncate=True, max_tokens=1)
    assert prompt(request, 60, messages=history, system="Be brief.") == "[system]Be brief.[user]Hi[assistant]"


def test_a_last_message_that_is_too_long_loses_the_middle_of_its_tokens() -> None:
    request = Request(messages=[ChatMessage("user", "".join(map(str, range(100))))], truncate=True, keep=6)
    made = prompt(request, 64)
    assert (made[:6], made[-15:], len(made)) == ("[user]", "9899[assistant]", 48)


def test_a_text_keeps_its_first_and_its_last_tokens() -> None:
    text = "".join(chr(65 + index % 26) for index in range(100))
    made = prompt(Request(prompt=text, truncate=True, keep=10, max_tokens=14), 64)
    assert made == text[:10] + text[-40:]


def test_token_ids_are_cut_too_and_bos_is_kept_beside_what_is_asked_for() -> None:
    ids = [BOS, *range(100)]
    engine = asked(Request(prompt=ids, truncate=True, keep=2, max_tokens=14), 64, add_bos=True)
    assert isinstance(engine, ScriptedEngine)
    assert engine.jobs[-1].prompt == [BOS, 0, 1, *range(53, 100)]
    assert engine.jobs[-1].keep == 3


def test_a_text_of_millions_of_characters_is_cut_as_any_other() -> None:
    made = prompt(Request(prompt="x" * 200_000 + "end", truncate=True), 64)
    assert made == "x" * 45 + "end"


def test_a_prompt_that_fits_is_left_alone() -> None:
    text = "x" * 63
    assert prompt(Request(prompt=text, truncate=True), 64) == text


@pytest.mark.parametrize(
    ("context", "asked_tokens", "most"), [(100, None, 75), (100, 10, 90), (100, 90, 75), (100, 0, 99), (4, None, 3)]
)
def test_room_is_left_for_an_answer(context: int, asked_tokens: int | None, most: int) -> None:
    assert truncating.most_tokens(context, asked_tokens) == most


def test_a_chat_that_a_template_refuses_is_an_error_as_ever() -> None:
    template = manifest().template
    assert template is not None
    refusing = msgspec.structs.replace(template, text="{{ raise_exception('no') }}")
    failed = asked(Request(messages=CHAT, truncate=True), 100, template=refusing)
    assert isinstance(failed, Failed)
    assert failed.kind == "invalid_request"
