"""A Go template run as Ollama runs it: at once with all messages, turn by turn, or around a gap.

Knows what Ollama passes to a template and when; the language is `gotemplate`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from bundler.errors import BundleError
from bundler.prompt.conversation import Completion, Conversation, ThinkLevel
from bundler.prompt.foreign import concat
from bundler.prompt.gotemplate import nodes
from bundler.prompt.gotemplate.builtins import BUILTINS
from bundler.prompt.gotemplate.errors import GoTemplateError
from bundler.prompt.gotemplate.parse import Trees, parse_trees
from bundler.prompt.gotemplate.scope import MissingKey
from bundler.prompt.gotemplate.template import Template
from bundler.prompt.gotemplate.values import Slice
from bundler.prompt.ollama import cut, formats
from bundler.prompt.ollama.functions import FUNCTIONS
from bundler.prompt.ollama.reader import Reader
from bundler.prompt.ollama.tools import tools
from bundler.prompt.ollama.turns import Turn, collated, messages, system, turns

NAME: Final = "TEMPLATE"
"""What errors call the template."""

_SAID_BY: Final = {"system": "System", "user": "Prompt", "assistant": "Response"}
_NOTHING: Final = dict.fromkeys(_SAID_BY.values(), "")
_END: Final = "\u27e6\u2042\u27e7"
"""Stands after the text that the model goes on with while the template runs: in no text, and never escaped."""


@lru_cache(maxsize=32)
def read(text: str) -> OllamaTemplate:
    """The template that the text is, ready to run.

    Raises:
        BundleError: the text is no Go template; the message says where.
    """
    try:
        return OllamaTemplate(text)
    except GoTemplateError as cause:
        raise _failure("read", cause) from cause


class OllamaTemplate:
    """`names` are the fields that it mentions, in lower case; for `tool_tag` and `thinking_tags` see `formats`.

    Its methods raise BundleError where the template fails, or a value has another type than in Ollama's API. Where
    `foreign`, they give a Foreign with marks on what the template did not write itself.
    """

    def __init__(self, text: str) -> None:
        """Raises GoTemplateError where the text is no Go template."""
        trees = parse_trees(text, NAME, {*BUILTINS, *FUNCTIONS})
        root = trees.roots[NAME]
        self.names = formats.names(trees.roots.values())
        self.tool_tag = formats.tool_tag(root)
        self.thinking_tags = formats.thinking_tags(root)
        if self.names.isdisjoint(("messages", "response")):
            root = _with_response(root, len(text))
        self._whole = _program(trees, root, "zero")
        self._last = _program(trees, cut.after_response(root), "default")

    def chat(self, conversation: Conversation, *, foreign: bool = False) -> str:
        """The prompt for a conversation.

        Whether it ends with the beginning of an answer, and whether it goes on with a last message of the assistant, is
        up to the template: `add_generation_prompt` changes nothing, `continue_final` sees to the latter.
        """
        reader = Reader(foreign)
        given = turns(conversation.messages, reader)
        if conversation.continue_final:
            _leave_open(given)
        if "messages" in self.names:
            prompt = self._at_once(given, tools(conversation.tools, reader), self._thinking(conversation.think))
        else:
            prompt = self._turn_by_turn(given, self._thinking(conversation.think))
        return _until_end(prompt) if conversation.continue_final else prompt

    def fill(self, completion: Completion, *, foreign: bool = False) -> str:
        """The prompt for the gap between a prompt and a suffix."""
        if "suffix" not in self.names:
            raise BundleError(
                "failed to render the prompt: the template has no place for a suffix",
                "send the prompt alone, or give the bundle a TEMPLATE with .Suffix",
            )
        reader = Reader(foreign)
        given = {
            "Prompt": reader.text(completion.prompt, "prompt"),
            "Suffix": reader.text(completion.suffix, "suffix"),
            "Response": "",
        }
        return _run(self._whole, given | self._thinking(completion.think))

    def _at_once(self, given: Sequence[Turn], declared: Slice, thinking: dict[str, Any]) -> str:
        said = system(given)
        values = {"System": said, "Messages": messages(collated(given)), "Tools": declared, "Response": ""}
        return _run(self._whole, values | thinking)

    def _turn_by_turn(self, given: Sequence[Turn], thinking: dict[str, Any]) -> str:
        """A turn ends before the next question, and before a system message; the last one is left open."""
        prompts = []
        turn = dict(_NOTHING)
        for message in collated(given):
            ends = {"system": turn["Prompt"] or turn["Response"], "user": turn["Response"]}
            if ends.get(message.role):
                prompts.append(_run(self._whole, turn | thinking))
                turn = dict(_NOTHING)
            if message.role in _SAID_BY:
                turn[_SAID_BY[message.role]] = message.content
        prompts.append(_run(self._last, turn | thinking))
        return concat(prompts)

    def _thinking(self, think: bool | ThinkLevel | None) -> dict[str, Any]:
        """A model that shows where it thinks does so unless it is told not to, as Ollama's server decides."""
        if think is None and self.thinking_tags.opening:
            think = True
        level = think if isinstance(think, str) else "medium" if think else ""
        return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


def _run(template: Template, values: Mapping[str, Any]) -> str:
    try:
        return template.execute(values)
    except GoTemplateError as cause:
        raise _failure("render", cause) from cause


def _failure(verb: str, cause: GoTemplateError) -> BundleError:
    return BundleError(
        f"failed to {verb} the chat template: {cause.message.removeprefix('template: ')}",
        "correct the TEMPLATE of the Modelfile and build again",
    )


def _program(trees: Trees, root: nodes.List, missing_key: MissingKey) -> Template:
    """The template with another tree for the text itself."""
    replaced = Trees(trees.text, trees.name)
    replaced.roots = {**trees.roots, NAME: root}
    return Template(replaced, FUNCTIONS, missing_key)


def _with_response(root: nodes.List, at: int) -> nodes.List:
    field = nodes.Command(at, (nodes.Field(at, ("Response",)),))
    return replace(root, nodes=(*root.nodes, nodes.Action(at, nodes.Pipe(at, (), False, (field,)))))


def _leave_open(given: Sequence[Turn]) -> None:
    """Mark the end of the last message."""
    if not given or given[-1].role != "assistant":
        raise BundleError("failed to continue the last message: it is not the assistant's")
    given[-1].contents[-1] += _END


def _until_end(prompt: str) -> str:
    end = prompt.rfind(_END)
    if end < 0:
        raise BundleError("failed to continue the last message: the template does not show the end of it")
    return prompt[:end]
