"""What a Jinja template is given: a conversation as transformers 5 passes it (`apply_chat_template`).

Messages lose what is None, and have their reasoning under each name that templates know. Knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bundler.errors import BundleError
from bundler.prompt.conversation import Conversation
from bundler.prompt.specials import OWN_ROLES

END: Final = "CONTINUE_FINAL_MESSAGE_TAG "
"""Put behind the text to be continued; some templates look for it. The blank shows whether a template strips."""
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")

Message = Mapping[str, Any]


class ContinuationError(BundleError):
    """The last message cannot be continued."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"failed to continue the last message: {cause}")


def normalized(message: Message) -> dict[str, Any]:
    """The message without what is None, its reasoning under each name that templates know."""
    given = {name: value for name, value in message.items() if value is not None}
    reasoning = next((given[name] for name in _REASONING if name in given), None)
    return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}


def variables(conversation: Conversation, messages: Sequence[Message], marked: Callable[[Any], Any]) -> dict[str, Any]:
    """The variables, all text that the conversation brings passed through `marked`.

    `messages` are the normalized ones of the conversation in a shape that the template reads.

    Raises:
        ContinuationError: the last message is to be continued and has no text.
    """
    if conversation.continue_final:
        messages = [*messages[:-1], _open_ended(messages[-1] if messages else {})]
    return {
        **{name: marked(value) for name, value in conversation.arguments.items()},
        "messages": [_marked(message, marked) for message in messages],
        "tools": marked(list(conversation.tools)) or None,
        "documents": marked(list(conversation.documents)) or None,
        "add_generation_prompt": conversation.add_generation_prompt and not conversation.continue_final,
    }


def cut(prompt: str, last: Message) -> str:
    """The prompt up to the end of the text of the last message.

    Raises:
        ContinuationError: the template leaves the message out, or changes it.
    """
    _, text = _continued(last)
    if END.strip() not in prompt or text.strip() not in prompt:
        raise ContinuationError("the chat template leaves it out")
    end = prompt.rindex(END.strip())
    return prompt[:end] if prompt.startswith(END, end) else prompt[:end].rstrip()


def _continued(message: Message) -> tuple[str, str]:
    """The field of the message that is continued, and its text: the content, or the reasoning where there is none."""
    for name in ("content", *_REASONING):
        value = message.get(name)
        if isinstance(value, list | tuple):
            value = next((part["text"] for part in reversed(value) if "text" in part), None)
        if isinstance(value, str):
            return name, value
    raise ContinuationError("it has no text")


def _open_ended(message: Message) -> Message:
    field, text = _continued(message)
    if not isinstance(message[field], str):
        parts = list(message[field])
        last = max(at for at, part in enumerate(parts) if "text" in part)
        parts[last] = {**parts[last], "text": text + END}
        return {**message, field: parts}
    names = [name for name in _REASONING if message.get(name) == text] if field in _REASONING else [field]
    return {**message, **dict.fromkeys(names, text + END)}


def _marked(message: Message, marked: Callable[[Any], Any]) -> dict[str, Any]:
    role = message.get("role")
    return {**marked(message), **({"role": role} if isinstance(role, str) and role in OWN_ROLES else {})}
