"""Foreign text: the same text as str makes, and a mark on every character that came from outside."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.prompt import foreign
from bundler.prompt.conversation import Rendered
from bundler.prompt.foreign import Foreign

OWN = "abAB \t\n,+-0"
OUTSIDE = "xyXY\u2003\x0b;\N{GREEK SMALL LETTER SIGMA}\N{GREEK CAPITAL LETTER SIGMA}\N{GREEK SMALL LETTER FINAL SIGMA}"
"""No character is in both, so that a result shows where its characters came from."""

owned = st.text(OWN, max_size=5)
outside = st.text(OUTSIDE, max_size=5).map(Foreign)
mixed = st.lists(st.one_of(owned, outside), max_size=6).map(foreign.concat)
small = st.integers(-2, 12)


def plain(value: Any) -> Any:
    """The value with every Foreign made a plain str."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return type(value)(plain(item) for item in value) if isinstance(value, list | tuple) else value


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from chain.from_iterable(texts(item) for item in value)


def marked(text: str) -> set[int]:
    return {at for start, end in foreign.ranges(text) for at in range(start, end)}


def check(method: Callable[..., Any], *arguments: Any, exact: bool = True) -> None:
    """The result has the text of str's, and marks on all that is foreign, and, where exact, on that alone.

    The method's last argument makes a literal of it.
    """
    wanted = method(*plain(arguments), str)
    made = method(*arguments, foreign.own)
    assert plain(made) == wanted
    assert type(plain(made)) is type(wanted)
    for text in texts(made):
        brought = {at for at, character in enumerate(text) if character in OUTSIDE}
        assert brought == marked(text) if exact else brought <= marked(text)


