"""Templates are told to think by the variables that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation, ThinkLevel
from tests.prompt.chats import PLAIN, template

NAMES = (
    "enable_thinking", "thinking", "reasoning", "thinking_mode", "thinking_budget", "reasoning_effort",
    "thinking_effort", "reasoning_strength",
)  # fmt: skip
ALL = "".join(f"{{% if {name} is defined %}}{name}={{{{ {name} }}}} {{% endif %}}" for name in NAMES)


def render(text: str, think: bool | ThinkLevel | None, **arguments: Any) -> str:
    return jinja.render(template(text), Conversation(messages=PLAIN, think=think, arguments=arguments)).strip()


@pytest.mark.parametrize(
    ("think", "switches"),
    [
        (None, ""),
        (True, "enable_thinking=True thinking=True reasoning=True thinking_mode=enabled"),
        (False, "enable_thinking=False thinking=False reasoning=False thinking_mode=disabled thinking_budget=0"),
        (
            "low",
            "enable_thinking=True thinking=True reasoning=True thinking_mode=enabled "
            "reasoning_effort=low thinking_effort=low reasoning_strength=low",
        ),
    ],
)
def test_all_switches(think: bool | ThinkLevel | None, switches: str) -> None:
    assert render(ALL, think) == switches


FREE = "{{ reasoning_effort or 'default' }}"
CHECKED = "{% if x and reasoning_effort not in ['low', 'high', 'no_think'] %}{% endif %}" + FREE
WITH_MAX = "{% if reasoning_effort == 'max' %}{% endif %}" + FREE
WITH_NONE = "{% if reasoning_effort | lower == 'none' %}{% endif %}" + FREE


@pytest.mark.parametrize(
    ("text", "think", "effort"),
    [
        (FREE, True, "default"),
        (FREE, False, "default"),
        (FREE, "medium", "medium"),
        (FREE, "max", "high"),
        (CHECKED, True, "high"),
        (CHECKED, False, "no_think"),
        (CHECKED, "low", "low"),
        (CHECKED, "medium", "high"),
        (CHECKED, "max", "high"),
        (WITH_MAX, "max", "max"),
        (WITH_MAX, False, "default"),
        (WITH_NONE, False, "none"),
        (WITH_NONE, True, "high"),
    ],
)
def test_a_level_that_the_template_takes(text: str, think: bool | ThinkLevel, effort: str) -> None:
    assert render(text, think) == effort


def test_the_requests_own_arguments_hold() -> None:
    assert render("{{ enable_thinking }}{{ thinking }}", False, enable_thinking="mine") == "mineFalse"


def test_a_variable_that_the_template_sets_itself_is_left_alone() -> None:
    text = "{% for m in messages %}{% set reasoning = m.reasoning_content %}{{ reasoning or '-' }}{% endfor %}"
    assert render(text, True) == "---"


SWITCHED = {
    "ByteDance-Seed-OSS", "Cohere2MoE", "GLM-4.6", "GLM-4.7-Flash", "HuggingFaceTB-SmolLM3-3B", "Kimi-K3", "MiniMax-M3",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Qwen-Qwen3-0.6B", "Qwen3.5-4B", "deepseek-ai-DeepSeek-V3.1",
    "deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4", "google-gemma-4-31B-it",
    "ibm-granite-granite-3.3-2B-Instruct", "inclusionai-ling-3.0-flash", "tencent-Hy3", "upstage-Solar-Open-100B",
}  # fmt: skip
"""Real templates whose prompt is another with thinking than without."""


def test_real_templates_are_switched(llama_cpp_templates: list[Path]) -> None:
    switched = set()
    for path in llama_cpp_templates:
        text = path.read_text(encoding="utf-8")
        for think in ("low", "medium", "high", "max"):
            render(text, think)
        if render(text, True) != render(text, False):
            switched.add(path.stem)
    assert switched >= SWITCHED, SWITCHED - switched
