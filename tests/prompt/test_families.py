"""The prompt formats of templates/prompts: what each makes of a chat, and which models are recognised as theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from bundler import data
from bundler.formats.manifest import Template
from bundler.prompt import families, frame, jinja
from bundler.prompt.conversation import Conversation
from bundler.prompt.families import Family, Traits
from tests import sources

Talk = list[dict[str, str]]

FOLDER = data.path("templates/prompts")
KNOWN = {
    path.stem: families.read(
        path.stem, path.read_text(encoding="utf-8"), path.with_suffix(".jinja").read_text(encoding="utf-8")
    )
    for path in sorted(FOLDER.glob("*.toml"))
}

SYSTEM = {"role": "system", "content": "Be brief."}
HI, HELLO, BYE = (
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
)
SHOWN: dict[str, tuple[str, str]] = {
    "alpaca": (
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\n",
        "Below is an instruction that describes a task. Write a response that appropriately completes the "
        "request.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\nBye\n\n### Response:\n",
    ),
    "chatml-bos": (
        "<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "command-r": (
        "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
        "<|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
        "<|CHATBOT_TOKEN|>Hello<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "deepseek-coder": (
        "<s>Be brief.\n### Instruction:\nHi\n### Response:",
        "<s>You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek "
        "Company, and you only answer questions related to computer science. For politically sensitive "
        "questions, security and privacy issues, and other non-computer science questions, you will refuse to "
        "answer.\n### Instruction:\nHi\n### Response:\nHello\n<|EOT|>\n### Instruction:\nBye\n### Response:",
    ),
    "deepseek-r1": (
        "<s>Be brief.<｜User｜>Hi<｜Assistant｜><think>\n",
        "<s><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think>\n",
    ),
    "deepseek-v2": (
        "<s>Be brief.\n\nUser: Hi\n\nAssistant:",
        "<s>User: Hi\n\nAssistant: Hello</s>User: Bye\n\nAssistant:",
    ),
    "deepseek-v3.1": (
        "<s>Be brief.<｜User｜>Hi<｜Assistant｜><think></think>",
        "<s><｜User｜>Hi<｜Assistant｜><think></think>Hello<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think></think>",
    ),
    "deepseek-v3": (
        "<s>Be brief.<｜User｜>Hi<｜Assistant｜>",
        "<s><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜>",
    ),
    "exaone3": (
        "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n[|assistant|]",
        "[|system|][|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n[|user|]Bye\n[|assistant|]",
    ),
    "exaone4": (
        "[|system|]\nBe brief.[|endofturn|]\n[|user|]\nHi[|endofturn|]\n[|assistant|]\n<think>\n\n</think>\n\n",
        "[|user|]\nHi[|endofturn|]\n[|assistant|]\nHello[|endofturn|]\n[|user|]\nBye[|endofturn|]\n"
        "[|assistant|]\n<think>\n\n</think>\n\n",
    ),
    "falcon": (
        "Be brief.\n\nUser: Hi\n\nAssistant:",
        "User: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:",
    ),
    "falcon3": (
        "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n",
        "<|user|>\nHi\n<|assistant|>\nHello</s>\n<|user|>\nBye\n<|assistant|>\n",
    ),
    "gemma": (
        "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n",
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>user\n"
        "Bye<end_of_turn>\n<start_of_turn>model\n",
    ),
    "gemma4-large": (
        "<s><|turn>system\nBe brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
        "<s><|turn>user\nHi<turn|>\n<|turn>model\nHello<turn|>\n<|turn>user\nBye<turn|>\n<|turn>model\n"
        "<|channel>thought\n<channel|>",
    ),
    "gemma4": (
        "<s><|turn>system\nBe brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n",
        "<s><|turn>user\nHi<turn|>\n<|turn>model\nHello<turn|>\n<|turn>user\nBye<turn|>\n<|turn>model\n",
    ),
    "glm-4.6": (
        "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi<|assistant|>",
        "[gMASK]<sop><|user|>\nHi<|assistant|>\n<think></think>\nHello<|user|>\nBye<|assistant|>",
    ),
    "glm-4.7": (
        "[gMASK]<sop><|system|>Be brief.<|user|>Hi<|assistant|><think>",
        "[gMASK]<sop><|user|>Hi<|assistant|></think>Hello<|user|>Bye<|assistant|><think>",
    ),
    "glm-4": (
        "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi<|assistant|>",
        "[gMASK]<sop><|user|>\nHi<|assistant|>\nHello<|user|>\nBye<|assistant|>",
    ),
    "gpt-oss": (
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
        "2024-06\nCurrent date: TODAY\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. "
        "Channel must be included for every message.<|end|><|start|>developer<|message|># Instructions\n\nBe "
        "brief.\n\n<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant",
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
        "2024-06\nCurrent date: TODAY\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. "
        "Channel must be included for every message.<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant"
        "<|channel|>final<|message|>Hello<|end|><|start|>user<|message|>Bye<|end|><|start|>assistant",
    ),
    "granite": (
        "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi"
        "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        "<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>Hello"
        "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Bye<|end_of_text|>\n<|start_of_role|>assistant"
        "<|end_of_role|>",
    ),
    "kimi-k2": (
        "<|im_system|>system<|im_middle|>Be brief.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>",
        "<|im_system|>system<|im_middle|>You are a helpful assistant<|im_end|><|im_user|>user<|im_middle|>Hi"
        "<|im_end|><|im_assistant|>assistant<|im_middle|>Hello<|im_end|><|im_user|>user<|im_middle|>Bye<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>",
    ),
    "llama2": (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]",
        "<s>[INST] Hi [/INST] Hello </s><s>[INST] Bye [/INST]",
    ),
    "llama3.1": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 "
        "Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 "
        "Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant"
        "<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama4": (
        "<s><|header_start|>system<|header_end|>\n\nBe brief.<|eot|><|header_start|>user<|header_end|>\n\nHi"
        "<|eot|><|header_start|>assistant<|header_end|>\n\n",
        "<s><|header_start|>user<|header_end|>\n\nHi<|eot|><|header_start|>assistant<|header_end|>\n\nHello"
        "<|eot|><|header_start|>user<|header_end|>\n\nBye<|eot|><|header_start|>assistant<|header_end|>\n\n",
    ),
    "magicoder": (
        "<s>Be brief.\n\n@@ Instruction\nHi\n\n@@ Response\n",
        "<s>You are an exceptionally intelligent coding assistant that consistently delivers accurate and "
        "reliable responses to user instructions.\n\n@@ Instruction\nHi\n\n@@ Response\nHello</s>\n\n@@ "
        "Instruction\nBye\n\n@@ Response\n",
    ),
    "mistral-nemo": (
        "<s>[INST]Be brief.\n\nHi[/INST]",
        "<s>[INST]Hi[/INST]Hello</s>[INST]Bye[/INST]",
    ),
    "mistral-small": (
        "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi[/INST]",
        "<s>[INST]Hi[/INST]Hello</s>[INST]Bye[/INST]",
    ),
    "mistral-v1": (
        "<s>[INST] Be brief.\n\nHi [/INST]",
        "<s>[INST] Hi [/INST] Hello</s>[INST] Bye [/INST]",
    ),
    "mistral-v3": (
        "<s>[INST] Be brief.\n\nHi[/INST]",
        "<s>[INST] Hi[/INST] Hello</s>[INST] Bye[/INST]",
    ),
    "nemotron-3-nano": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n",
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>"
        "</think>Hello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n<think>\n",
    ),
    "olmo2": (
        "<s><|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n",
        "<s><|user|>\nHi\n<|assistant|>\nHello</s>\n<|user|>\nBye\n<|assistant|>\n",
    ),
    "openchat": (
        "<s>Be brief.<|end_of_turn|>GPT4 Correct User: Hi<|end_of_turn|>GPT4 Correct Assistant:",
        "<s>GPT4 Correct User: Hi<|end_of_turn|>GPT4 Correct Assistant: Hello<|end_of_turn|>GPT4 Correct User: "
        "Bye<|end_of_turn|>GPT4 Correct Assistant:",
    ),
    "phi3": (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n",
        "<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n",
    ),
    "phi4-mini": (
        "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>",
        "<|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|><|assistant|>",
    ),
    "phi4": (
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
        "<|im_start|>assistant<|im_sep|>",
        "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Hello<|im_end|><|im_start|>user"
        "<|im_sep|>Bye<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    "qwen2.5": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "qwen3-instruct": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "qwen3.5": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    ),
    "qwen3": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye"
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    "rwkv-world": (
        "<s>System: Be brief.\n\nUser: Hi\n\nAssistant:",
        "<s>User: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:",
    ),
    "seed-oss": (
        "<seed:bos>system\nBe brief.<seed:eos><seed:bos>user\nHi<seed:eos><seed:bos>assistant\n",
        "<seed:bos>user\nHi<seed:eos><seed:bos>assistant\nHello<seed:eos><seed:bos>user\nBye<seed:eos>"
        "<seed:bos>assistant\n",
    ),
    "solar": (
        "<s>### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\n",
        "<s>### User:\nHi\n\n### Assistant:\nHello\n\n### User:\nBye\n\n### Assistant:\n",
    ),
    "vicuna": (
        "<s>Be brief. USER: Hi ASSISTANT:",
        "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: Hi ASSISTANT: Hello</s>USER: Bye ASSISTANT:",
    ),
    "zephyr": (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n",
        "<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\nBye</s>\n<|assistant|>\n",
    ),
}
"""By family: a system message and a question; a question, its answer, and another question."""

REAL = {
    "ByteDance-Seed-OSS": "seed-oss",
    "GLM-4.6": "glm-4.6",
    "GLM-4.7-Flash": "glm-4.7",
    "LFM2-8B-A1B": "chatml-bos",
    "LFM2.5-8B-A1B": "chatml-bos",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-small",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "nemotron-3-nano",
    "Qwen-Qwen2.5-7B-Instruct": "qwen2.5",
    "Qwen-Qwen3-0.6B": "qwen3",
    "Qwen3-Coder": "qwen3-instruct",
    "Qwen3.5-4B": "qwen3.5",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1": "deepseek-v3.1",
    "google-gemma-2-2b-it": "gemma",
    "google-gemma-4-31B-it": "gemma4-large",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "ibm-granite-granite-4.0": "granite",
    "ibm-granite-granite-4.1": "granite",
    "llama-cpp-rwkv-world": "rwkv-world",
    "meta-llama-Llama-3.1-8B-Instruct": "llama3.1",
    "meta-llama-Llama-3.3-70B-Instruct": "llama3.1",
    "microsoft-Phi-3.5-mini-instruct": "phi3",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral-small",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-nemo",
    "moonshotai-Kimi-K2": "kimi-k2",
    "openai-gpt-oss-120b": "gpt-oss",
    "unsloth-mistral-Devstral-Small-2507": "mistral-small",
}
"""Chat templates of real models, by file, and the family that writes the same prompts of plain chats."""

OWN_SYSTEM = {"granite", "mistral-small"}
"""Families of several models that differ in the system prompt they put in where there is none: ours puts in none."""


def template(text: str) -> Template:
    return Template(kind="jinja", text=text, source="family", reason="", bos_token="<s>", eos_token="</s>")


def render(
    family: Family, talk: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), **arguments: Any
) -> str:
    return jinja.render(template(family.template), Conversation(messages=talk, tools=tools, arguments=arguments))


def test_there_are_the_families_that_are_shown_here() -> None:
    assert set(SHOWN) == set(KNOWN)
    assert {path.stem for path in FOLDER.iterdir()} == set(KNOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_family_writes_its_prompts(name: str) -> None:
    today = date.today().isoformat()
    asked, answered = (text.replace("TODAY", today) for text in SHOWN[name])
    assert render(KNOWN[name], [SYSTEM, HI]) == asked
    assert render(KNOWN[name], [HI, HELLO, BYE]) == answered
    assert KNOWN[name].may_have_written(answered)


@pytest.mark.parametrize("family", KNOWN.values(), ids=KNOWN)
def test_a_family_says_where_it_is_from_and_how_it_ends(family: Family) -> None:
    assert re.fullmatch(r"https://\S+", family.source)
    assert family.title
    assert family.stops
    assert all(family.stops)
    assert not family.narrows or not KNOWN[family.narrows].narrows


@pytest.mark.parametrize("family", KNOWN.values(), ids=KNOWN)
def test_a_family_leaves_nothing_out(family: Family) -> None:
    """What a message says is in the prompt, or the template refuses it."""
    talk = [{"role": role, "content": f"<{role}>"} for role in ("system", "user", "assistant", "user", "tool")]
    refusal = ""
    prompt = ""
    try:
        prompt = render(family, talk)
    except jinja.TemplateError as error:
        refusal = error.said
    assert "<tool>" in prompt or "has no messages of role tool" in refusal
    prompt = render(family, talk[:-1])
    assert prompt.index("<system>") < prompt.rindex("<user>")
    assert prompt.index("<user>") < prompt.index("<assistant>")


def test_the_documentation_lists_them() -> None:
    text = (FOLDER.parent.parent / "docs" / "templates.md").read_text(encoding="utf-8")
    rows = [
        f"| `{family.name}` | [{family.title}]({family.source}) | {', '.join(f'`{name}`' for name in family.names)} | "
        f"{'yes' if family.fingerprint else ''} |"
        for family in KNOWN.values()
    ]
    assert re.findall(r"^\| `\S+` \| \[.*$", text, re.MULTILINE) == rows


def test_a_name_means_one_family() -> None:
    names = [name for family in KNOWN.values() for name in (family.name, *family.names)]
    assert len(names) == len(set(names))
    assert families.named(KNOWN.values(), "harmony") is KNOWN["gpt-oss"]
    assert families.named(KNOWN.values(), "poolside-v1") is None
    assert families.nearest(KNOWN.values(), "Qwen3-Codr") == "qwen3-coder"
    assert families.nearest(KNOWN.values(), "xyz") == ""


@pytest.mark.parametrize("file", REAL)
@pytest.mark.parametrize(
    "talk",
    [
        pytest.param([HI], id="a question"),
        pytest.param([HI, HELLO, BYE], id="three turns"),
        pytest.param([SYSTEM, HI], id="a system prompt"),
        pytest.param([SYSTEM, HI, HELLO, {"role": "user", "content": "a\n b <s> {{ x }} ä"}], id="all of it"),
    ],
)
def test_a_family_equals_the_templates_of_its_models(file: str, talk: Talk) -> None:
    """As transformers renders them."""
    family = KNOWN[REAL[file]]
    if talk[0] is not SYSTEM and file != "ibm-granite-granite-4.1" and family.name in OWN_SYSTEM:
        pytest.skip("the model's template has a system prompt of its own")
    if talk[0] is SYSTEM and family.name == "gemma":
        pytest.skip("the model's template refuses a system prompt")
    text = (sources.models() / "templates" / f"{file}.jinja").read_text(encoding="utf-8")
    wanted = render_jinja_template(
        conversations=[talk], chat_template=text, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert render(family, talk) == wanted[0][0]


@pytest.mark.parametrize(
    ("name", "output"),
    [("qwen3", "<think>\n\n</think>\n\n"), ("glm-4.7", "</think>"), ("gemma4-large", "<|channel>thought\n<channel|>")],
)
def test_thinking_can_be_turned_off(name: str, output: str) -> None:
    assert render(KNOWN[name], [HI], enable_thinking=False).endswith(output)
    assert not render(KNOWN[name], [HI], enable_thinking=True).endswith(output)


TOOL = {"type": "function", "function": {"name": "sum", "description": "adds", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "sum", "arguments": {"a": 1}}}
WITH_TOOLS: list[dict[str, Any]] = [
    HI,
    {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": "2"},
    {"role": "tool", "content": "3"},
    HELLO,
    BYE,
]


@pytest.mark.parametrize("name", ["qwen2.5", "qwen3"])
@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["no system prompt", "a system prompt"])
def test_tools_of_qwen(name: str, system: Talk) -> None:
    file = next(file for file, family in REAL.items() if family == name)
    text = (sources.models() / "templates" / f"{file}.jinja").read_text(encoding="utf-8")
    talk = [*system, *WITH_TOOLS]
    wanted = render_jinja_template(conversations=[talk], tools=[TOOL], chat_template=text, add_generation_prompt=True)
    assert render(KNOWN[name], talk, tools=[TOOL]) == wanted[0][0]


def traits(tokens: str, end: str, architecture: str = "llama", **others: Any) -> Traits:
    return Traits(tokens=frozenset(tokens.split()), ends=frozenset(end.split()), architecture=architecture, **others)


IM = "<|im_start|> <|im_end|> <|endoftext|>"
LLAMA3 = "<|start_header_id|> <|end_header_id|> <|eot_id|> <|begin_of_text|>"


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (traits(IM, "<|im_end|>"), "chatml"),
        (traits(IM, "<|im_end|>", "qwen2", pretokenizer="qwen2", names=("Qwen2.5 7B Instruct",)), "qwen2.5"),
        (traits(IM, "<|im_end|>", "qwen2", pretokenizer="qwen2", names=("Dolphin",)), "chatml"),
        (traits(f"{IM} <think> </think>", "<|im_end|>", "qwen3"), "qwen3"),
        (traits(IM, "<|im_end|>", "lfm2"), "chatml-bos"),
        (traits(f"{IM} <|im_sep|>", "<|im_end|>", "phi3"), "phi4"),
        (
            traits(
                "<|system|> <|user|> <|assistant|> <|end|>",
                "<|endoftext|>",
                "phi3",
                tokenizer="llama",
                names=("Phi3 Mini 4k Instruct",),
            ),
            "phi3",
        ),
        (traits(LLAMA3, "<|eot_id|>"), "llama3"),
        (
            traits(
                f"{LLAMA3} <|eom_id|> <|python_tag|>",
                "<|eot_id|>",
                pretokenizer="llama-bpe",
                names=("Meta Llama 3.1 8B Instruct",),
            ),
            "llama3.1",
        ),
        (traits(f"{LLAMA3} {IM}", "<|im_end|>"), "chatml"),
        (traits("<start_of_turn> <end_of_turn>", "<eos>", "gemma2", names=("gemma-2-2b", "it")), "gemma"),
        (traits("<|start|> <|message|> <|channel|> <|return|>", "<|return|>", "gpt-oss"), "gpt-oss"),
        (
            traits("<｜User｜> <｜Assistant｜>", "<｜end▁of▁sentence｜>", "deepseek2", names=("DeepSeek V3",)),
            "deepseek-v3",
        ),
        (traits("<|end_of_turn|>", "<|end_of_turn|>", names=("openchat-3.5-0106",)), "openchat"),
        (
            traits("[INST] [/INST] [AVAILABLE_TOOLS]", "</s>", tokenizer="llama", names=("Mistral 7B Instruct",)),
            "mistral-v3",
        ),
    ],
)
def test_models_that_are_recognised(model: Traits, family: str) -> None:
    found = families.recognise(KNOWN, model)
    assert found is not None
    assert found.name == family


@pytest.mark.parametrize(
    ("reason", "model"),
    [
        ("nothing is known", traits("", "")),
        ("a name alone says nothing", traits("<s> </s>", "</s>", names=("vicuna-7b-v1.5", "Llama-2-7b-chat"))),
        ("a base model ends with its document", traits(IM, "<|endoftext|>", "qwen2", pretokenizer="qwen2")),
        ("a base model says so", traits(IM, "<|im_end|>", names=("Qwen3 8B Base",))),
        ("a base model of Llama", traits(LLAMA3, "<|end_of_text|>", names=("Meta Llama 3 8B",))),
        ("a token is missing", traits("<|im_end|>", "<|im_end|>")),
        ("two formats, and both could be meant", traits(f"{LLAMA3} {IM}", "<|im_end|> <|eot_id|>")),
        ("another architecture", traits("<start_of_turn> <end_of_turn>", "<end_of_turn>", names=("x-it",))),
        ("a name and tokens, and no sign of a chat", traits("<start_of_turn> <end_of_turn>", "<eos>", "gemma2")),
    ],
)
def test_models_that_are_not_recognised(reason: str, model: Traits) -> None:
    assert families.recognise(KNOWN, model) is None, reason


def test_what_a_name_suggests() -> None:
    assert families.suggest(KNOWN, traits("<s>", "</s>", names=("vicuna-7b-v1.5",))) == ["vicuna"]
    assert "chatml" in families.suggest(KNOWN, traits(IM, "<|endoftext|>"))
    assert families.suggest(KNOWN, traits("", "")) == []


def test_a_family_file_at_fault() -> None:
    for wrong in ("title = 1", "title = 'x'\nsource = ''\nstops = []\nother = 1", "no toml"):
        with pytest.raises(ValueError, match=r"."):
            families.read("x", wrong, "")


FRAMES = {
    "Apertus-8B-Instruct": "",
    "Bielik-11B-v3.0-Instruct": "chatml-bos",
    "HuggingFaceTB-SmolLM3-3B": "chatml",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "chatml",
    "Qwen-QwQ-32B": "chatml",
    "Qwen-Qwen3-0.6B": "chatml",
    "Qwen-Qwen2.5-7B-Instruct": "qwen2.5",
    "StepFun3.5-Flash": "chatml",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.2": "deepseek-v3",
    "fireworks-ai-llama-3-firefunction-v2": "llama3",
    "google-gemma-2-2b-it": "gemma",
    "ibm-granite-granite-4.0": "granite",
    "meta-llama-Llama-3.3-70B-Instruct": "llama3.1",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral-nemo",
    "openai-gpt-oss-120b": "gpt-oss",
    "unsloth-mistral-Devstral-Small-2507": "mistral-small",
    "tencent-Hy3": "",
}


def test_templates_of_models_are_recognised_by_what_they_write() -> None:
    wide_first = sorted(KNOWN.values(), key=lambda family: bool(family.narrows))
    known = {family.name: framed(family.template) for family in wide_first}
    found = {}
    for file in FRAMES:
        wanted = framed((sources.models() / "templates" / f"{file}.jinja").read_text(encoding="utf-8"))
        found[file] = next(iter(frame.matching(known, wanted)), "")
    assert found == FRAMES


def framed(text: str) -> frame.Frame:
    found = frame.frame(lambda talk: jinja.render(template(text), Conversation(messages=talk)))
    assert found is not None
    return found


def test_a_frame() -> None:
    assert framed(KNOWN["mistral-nemo"].template) == frame.Frame(
        "<s>[INST]", "[/INST]", "</s>[INST]", "[/INST]", "\n\n"
    )


@pytest.mark.parametrize(
    "text", ["", "{{ messages[0].content }}", "{{ messages | map(attribute='content') | list }}" * 2]
)
def test_a_template_without_a_frame(text: str) -> None:
    assert frame.frame(lambda talk: jinja.render(template(text), Conversation(messages=talk))) is None