EXACT: dict[str, Callable[[str, str, str, int, Callable[[str], str]], Any]] = {
    "__add__": lambda a, b, c, n, own: a + b,
    "__getitem__": lambda a, b, c, n, own: [a[n:], a[:n], a[::-1], a[n::2], a[n:-1], a[-1:] and a[-1], a[:1] and a[0]],
    "__iter__": lambda a, b, c, n, own: list(a),
    "__mod__": lambda a, b, c, n, own: [
        own("<%s>%%%-8s%.2s%d%5.1f") % (a, b, c, n, n),
        own("%(k)s %(n)3d") % {"k": a, "n": n},
    ],
    "__mul__": lambda a, b, c, n, own: [a * n, n * a],
    "__rmod__": lambda a, b, c, n, own: [form % a for form in ("%s!", "a%10sb", "%%%.3s")],
    "__radd__": lambda a, b, c, n, own: "ab" + a,
    "__str__": lambda a, b, c, n, own: [str(a), f"{a}"],
    "__format__": lambda a, b, c, n, own: [format(a, ">9"), format(a, "-^8.2"), format(a, ""), format(a, "012")],
    "capitalize": lambda a, b, c, n, own: a.capitalize(),
    "casefold": lambda a, b, c, n, own: a.casefold(),
    "lower": lambda a, b, c, n, own: a.lower(),
    "swapcase": lambda a, b, c, n, own: a.swapcase(),
    "title": lambda a, b, c, n, own: a.title(),
    "upper": lambda a, b, c, n, own: a.upper(),
    "center": lambda a, b, c, n, own: [a.center(n), a.center(n, "-"), *[a.center(n, fill) for fill in b[:1]]],
    "ljust": lambda a, b, c, n, own: [a.ljust(n), a.ljust(n, "-"), *[a.ljust(n, fill) for fill in b[:1]]],
    "rjust": lambda a, b, c, n, own: [a.rjust(n), a.rjust(n, "-"), *[a.rjust(n, fill) for fill in b[:1]]],
    "zfill": lambda a, b, c, n, own: a.zfill(n),
    "expandtabs": lambda a, b, c, n, own: [a.expandtabs(), a.expandtabs(n)],
    "format": lambda a, b, c, n, own: own("{}{!s}-{:>7}{n:03}{k.real}").format(a, b, a, n=n, k=n),
    "format_map": lambda a, b, c, n, own: own("{{{k}}}{x:*<{n}}").format_map({"k": a, "x": b, "n": abs(n)}),
    "join": lambda a, b, c, n, own: [a.join([b, c, "a"]), a.join([b]), a.join(b), a.join(iter([]))],
    "lstrip": lambda a, b, c, n, own: [a.lstrip(), a.lstrip(b)],
    "rstrip": lambda a, b, c, n, own: [a.rstrip(), a.rstrip(b)],
    "strip": lambda a, b, c, n, own: [a.strip(), a.strip(b)],
    "removeprefix": lambda a, b, c, n, own: [a.removeprefix(b), a.removeprefix(a[:2])],
    "removesuffix": lambda a, b, c, n, own: [a.removesuffix(b), a.removesuffix(a[-2:])],
    "replace": lambda a, b, c, n, own: [
        a.replace(b, c),
        a.replace(b, c, n),
        a.replace("a", c),
        a.replace(a[1:3], "b" * n),
    ],
    "partition": lambda a, b, c, n, own: [a.partition(b or "-"), a.partition(a[1:2] or ",")],
    "rpartition": lambda a, b, c, n, own: [a.rpartition(b or "-"), a.rpartition(a[1:2] or ",")],
    "split": lambda a, b, c, n, own: [
        a.split(),
        a.split(None, n),
        a.split(a[1:3] or "-", n),
        a.split(b or ","),
        a.split(),
    ],
    "rsplit": lambda a, b, c, n, own: [a.rsplit(), a.rsplit(None, n), a.rsplit(a[1:3] or "-", n), a.rsplit(b or ",")],
    "splitlines": lambda a, b, c, n, own: [a.splitlines(), a.splitlines(True)],
}
WHOLE: dict[str, Callable[[str, str, str, int, Callable[[str], str]], Any]] = {
    "__mod__": lambda a, b, c, n, own: [own("%s %r") % (b, [a]), own("%(a)10.2r") % {"a": c}],
    "__repr__": lambda a, b, c, n, own: repr(a),
    "format": lambda a, b, c, n, own: own("{!r} {}").format(a, [b]),
    "translate": lambda a, b, c, n, own: a.translate({ord("a"): b}),
}
NO_TEXT = {
    *("__class__", "__contains__", "__delattr__", "__dir__", "__doc__", "__eq__", "__ge__", "__getattribute__"),
    *("__getnewargs__", "__getstate__", "__gt__", "__hash__", "__init__", "__init_subclass__", "__le__", "__len__"),
    *("__lt__", "__ne__", "__new__", "__reduce__", "__reduce_ex__", "__setattr__", "__sizeof__", "__subclasshook__"),
    *("count", "encode", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit"),
    *("isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "maketrans", "rfind"),
    *("rindex", "startswith"),
}


def test_every_method_of_str_that_makes_text_is_defined_and_tested() -> None:
    making = set(dir(str)) - NO_TEXT | {"__rmul__"}
    assert making - set(vars(Foreign)) == set()
    assert making - EXACT.keys() - WHOLE.keys() == {"__rmul__"}


@pytest.mark.parametrize("name", EXACT)
@given(text=mixed, other=mixed, third=mixed, number=small)
def test_marks_are_exact(name: str, text: str, other: str, third: str, number: int) -> None:
    check(EXACT[name], foreign.own(text), other, third, number)


@pytest.mark.parametrize("name", WHOLE)
@given(text=mixed, other=mixed, third=mixed, number=small)
def test_marks_cover_what_came_from_outside(name: str, text: str, other: str, third: str, number: int) -> None:
    check(WHOLE[name], foreign.own(text), other, third, number, exact=False)


@given(form=st.text("%s(a)d5.-*{}!r: x", max_size=12), values=st.lists(st.one_of(mixed, small), max_size=3))
def test_any_form_gives_what_str_gives(form: str, values: list[Any]) -> None:
    for given_values in ({"a": foreign.concat(map(str, values))}, tuple(values), *values[:1]):
        for fill in (_percent, _format):
            try:
                wanted = fill(form, plain(given_values))
            except Exception as cause:
                with pytest.raises(type(cause)):
                    fill(foreign.own(form), given_values)
                continue
            made = fill(foreign.own(form), given_values)
            assert plain(made) == wanted
            assert {at for at, character in enumerate(wanted) if character in OUTSIDE and character != "x"} <= marked(
                made
            )


def _percent(form: str, values: Any) -> Any:
    return form % values


def _format(form: str, values: Any) -> str:
    return form.format(*values) if isinstance(values, tuple) else form.format(values)


@pytest.mark.parametrize(
    ("text", "length"),
    [("\N{LATIN SMALL LETTER SHARP S}a", 3), ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", 1)],
)
def test_a_change_of_length_marks_the_whole(text: str, length: int) -> None:
    made = ("ab" + Foreign(text)).upper()
    assert made == f"ab{text}".upper()
    assert foreign.ranges(made) == (((0, 2 + length),) if length != len(text) else ((2, 2 + length),))


def test_the_form_from_outside_marks_the_whole() -> None:
    assert foreign.ranges(Foreign("a%s") % "b") == ((0, 2),)
    assert foreign.ranges(Foreign("a{}").format("b")) == ((0, 2),)
    assert foreign.ranges(foreign.own("a{:{}}").format("b", Foreign(">3"))) == ((1, 4),)


def test_numbers_are_nobodys() -> None:
    assert foreign.ranges(foreign.own("%s %d {}") % (1.5, 2)) == ()
    assert foreign.ranges(foreign.own("{} {}").format(None, True)) == ()
    assert foreign.ranges(foreign.own("<{}>").format([1])) == ((1, 4),)


def test_a_json_value_is_marked_in_every_string() -> None:
    made = foreign.mark({"a": ["b", {"c": "d"}, 1, None, True], "e": ("f",)})
    assert made == {"a": ["b", {"c": "d"}, 1, None, True], "e": ["f"]}
    found = [*made, *made["a"][1], made["a"][0], made["a"][1]["c"], made["e"][0]]
    assert [foreign.ranges(text) for text in found] == [((0, 1),)] * 6
    assert made["a"][0] is not Foreign("b")
    assert made["a"][4] is True


def test_joining_gives_a_prompt() -> None:
    pieces = ["<|im_start|>", Foreign("user"), "", Foreign(""), Foreign("\n"), "a", Foreign("b")]
    rendered = foreign.join(pieces)
    assert rendered == Rendered("<|im_start|>user\nab", ((12, 17), (18, 19)))
    assert type(rendered.text) is str
    assert foreign.join(iter(["a", "b"])) == Rendered("ab", ())


def test_a_text_of_ones_own_has_no_marks() -> None:
    assert foreign.ranges(foreign.own("abc")) == ()
    assert foreign.ranges("abc") == ()
    assert type(foreign.own("abc")[1:]) is str
    text = Foreign("abc")
    assert foreign.own(text) is text


def test_it_is_a_str_to_everybody_else() -> None:
    text = "a" + Foreign("bc")
    assert {text: 1}["abc"] == 1
    assert hash(text) == hash("abc")
    assert "b" in text
    assert text.encode() == b"abc"
    for other in (copy.copy(text), copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert other == "abc"
        assert foreign.ranges(other) == ((1, 3),)


def test_marks_fit_the_text() -> None:
    with pytest.raises(ValueError, match="2 marks for 3 characters"):
        Foreign("abc", b"\0\1")


def test_very_many_ranges_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_MOST_RANGES", 3)
    assert foreign.ranges(Foreign("abcdefg", b"\0\1\0\1\0\1\0")) == ((1, 2), (3, 4), (5, 6))
    assert foreign.ranges(Foreign("abcdefgh", b"\0\1\0\1\0\1\0\1")) == ((1, 8),)
