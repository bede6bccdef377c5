"""Writing Modelfiles: what is read comes back, and what no Modelfile can hold is an error."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.formats import parameters
from bundler.formats.modelfile import Instruction, ModelfileError, parse, write
from bundler.formats.modelfile.values import ROLES, is_kept


def instructions(text: str) -> list[Instruction]:
    return [command.instruction for command in parse(text.encode()).commands]


def system(value: str) -> str:
    """How a SYSTEM with this value is written."""
    return write([Instruction("system", "", value)]).removeprefix("SYSTEM ").removesuffix("\n")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text", "plain text"),
        ("# no comment", "# no comment"),
        ('say "hi"', 'say "hi"'),
        ("it's", "it's"),
        ("a\tb", "a\tb"),
        ("日本 🦙", "日本 🦙"),
        ("", '""'),
        (" ", '" "'),
        ("end ", '"end "'),
        ("\tstart", '"\tstart"'),
        ('"quoted"', '""quoted""'),
        ('"', '"""""""'),
        ('""', '""""""""'),
        ('"""', '"""""""""'),
        ('""x', '"""""x"""'),
        ("two\nlines", '"""two\nlines"""'),
        ("\n", '"""\n"""'),
        ('a"\nb"', '"""a"\nb""""'),
        ('a""\n"""', '"""a""\n""""""'),
        ("a\r\nb", '"""a\r\nb"""'),
    ],
)
def test_quotes_are_chosen_by_need(value: str, written: str) -> None:
    assert system(value) == written
    assert instructions(f"FROM x\nSYSTEM {written}")[1].value == value


def test_commands_are_written_in_their_order() -> None:
    text = (
        "FROM a.gguf\nADAPTER l.gguf\nDRAFT d.gguf\nTEMPLATE {{ .Prompt }}\nRENDERER r\nPARSER p\nREQUIRES 0.14.0\n"
        "PARAMETER top_k 3\nMESSAGE user hi: there\nLICENSE MIT\nSYSTEM s\nPARAMETER top_k 4\n"
    )
    assert write(instructions(text)) == text


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (
            Instruction("license", "", 'one\ntwo """  \nthree'),
            'LICENSE cannot be written: its line 2 ends with """, where a Modelfile ends the whole text',
        ),
        (
            Instruction("parameter", "stop", "a\u200db\x00"),
            "PARAMETER stop cannot be written: it has the character U+200D, which a Modelfile leaves out",
        ),
        (Instruction("message", "tool", "x"), 'there is no command "message tool"'),
        (Instruction("parameter", "top-k", "x"), 'there is no command "parameter top-k"'),
        (Instruction("parameter", "", "x"), 'there is no command "parameter"'),
        (Instruction("system", "user", "x"), 'there is no command "system user"'),
        (Instruction("form\n", "", "x"), 'there is no command "form"'),
    ],
)
def test_what_cannot_be_written(instruction: Instruction, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        write([instruction])
    assert caught.value.message == f"failed to write Modelfile: {message}"


TEXTS = st.text() | st.lists(st.sampled_from(['"', '"""', "\n", "\r", " ", "\t", "#", "x", "\u200d", "ä"])).map("".join)
PARAMETERS = st.sampled_from(sorted(parameters.TYPES)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        {
            int: st.integers(-(1 << 63), (1 << 63) - 1).map(str),
            float: st.floats(width=32, allow_nan=False, allow_infinity=False).map(str),
            bool: st.sampled_from(["true", "false", "T", "0"]),
            str: TEXTS.filter(bool),
        }[parameters.TYPES[name]],
    )
)
INSTRUCTIONS = st.one_of(
    st.builds(
        Instruction, st.sampled_from(["system", "template", "license", "renderer", "parser"]), st.just(""), TEXTS
    ),
    st.builds(Instruction, st.sampled_from(["adapter", "draft", "from"]), st.just(""), TEXTS.filter(bool)),
    st.builds(Instruction, st.just("message"), st.sampled_from(ROLES), TEXTS),
    st.from_regex(r"\A(0|[1-9][0-9])\.0\.[1-9](-[a-z]+)?\Z").map(lambda version: Instruction("requires", "", version)),
    PARAMETERS.map(lambda pair: Instruction("parameter", *pair)),
    st.builds(Instruction, st.just("parameter"), st.from_regex(r"\A[a-z0-9_]{20}\Z"), TEXTS),
)


@given(st.lists(INSTRUCTIONS, max_size=6))
def test_what_is_written_is_read_again(wanted: list[Instruction]) -> None:
    wanted = [Instruction("from", "", "x"), *wanted]
    try:
        text = write(wanted)
    except BundleError:
        assert any(not expressible(instruction.value) for instruction in wanted)
        return
    assert instructions(text) == wanted
    assert all(expressible(instruction.value) for instruction in wanted)


def expressible(value: str) -> bool:
    """Whether any quotes make this a value, by trying all of them."""
    if not all(is_kept(char) or char in "\r\n" for char in value):
        return False
    for quote in ("", '"', '"""'):
        try:
            found = instructions(f"SYSTEM {quote}{value}{quote}\nFROM x")
        except ModelfileError:
            continue
        if found == [Instruction("system", "", value), Instruction("from", "", "x")]:
            return True
    return False


@given(
    st.lists(st.sampled_from(["FROM ", "SYSTEM ", "PARAMETER stop ", "x", '"', '"""', " ", "\n", "\r\n", "#", "\t"]))
)
@example(['SYSTEM """a', "\r\n", '"""'])
def test_the_plain_form_is_a_fixed_point(words: list[str]) -> None:
    try:
        found = instructions("FROM x\n" + "".join(words))
    except ModelfileError:
        return
    plain = write(found)
    assert instructions(plain) == found
    assert write(instructions(plain)) == plain
