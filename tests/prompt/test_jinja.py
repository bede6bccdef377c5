"""Chat templates: rendered as transformers does, refused with one clear error where they are at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bundler.prompt import budget, jinja
from bundler.prompt.conversation import Conversation
from bundler.prompt.jinja import TemplateError
from tests.prompt.chats import template

USER = {"role": "user", "content": "How are you?"}


def render(text: str, messages: Sequence[Mapping[str, Any]] | None = None, **variables: Any) -> str:
    return jinja.render(template(text), Conversation(messages=messages or [USER], arguments=variables))


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("{{ messages[0].content }}", "How are you?"),
        ("{{ bos_token }}|{{ eos_token }}|{{ add_generation_prompt }}", "<s>|</s>|True"),
        ("{{ tools }}{{ documents }}", "NoneNone"),
        ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"),  # trim_blocks, one final newline dropped
        ("a\n   {% if true %}\nb\n\t{% endif %}\nc", "a\nb\nc"),  # lstrip_blocks
        ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% continue %}{% endif %}{{ m }}{% endfor %}", "13"),
        ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "1"),
        ("{% generation %}x{% endgeneration %}y", "xy"),
        ("{{ {'b': '<ä>', 'a': 1} | tojson }}", '{"b": "<ä>", "a": 1}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
        ("{{ ['ä'] | tojson(ensure_ascii=true, indent=2) }}", '[\n  "\\u00e4"\n]'),
        ("{{ '{\"a\": 1}' | from_json | length }}", "1"),
        ("{% set ns = namespace(n=0) %}{% for m in [1, 2] %}{% set ns.n = ns.n + m %}{% endfor %}{{ ns.n }}", "3"),
        ("{{ nothing }}|{{ messages[0].nothing }}|{{ none }}", "||None"),
        ("{{ 'a' ~ 1 ~ none ~ ['b'] }}", "a1None['b']"),
        ("{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ loop.length }}{% endfor %}", "0True1"),
        ("{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "b1a2"),
        ("{% for m in [] %}{% else %}none{% endfor %}", "none"),
        (
            "{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys('ab', 0) }}{{ namespace(self=1).self }}",
            "{'a': 1, 'b': 2}{'a': 0, 'b': 0}1",
        ),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(1) }}{{ f('a') }}", "<1><a>"),
        ("{{ 'In 2024, 100%% of %s' | format('us') }}{{ ' {:>3}'.format(7) }}", "In 2024, 100% of us   7"),
        ("{{ messages[1:] }}{{ messages[-1]['role'] }}", "[]user"),
        ("{{ messages | map(attribute='role') | join(', ') }}", "user"),
        ("{{ ('a', 1) }}{{ 7 // 2 }}{{ 2 ** 3 }}{{ 'ab' * 2 }}{{ [1] + [2] }}", "('a', 1)38abab[1, 2]"),
    ],
)
def test_renders_as_transformers_do(text: str, output: str) -> None:
    assert render(text) == output


def test_a_date_is_formatted() -> None:
    assert render("{{ strftime_now('%Y') }}") in {str(datetime.now().year), str(datetime.now().year - 1)}


def test_further_variables_reach_the_template() -> None:
    assert render("{{ enable_thinking }}", enable_thinking=False) == "False"


def test_the_generation_prompt_can_be_left_out() -> None:
    text = "{% if add_generation_prompt %}go{% endif %}"
    assert jinja.render(template(text), Conversation(messages=[USER], add_generation_prompt=False)) == ""


def test_a_template_that_needs_tools_gets_none_of_them() -> None:
    assert render("[{% for tool in tools %}{{ tool }}{% endfor %}]") == "[]"


def test_no_token_is_an_undefined_one_until_a_template_counts_on_it() -> None:
    plain = replace(template("{{ bos_token is defined }}"), bos_token="")
    assert jinja.render(plain, Conversation(messages=[USER])) == "False"
    counting = replace(template("{{ bos_token + 'a' }}"), bos_token="")
    assert jinja.render(counting, Conversation(messages=[USER])) == "a"


def test_the_names_that_a_template_looks_up() -> None:
    text = (
        "{% set a = b %}{% for m in messages %}{{ m.c }}{% endfor %}{% if d %}{% set e = 1 %}{% endif %}{{ a }}{{ e }}"
    )
    assert jinja.names(text) == {"b", "messages", "d", "e"}


def test_only_lists_that_a_template_makes_empty_may_change() -> None:
    assert (
        render("{% set l = [] %}{% set _ = l.append(1) %}{% set _ = l.append('a') %}{{ l.pop(0) }}{{ l }}") == "1['a']"
    )
    for text in ("{% set l = [1] %}{{ l.append(2) }}", "{% set l = [] %}{{ l.clear() }}", "{{ messages.pop() }}"):
        with pytest.raises(TemplateError, match="is unsafe"):
            render(text)


def test_a_refusal_carries_what_the_template_says() -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.said == "roles must alternate"
    assert caught.value.message == "failed to render the chat template: it refuses the messages: roles must alternate"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{{ bad", "compile the chat template: line 1: unexpected end of template"),
        ("\n\n{% nosuch %}", "compile the chat template: line 3: Encountered unknown tag 'nosuch'."),
        ("{{ x | nosuch }}", "compile the chat template: line 1: No filter named 'nosuch'."),
        ("{% break %}", "compile the chat template: 'break' outside loop"),
        ("{{ " + "(" * 3000 + ")" * 3000 + " }}", "compile the chat template: it nests too deeply"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "compile the chat template: too many statically nested blocks"),
        ("x" * (jinja.MAX_TEMPLATE + 1), "compile the chat template: it is longer than 262144 characters"),
        ("{{ 1 / 0 }}", "render the chat template: division by zero"),
        ("{{ nothing.at.all }}", "render the chat template: 'nothing' is undefined"),
        ("{% include 'x' %}", "render the chat template: no loader for this environment specified"),
        (r"{{ '\ud800' }}", "render the chat template: it makes half a surrogate pair, which is no text"),
    ],
)
def test_a_template_at_fault(text: str, cause: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text)
    assert caught.value.message.startswith(f"failed to {cause}")
    assert not caught.value.said


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'a': 1}) }}",
        "{{ dict.update(messages[0], {'a': 1}) }}",
        "{{ namespace(_a=1) }}",
        "{{ namespace({'__html__': 1}) }}",
        "{% set ns = namespace() %}{% set ns.__call__ = 1 %}",
        "{{ (1).to_bytes(100000, 'big') }}",
        "{{ '{0.__class__}'.format('a') or nothing.at.all }}",
    ],
)
def test_no_way_to_python(text: str) -> None:
    with pytest.raises(TemplateError):
        render(text)


NESTED = "{% set n = namespace() %}{% set l = [n, n] %}" + "{% set l = [l, l] %}" * 12 + "{% set n.a = 'x' * 9999 %}"
DOUBLED = "{% set x = [1, 2] %}" + "{% set x = [x, x] %}" * 40


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        DOUBLED,
        "{% set l = ['x' * 99] %}" + "{% set m = [] %}{% set _ = m.append(l) or m.append(l) %}{% set l = m %}" * 40,
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "{% set n = namespace() %}{% set l = [n, n] %}"
        + "{% set l = [l, l] %}" * 12
        + "{% set n.a = 'x' * 9999 %}{{ l }}",
    ],
)
def test_work_has_an_end(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", 20_000)
    with pytest.raises(TemplateError, match=r"it takes more than 2\d{4} steps|it makes more than"):
        render(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 10 ** 10 }}",
        "{{ [0] * 10 ** 10 }}",
        "{% set x = 'x' * 1000 %}" + "{% set x = x ~ x %}" * 40,
        "{% set x = 'x' * 1000 %}" + "{% set x = x + x %}" * 40,
        "{% set x %}xxxxxxxxx{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
        "{% for i in range(99999) %}" + "x" * 100000 + "{% endfor %}",
        "{% set y %}{% for i in range(99999) %}" + "x" * 100000 + "{% endfor %}{% endset %}",
        "{% macro m() %}" + "x" * 100000 + "{% endmacro %}{% for i in range(99999) %}{% set a = m() %}{% endfor %}",
        "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000).join('b' * 100000) }}",
        "{{ range(99999) | join('b' * 100000) }}",
        "{{ ('\t' * 100000).expandtabs(4000) }}",
        "{{ ('\n' * 100000) | indent('x' * 4000) }}",
        "{{ ('a' * 1000000) | wordwrap(1) }}",
        "{{ (' ' * 1000000) | wordwrap }}",
        "{% set l = ('a ' * 20000000).split() %}",
        "{% for i in range(9999) %}{% set l = range(99999) | list %}{% endfor %}",
        NESTED + "{{ l | upper }}",
        NESTED + "{{ l | trim | safe }}",
    ],
)
def test_memory_has_an_end(text: str) -> None:
    with pytest.raises(TemplateError, match="characters of text"):
        render(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% set x = messages[0].content * 1000 %}" + "{% set x = x ~ x %}" * 40,
        "{% set x = messages[0].content * 1000 %}" + "{% set x = x + x %}" * 40,
        "{% set x = messages[0].content * 10000 %}{{ 'a' | replace('a', x) | replace('e', x) }}",
        "{% set x = messages[0].content * 10000 %}{{ x.replace('e', x) }}",
        "{% set x = messages[0].content * 10000 %}{{ x.join(x) }}",
        "{% set x = messages[0].content * 10000 %}{{ ('%s' * 1000) % ([x] * 1000) }}",
        "{{ (messages[0].content * 100000).replace('e', '\t').expandtabs(4000) }}",
    ],
)
def test_memory_has_an_end_with_marks(text: str) -> None:
    with pytest.raises(TemplateError, match="characters of text"):
        jinja.render_marked(template(text), Conversation(messages=[USER]))


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ 'a' | indent(10 ** 9) }}",
        "{{ [1] | batch(10 ** 9, 'x') | list }}",
        "{{ messages | tojson(indent=10 ** 9) }}",
        "{{ 1 | round(-(10 ** 9)) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10 ** 9, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10 ** 9) }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ [[1], [2]] | sum(start=[]) }}",
    ],
)
def test_widths_and_numbers_have_an_end(text: str) -> None:
    with pytest.raises(TemplateError, match=r"it (asks for|formats with|makes a number|adds up)"):
        render(text)


def test_recursion_has_an_end() -> None:
    with pytest.raises(TemplateError, match="nests too deeply"):
        render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")


def test_time_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", -1.0)
    with pytest.raises(TemplateError, match="works for more than"):
        render("{% for i in range(1000) %}{% endfor %}")


def test_a_growing_chat_may_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates in wide use append to the whole prompt at each message, or look through all messages at each."""
    monkeypatch.setattr(budget, "CHARACTERS", 1000)
    monkeypatch.setattr(budget, "STEPS", 2000)
    talk = [{"role": "user", "content": "x" * 100}] * 300
    appending = (
        "{% set ns = namespace(p='') %}{% for m in messages %}{% set ns.p = ns.p ~ m.content %}{% endfor %}{{ ns.p }}"
    )
    assert render(appending, talk) == "x" * 30000
    looking = "{% for m in messages %}{% for n in messages %}{% endfor %}{% endfor %}done"
    assert render(looking, talk) == "done"


@given(st.text(alphabet="{}%|()[]~-+*/'\"abxm.:, \n0123456789_setforinifendmacro", max_size=120))
def test_any_template_renders_or_fails_with_words(text: str) -> None:
    with suppress(TemplateError):
        render(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_content_is_never_read_as_a_template(system: str, content: str) -> None:
    chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    prompt = render(chatml, [{"role": "system", "content": system}, {"role": "user", "content": content}])
    assert prompt == f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{content}<|im_end|>\n"
