"""Messages as Ollama sees them: one turn each, and collated, neighbours of one role made one.

Takes the shapes of OpenAI's API and of Ollama's own. Knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bundler.prompt.foreign import concat
from bundler.prompt.gotemplate.values import Map, Slice, Struct
from bundler.prompt.ollama.reader import Reader, mapping, refusal, sequence
from bundler.prompt.ollama.record import as_json
from bundler.prompt.specials import OWN_ROLES

BLANK_LINE: Final = "\n\n"
_OWN_ROLES: Final = {role: role for role in OWN_ROLES}


@dataclass(slots=True)
class Turn:
    """One message, or several neighbours."""

    role: str
    contents: list[str]
    thoughts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    calls: list[Struct] = field(default_factory=list)
    tool_name: str = ""
    tool_call_id: str = ""

    @property
    def content(self) -> str:
        return joined(self.contents)


def turns(messages: Sequence[Mapping[str, Any]], read: Reader) -> list[Turn]:
    """A turn for each message.

    Raises:
        BundleError: a message has a value of the wrong type, or content that no Go template shows.
    """
    made, images, names = [], 0, dict[str, str]()
    for at, message in enumerate(messages):
        turn = _turn(mapping(message, f"messages[{at}]"), read, f"messages[{at}]", images)
        images += len(turn.images)
        if turn.role == "tool" and turn.tool_call_id and not turn.tool_name:
            turn.tool_name = names.get(turn.tool_call_id, "")
        names.update((call.fields["ID"], call.fields["Function"].fields["Name"]) for call in turn.calls)
        made.append(turn)
    return made


def collated(given: Iterable[Turn]) -> list[Turn]:
    """Neighbours of one role as one turn, but those of the role `tool`, which are an answer each.

    Ollama keeps the content of a later neighbour alone; here its thinking, images and tool calls stay too.
    """
    made: list[Turn] = []
    for turn in given:
        if made and made[-1].role == turn.role != "tool":
            last = made[-1]
            last.contents += turn.contents
            last.thoughts += turn.thoughts
            last.images += turn.images
            last.calls += turn.calls
        else:
            made.append(turn)
    return made


def system(given: Iterable[Turn]) -> str:
    """`.System`: what all system messages say."""
    return joined([turn.content for turn in given if turn.role == "system"])


def joined(texts: Sequence[str]) -> str:
    """The texts with a blank line between them."""
    if len(texts) < 2:
        return texts[0] if texts else ""
    return concat(piece for text in texts for piece in (BLANK_LINE, text))[len(BLANK_LINE) :]


def _turn(message: Mapping[str, Any], read: Reader, where: str, images: int) -> Turn:
    role = _role(message.get("role"), read, where)
    text, shown = _content(message, read, where, images)
    thought = message.get("reasoning_content") or message.get("thinking") or message.get("reasoning")
    name = message.get("tool_name") or (message.get("name") if role == "tool" else "")
    calls = sequence(message.get("tool_calls"), f"{where}.tool_calls")
    return Turn(
        role,
        [text],
        [read.text(thought, f"{where}.reasoning_content")] if thought else [],
        shown,
        [_call(call, read, f"{where}.tool_calls[{at}]") for at, call in enumerate(calls)],
        read.text(name, f"{where}.name"),
        read.text(message.get("tool_call_id"), f"{where}.tool_call_id"),
    )


def _role(role: Any, read: Reader, where: str) -> str:
    """In lower case; the roles that templates know are not foreign."""
    if isinstance(role, str) and (own := _OWN_ROLES.get(role)):
        return own
    lower = read.text(role, f"{where}.role").lower()
    return _OWN_ROLES.get(lower, lower)


def _content(message: Mapping[str, Any], read: Reader, where: str, images: int) -> tuple[str, list[str]]:
    """The text, with a mark `[img-N]` for every image, and the images. `images`: how many there are before."""
    content = message.get("content")
    shown = read.texts(message.get("images"), f"{where}.images")
    if content is None or isinstance(content, str):
        return _with_images(read.text(content, f"{where}.content"), len(shown), images), shown
    texts = []
    for at, part in enumerate(sequence(content, f"{where}.content")):
        text, image = _part(mapping(part, f"{where}.content[{at}]"), read, f"{where}.content[{at}]")
        if image is not None:
            text = f"[img-{images + len(shown)}]"
            shown.append(image)
        texts.append(text)
    return joined(texts), shown


def _with_images(text: str, count: int, first: int) -> str:
    """`[img]` in the text is where the next image goes; those without such a place go before the text."""
    before = ""
    for number in range(first, first + count):
        if "[img]" in text:
            text = text.replace("[img]", f"[img-{number}]", 1)
        else:
            before += f"[img-{number}]"
    return before + text if before else text


def _part(part: Mapping[str, Any], read: Reader, where: str) -> tuple[str, str | None]:
    """The text of a part of a message, or its image."""
    kind = part.get("type")
    if kind == "text":
        return read.text(part.get("text"), f"{where}.text"), None
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        return "", read.text(url, f"{where}.image_url")
    raise refusal(where, f"is of the type {str(kind)[:40]!r}, and Go templates know text and image_url")


def _call(call: Any, read: Reader, where: str) -> Struct:
    given = mapping(call, where)
    function = mapping(given.get("function"), f"{where}.function")
    place = f"{where}.function.arguments"
    arguments = read.json(mapping(function.get("arguments"), place), place)
    index = function.get("index", given.get("index"))
    fields = {
        "Index": index if isinstance(index, int) and not isinstance(index, bool) else 0,
        "Name": read.text(function.get("name"), f"{where}.function.name"),
        "Arguments": as_json(Map("template.templateArgs", arguments)),
    }
    made = as_json(Struct("template.templateToolCallFunction", fields))
    fields = {"ID": read.text(given.get("id"), f"{where}.id"), "Function": made}
    return as_json(Struct("template.templateToolCall", fields))


def messages(given: Iterable[Turn]) -> Slice:
    """`.Messages`."""
    return Slice("[]*template.templateMessage", [_message(turn) for turn in given])


def _message(turn: Turn) -> Struct:
    fields = {
        "Role": turn.role,
        "Content": turn.content,
        "Thinking": joined(turn.thoughts),
        "Images": Slice("[]api.ImageData", turn.images, nil=not turn.images),
        "ToolCalls": Slice("[]template.templateToolCall", turn.calls, nil=not turn.calls),
        "ToolName": turn.tool_name,
        "ToolCallID": turn.tool_call_id,
    }
    return Struct("*template.templateMessage", fields)
