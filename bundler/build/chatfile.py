"""A conversation from JSON files: a list of messages, or a chat request as clients send it; tools and documents beside.

An error points at the place in the file. What the fields mean is in `prompt.chatrequest`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from bundler.errors import BundleError
from bundler.formats.jsontext import MAX_SIZE, JsonText, path_of
from bundler.prompt.chatrequest import ChatBody, conversation
from bundler.prompt.conversation import Conversation, ThinkLevel
from bundler.prompt.messages import MessageError

STDIN: Final = Path("-")


class ChatFile:
    """The files of one conversation, and what the command line says beside them."""

    def __init__(self, messages: Path, tools: Path | None = None, documents: Path | None = None) -> None:
        """Read the files; `-` is stdin.

        Raises:
            BundleError: one cannot be read, or is no JSON of the right shape.
        """
        self._main = JsonText(_bytes(messages), str(messages))
        value = self._main.value()
        self._bare = isinstance(value, list)
        if not self._bare and not isinstance(value, dict):
            self._main.fail((), "a list of messages is needed, or an object that has one")
        self._fields: dict[str, Any] = {"messages": value} if self._bare else value
        self._beside: dict[str, JsonText] = {}
        for key, path in (("tools", tools), ("documents", documents)):
            if path is not None:
                self._beside[key] = text = JsonText(_bytes(path), str(path))
                self._fields[key] = text.value()

    def conversation(
        self,
        *,
        think: bool | ThinkLevel | None = None,
        arguments: Mapping[str, Any] | None = None,
        generation_prompt: bool = True,
        continued: bool = False,
    ) -> Conversation:
        """What the files say, changed by what is given here.

        Raises:
            BundleError: a field is of the wrong type or makes no sense.
        """
        fields = dict(self._fields)
        if not generation_prompt:
            fields["add_generation_prompt"] = False
        if continued:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        try:
            asked = conversation(msgspec.convert(fields, ChatBody))
        except msgspec.ValidationError as cause:
            fault, _, place = str(cause).partition(" - at `$")
            place = place.removesuffix("`").removeprefix(".")
            self._fail(place, f"{place}{': ' if place else ''}{fault[:1].lower()}{fault[1:]}")
        except MessageError as error:
            self._fail(error.place, error.message)
        thinking = fields.get("think") if think is None else think
        if thinking not in (None, True, False, "low", "medium", "high", "max"):
            self._fail("think", "think is none of true, false, low, medium, high, max")
        return replace(
            asked,
            think=asked.think if thinking is None else thinking,
            arguments={**asked.arguments, **(arguments or {})},
        )

    def _fail(self, place: str, fault: str) -> NoReturn:
        path = path_of(place)
        if path and path[0] in self._beside:
            self._beside[str(path[0])].fail(path[1:], fault)
        self._main.fail(path[1:] if self._bare else path, fault)


def _bytes(path: Path) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_SIZE + 1)
    try:
        with path.open("rb") as file:
            return file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        raise BundleError(f"failed to read {path}: {reason}", "check the path and its permissions") from cause
