"""A Jinja environment for templates that are not trusted: no way to Python's objects, bounded output.

Knows Jinja only, nothing of chats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT = 64 << 20
"""Characters of one rendering."""


class ExhaustedError(Exception):
    """The template did more than a chat template may."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    pass


def render(template: jinja2.Template, variables: Mapping[str, Any]) -> str:
    context = template.new_context(dict(variables))
    pieces = []
    left = MAX_OUTPUT
    for piece in template.root_render_func(context):
        left -= len(piece)
        if left < 0:
            raise ExhaustedError(f"its output is longer than {MAX_OUTPUT} characters")
        pieces.append(piece)
    return "".join(pieces)
