"""The functions that Ollama adds to Go's own: `json`, `currentDate`, `yesterdayDate`, `toTypeScriptType`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.values import Function
from bundler.prompt.ollama.record import to_json
from bundler.prompt.ollama.tools import typescript


def _json(value: Any) -> str:
    """JSON, or nothing where Go cannot write the value as JSON."""
    try:
        return to_json(value)
    except FunctionError:
        return ""


def _current_date(*_formats: str) -> str:
    return date.today().isoformat()


def _yesterday_date(*_formats: str) -> str:
    return (date.today() - timedelta(days=1)).isoformat()


FUNCTIONS: Final = {
    "json": Function(_json, keeps_marks=True),
    "currentDate": Function(_current_date, ("string",), variadic=True, keeps_marks=True),
    "yesterdayDate": Function(_yesterday_date, ("string",), variadic=True, keeps_marks=True),
    "toTypeScriptType": Function(typescript, keeps_marks=True),
}
"""By name. Dates are local ones, as YYYY-MM-DD whatever format is asked for."""
