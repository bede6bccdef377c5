"""The one place where failures become HTTP errors.

Whatever goes wrong becomes an `ApiError`; each dialect writes it in its own shape. OpenAI's is here, because it is also
what clients get where no dialect is meant (an unknown path, a refused Host header).
"""

from __future__ import annotations

from typing import Any

import msgspec

from bundler.runtime.request import Failed

RETRY_SECONDS = 1


class ApiError(Exception):
    """An answer that is an error.

    `kind` is OpenAI's error type; `param` names the field that is wrong, `code` is for programs.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers or {}

    def openai(self) -> dict[str, Any]:
        """The body in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def unsupported(param: str, message: str) -> ApiError:
    """A field that this version does not know how to honour, and does not pretend to."""
    return ApiError(400, message, param=param, code="unsupported_parameter")


def from_failed(failed: Failed) -> ApiError:
    """What the service could not do."""
    if failed.kind == "invalid_request":
        return ApiError(400, failed.message)
    if failed.kind == "context_length":
        return ApiError(400, failed.message, param="messages", code="context_length_exceeded")
    if failed.kind == "form":  # the request's own fault: a client that asks again gets no further
        return ApiError(400, failed.message, code="form_not_followed")
    if failed.kind == "internal":
        return ApiError(500, failed.message, kind="server_error")
    code = failed.kind
    return ApiError(503, failed.message, kind="server_error", code=code, headers={"Retry-After": str(RETRY_SECONDS)})


def from_status(status: int, method: str, path: str, headers: dict[str, str]) -> ApiError:
    """What the router could not do."""
    if status == 404:
        return ApiError(404, f"there is nothing at {path}", code="not_found", headers=headers)
    if status == 405:
        return ApiError(405, f"{path} does not answer to {method}", code="method_not_allowed", headers=headers)
    return ApiError(status, f"{method} {path} failed with status {status}", headers=headers)


def from_decoding(cause: msgspec.DecodeError | UnicodeDecodeError) -> ApiError:
    """What is wrong with a body that is no JSON, or JSON of the wrong types."""
    if not isinstance(cause, msgspec.ValidationError):
        return ApiError(400, f"the body is no valid JSON: {cause}", code="invalid_json")
    message, _, place = str(cause).partition(" - at `$")
    param = place.removesuffix("`").removeprefix(".") or None
    if param is None and message.startswith("Object missing required field `"):
        param = message.split("`")[1]
        return ApiError(400, f"{param} is required", param=param, code="missing_required_parameter")
    said = message[:1].lower() + message[1:]
    return ApiError(400, f"{param}: {said}" if param else f"the body: {said}", param=param, code="invalid_type")
