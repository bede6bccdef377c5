"""What a chat request says about its prompt: messages, tools, documents, thinking, how the prompt ends.

The fields are OpenAI's and those that llama-server and vLLM add to them. Knows nothing of sampling or of answers.
"""

from __future__ import annotations

from typing import Any, Literal

from bundler.errors import BundleError
from bundler.prompt.messages import MessageError, check_continued, checked_tools, plain, thinking
from bundler.runtime.api.errors import ApiError, unsupported
from bundler.runtime.api.openai_bodies import ChatCompletion
from bundler.runtime.request import ChatMessage, Request
from bundler.runtime.service import Service


def prompt_fields(body: ChatCompletion) -> dict[str, Any]:
    """The fields of an internal `Request` that make its prompt.

    Raises:
        ApiError: something makes no sense, or cannot be honoured (400).
    """
    if not body.messages:
        raise ApiError(400, "messages: at least one message is needed", param="messages")
    try:
        messages = [plain(message, f"messages[{at}]") for at, message in enumerate(body.messages)]
        continued = _continued(body.continue_final_message)
        if continued:
            check_continued(messages)
        fields = {
            "tools": checked_tools(body.tools or ()),
            "think": None if body.reasoning_effort is None else thinking(body.reasoning_effort),
        }
    except MessageError as error:
        raise _api_error(error) from error
    if continued and body.add_generation_prompt:
        raise ApiError(
            400,
            "continue_final_message: an answer is continued, or begun with add_generation_prompt, but not both",
            param="continue_final_message",
        )
    return fields | {
        "messages": [ChatMessage(made.pop("role"), made.pop("content"), made) for made in messages],
        "documents": body.documents or (),
        "template_arguments": body.chat_template_kwargs or {},
        "add_generation_prompt": not continued and body.add_generation_prompt is not False,
        "continue_final": continued,
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


def _continued(asked: bool | str | None) -> bool:
    if isinstance(asked, str) and asked != "content":
        raise unsupported(
            "continue_final_message", f"continue_final_message: {asked!r} is none of true, false, content"
        )
    return bool(asked)


_CODES: dict[Literal["missing", "unsupported", "wrong"], str | None] = {
    "missing": "missing_required_parameter",
    "unsupported": "unsupported_parameter",
    "wrong": None,
}


def _api_error(error: MessageError) -> ApiError:
    return ApiError(400, error.message, param=error.place, code=_CODES[error.kind])
