"""Whether the chosen template works with what the Modelfile says: tried once at build, not at every chat.

What would fail at every chat is an error; what would go wrong in silence is a notice at the line that is its cause.
Renders conversations whose words are known and looks for them in the prompt. Knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Final, NoReturn

from bundler.build.faults import advice, fault
from bundler.build.template import Choice, render_with
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped, nearest
from bundler.formats.manifest import Message
from bundler.formats.modelfile import Command, Modelfile, Notice, Place
from bundler.prompt import frame, jinja
from bundler.prompt.frame import Messages
from bundler.prompt.gotemplate import template as gotemplate
from bundler.prompt.ollama.functions import FUNCTIONS
from bundler.prompt.specials import Specials

_QUESTION, _ANSWER, _SYSTEM = "Kindly answer in seventeen words", "With pleasure, in a moment", "Mind the gap always"
_DATES: Final = ("strftime_now", "currentDate", "yesterdayDate")
_VARIABLES: Final = frozenset(("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"))
_FIELDS: Final = frozenset((
    "Messages", "System", "Prompt", "Response", "Suffix", "Tools", "Think", "ThinkLevel", "IsThinkSet",
))  # fmt: skip
_BRACKETS = re.compile(r"<[^<>\s]{1,38}>|\[[^\[\]\s]{1,38}\]")


def try_out(modelfile: Modelfile, choice: Choice, messages: Sequence[Message]) -> list[Notice]:
    """Render what the bundle will see.

    Raises:
        ModelfileError: the template is none, does not show what the user says, or refuses SYSTEM or the MESSAGEs.
    """
    trial = _Trial(modelfile, choice)
    trial.question()
    begin = [*trial.system(), *({"role": message.role, "content": message.content} for message in messages)]
    trial.history(begin)
    trial.notices += [
        *_dropped_system(trial),
        *_missing_stop(trial),
        *_doubled_begin(trial),
        *_dates(trial, begin),
        *_unknown_variables(trial),
    ]
    return trial.notices


class _Trial:
    """One template under trial, and the places of the Modelfile that speak of it."""

    def __init__(self, modelfile: Modelfile, choice: Choice) -> None:
        self.modelfile, self.choice = modelfile, choice
        self.render = render_with(choice.template)
        self.notices: list[Notice] = []

    def question(self) -> None:
        """One question of the user."""
        label = self.choice.label
        text = self.prompt([_user(_QUESTION)], self.choice.place, f"{label} does not work", self._remedy())
        if _QUESTION not in text:
            self.fail(self.choice.place, f"{label} leaves out what the user says", self._remedy())

    def system(self) -> Messages:
        """SYSTEM, as the conversation begins with it."""
        command = self._system_command()
        if command is None:
            return []
        hint = "put the text into a first `MESSAGE user` instead"
        failure = f"{self.choice.label} takes no SYSTEM"
        self.prompt([{"role": "system", "content": _SYSTEM}, _user(_QUESTION)], command.place, failure, hint)
        return [{"role": "system", "content": command.value}]

    def history(self, begin: Messages) -> None:
        """SYSTEM, the MESSAGEs, and a question after them."""
        commands = self.modelfile.all("message")
        if not commands:
            return
        try:
            self.render([*begin, _user(_QUESTION)])
        except BundleError as cause:
            hint = "change the MESSAGEs: most templates want user and assistant in turn"
            failure = f"{self.choice.label} does not take the MESSAGEs and a question after them"
            self.refuse(self._culprit(begin, commands).place, failure, hint, cause)

    def prompt(self, messages: Messages, place: Place, failure: str, hint: str) -> str:
        try:
            return self.render(messages)
        except BundleError as cause:
            self.refuse(place, failure, hint, cause)

    def refuse(self, place: Place, failure: str, hint: str, cause: BundleError) -> NoReturn:
        reason = clipped(cause.message, 300)
        if isinstance(cause, jinja.TemplateError) and cause.said:
            reason = f"it says: {clipped(cause.said, 200)}"
        elif self.choice.command:
            at, reason = fault(self.modelfile, self.choice.command, cause)
            place = at if place == self.choice.place else place
        raise self.modelfile.error(place, f"{failure}: {reason}", hint) from cause

    def fail(self, place: Place, cause: str, hint: str) -> NoReturn:
        raise self.modelfile.error(place, cause, hint)

    def tried(self, messages: Messages) -> str:
        """The prompt; empty where the template refuses the messages."""
        try:
            return self.render(messages)
        except BundleError:
            return ""

    def _system_command(self) -> Command | None:
        command = self.modelfile.last("system")
        return command if command and command.value else None

    def _culprit(self, begin: Messages, commands: list[Command]) -> Command:
        """The first MESSAGE after which the template takes no more; the last where only the question is too much."""
        lead = len(begin) - len(commands)
        for count, command in enumerate(commands, 1):
            asked = begin[: lead + count]
            if not self.tried(asked) and not self.tried([*asked, _user(_QUESTION)]):
                return command
        return commands[-1]

    def _remedy(self) -> str:
        if self.choice.command is None:
            return "get a GGUF with a corrected chat template, or name its format in a line such as: RENDERER chatml"
        return advice(self.choice.command.value)


def _dropped_system(trial: _Trial) -> Iterator[Notice]:
    """A system prompt that is not in the prompt, at the first question or once there is a history."""
    talk = [{"role": "system", "content": _SYSTEM}, _user(_QUESTION)]
    first, later = trial.tried(talk), trial.tried([*talk, {"role": "assistant", "content": _ANSWER}, _user("And now?")])
    command = trial.modelfile.last("system")
    place = command.place if command and command.value else trial.choice.place
    if first and _SYSTEM not in first:
        yield Notice(place, f"{trial.choice.label} leaves the system prompt out")
    elif later and _SYSTEM not in later:
        yield Notice(place, f"{trial.choice.label} leaves the system prompt out after the first answer")


def _missing_stop(trial: _Trial) -> Iterator[Notice]:
    """What the template writes after a question or an answer is what the model will; something there must end it.

    A Go template that ends with the question, as many do, does not say how an answer ends.
    """
    choice = trial.choice
    found = frame.frame(trial.tried)
    parameters = trial.modelfile.parameters().get("stop", [])
    stops = [*choice.template.stops, *(parameters if isinstance(parameters, list) else [])]
    says_nothing = choice.template.kind == "go" and _fields(choice.template.text).isdisjoint(("Messages", "Response"))
    if found is None or says_nothing or choice.ends.intersection(choice.template.stops):
        return
    if any(end in found.turn or end in found.answer for end in (*stops, *choice.ends)):
        return
    marker = _marker(found.turn, Specials(choice.specials))
    if not marker:
        text = f"{choice.label} writes nothing between an answer and the next question, so no stop string can end one"
    else:
        shown = clipped(marker)
        text = f'nothing ends an answer: {shown} is neither an end token nor a stop; add PARAMETER stop "{shown}"'
    yield Notice(choice.place, text)


def _marker(turn: str, specials: Specials) -> str:
    """What the end of a turn can be told by: a control token, else something in brackets, else the first words."""
    controls = specials.occurrences(turn)
    if controls:
        return turn[slice(*controls[0])]
    brackets = _BRACKETS.search(turn)
    return brackets.group() if brackets else turn.strip().partition("\n")[0][:40].strip()


def _doubled_begin(trial: _Trial) -> Iterator[Notice]:
    """The runtime puts a begin token only where a prompt has none; a template can still write two."""
    begin = trial.choice.template.bos_token
    if begin and trial.tried([_user(_QUESTION)]).startswith(begin * 2):
        yield Notice(trial.choice.place, f"the prompt begins with {clipped(begin)} twice")


def _dates(trial: _Trial, begin: Messages) -> Iterator[Notice]:
    text = trial.choice.template.text
    used = next((name for name in _DATES if name in text), "")
    if used and str(date.today().year) in trial.tried([*begin, _user(_QUESTION)]):
        yield Notice(_place_of(trial, used), f"{trial.choice.label} writes today's date: prompts change every day")


def _unknown_variables(trial: _Trial) -> Iterator[Notice]:
    """Of a Jinja template only names that are nearly a known one: a request can bring any other."""
    template, label = trial.choice.template, trial.choice.label
    if template.kind == "go":
        for name in sorted(_fields(template.text) - _FIELDS):
            near = nearest(name, _FIELDS)
            which = f"is .{near} meant?" if near else f"known are {', '.join(sorted(_FIELDS))}"
            text = f"there is no variable .{clipped(name)}: it is false and prints <no value>; {which}"
            yield Notice(_place_of(trial, f".{name}"), text)
        return
    for name in sorted(jinja.names(template.text) - _VARIABLES - {"tool", "message"}):
        for known in get_close_matches(name, _VARIABLES, 1, 0.85):
            yield Notice(trial.choice.place, f"{label} uses the variable {clipped(name)}; is {known} meant?")


def _fields(text: str) -> frozenset[str]:
    """The names that a Go template looks up in what it is given."""
    return gotemplate.parse(text, functions=FUNCTIONS).fields()


def _place_of(trial: _Trial, words: str) -> Place:
    """Where TEMPLATE has these words; where the template comes from, if it is no TEMPLATE."""
    command = trial.choice.command
    at = command.value.find(words) if command else -1
    return trial.modelfile.place_within(command, at) if command and at >= 0 else trial.choice.place


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}
