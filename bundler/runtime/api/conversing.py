"""From the body of a chat request to the prompt of an internal `Request`."""

from __future__ import annotations

from typing import Any, Literal

from bundler.errors import BundleError
from bundler.prompt.chatrequest import ChatFields, conversation
from bundler.prompt.messages import MessageError
from bundler.runtime.api.errors import ApiError
from bundler.runtime.request import ChatMessage, Request
from bundler.runtime.service import Service

_CODES: dict[Literal["missing", "unsupported", "wrong"], str | None] = {
    "missing": "missing_required_parameter",
    "unsupported": "unsupported_parameter",
    "wrong": None,
}


def prompt_fields(body: ChatFields) -> dict[str, Any]:
    """The fields of an internal `Request` that make its prompt.

    Raises:
        ApiError: something makes no sense, or cannot be honoured (400).
    """
    try:
        asked = conversation(body)
    except MessageError as error:
        raise ApiError(400, error.message, param=error.place, code=_CODES[error.kind]) from error
    return {
        "messages": [_message(**message) for message in asked.messages],
        "tools": asked.tools,
        "documents": asked.documents,
        "think": asked.think,
        "template_arguments": asked.arguments,
        "add_generation_prompt": asked.add_generation_prompt,
        "continue_final": asked.continue_final,
    }


async def rendered(service: Service, request: Request) -> str:
    """The prompt of a request.

    Raises:
        ApiError: the model has no template, or it refuses the messages (400).
    """
    try:
        return await service.render(request)
    except BundleError as error:
        raise ApiError(400, error.message) from error


def _message(role: str, content: str, **extra: Any) -> ChatMessage:
    return ChatMessage(role, content, extra)
