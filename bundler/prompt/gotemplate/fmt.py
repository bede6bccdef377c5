"""Printing as Go's fmt does it: Sprint, Sprintln and Sprintf of every value that a template can hold.

Follows the documentation of Go 1.27's fmt; the differential test settles what that leaves open. Addresses, which Go
prints for %p, are zero here. Marks of foreign text are kept. What one verb makes of one value is printer's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from bundler.prompt.gotemplate.printer import MAX_CHARACTERS, Directive, Printer
from bundler.prompt.gotemplate.quote import REPLACEMENT
from bundler.prompt.gotemplate.values import ABSENT, type_name

__all__ = ["MAX_CHARACTERS", "sprint", "sprintf", "sprintln"]

_LARGEST: Final = 1_000_000
"""Widths, precisions and numbers of operands beyond this are wrong."""
_NUMBER: Final = re.compile("[0-9]*")
_FLAGS: Final = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}


def sprint(*operands: Any) -> str:
    """The operands as `%v`, with a space between two of which neither is a string.

    Raises:
        FunctionError: the text gets too long, or a value is nested too deep.
    """
    printer = Printer()
    after_string = True
    for operand in operands:
        is_string = type_name(operand) == "string"
        if not is_string and not after_string:
            printer.write(" ")
        printer.value(operand, "v")
        after_string = is_string
    return printer.text()


def sprintln(*operands: Any) -> str:
    """The operands as `%v`, with a space between any two and a newline at the end.

    Raises:
        FunctionError: the text gets too long, or a value is nested too deep.
    """
    printer = Printer()
    for number, operand in enumerate(operands):
        if number:
            printer.write(" ")
        printer.value(operand, "v")
    printer.write("\n")
    return printer.text()


def sprintf(form: str, *operands: Any) -> str:
    """The form with its directives replaced; what is wrong with one is said in its place, as Go does: `%!d(string=x)`.

    Raises:
        FunctionError: the text gets too long, or a value is nested too deep.
    """
    printer = Printer()
    reader = _Reader(str.__str__(form), operands)
    at = 0
    while (percent := reader.form.find("%", at)) >= 0:
        if percent > at:
            printer.write(form[at:percent])
        reader.at = percent + 1
        reader.directive(printer)
        at = reader.at
    if at < len(form):
        printer.write(form[at:])
    if not reader.reordered and reader.next < len(operands):
        _extra(printer, operands[reader.next :])
    return printer.text()


def _extra(printer: Printer, operands: Sequence[Any]) -> None:
    printer.directive = Directive()
    printer.write("%!(EXTRA ")
    for number, operand in enumerate(operands):
        if number:
            printer.write(", ")
        if operand is not None and operand is not ABSENT:
            printer.write(f"{type_name(operand)}=")
        printer.value(operand, "v")
    printer.write(")")


class _Reader:
    """A form being read: `at` in it, and the number of the `next` operand, counted from 0."""

    def __init__(self, form: str, operands: Sequence[Any]) -> None:
        self.form = form
        self.at = 0
        self.next = 0
        self.reordered = False
        self._operands = operands
        self._index_is_good = True
        self._after_index = False

    def directive(self, printer: Printer) -> None:
        """Read what follows a `%` and print what it asks for."""
        printer.directive = flags = Directive()
        self._index_is_good = True
        while flag := _FLAGS.get(self._here()):
            setattr(flags, flag, True)
            self.at += 1
        self._after_index = self._index()
        self._width(printer, flags)
        if self._here() == "." and self.at + 1 < len(self.form):
            self._precision(printer, flags)
        if not self._after_index:
            self._after_index = self._index()
        verb = self._here()
        if not verb:
            return printer.write("%!(NOVERB)")
        self.at += 1
        if "\ud800" <= verb <= "\udfff":
            verb = REPLACEMENT
        if verb == "%":
            printer.write("%")
        elif not self._index_is_good:
            printer.write(f"%!{verb}(BADINDEX)")
        elif self.next >= len(self._operands):
            printer.write(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                flags.for_value()
            printer.value(self._operands[self.next], verb)
            self.next += 1
        return None

    def _here(self) -> str:
        return self.form[self.at : self.at + 1]

    def _width(self, printer: Printer, flags: Directive) -> None:
        if self._here() == "*":
            flags.width = self._operand_as_size()
            if flags.width is None:
                printer.write("%!(BADWIDTH)")
            elif flags.width < 0:
                flags.width, flags.minus, flags.zero = -flags.width, True, False
            return
        flags.width, self.at = _number(self.form, self.at, len(self.form))
        if self._after_index and flags.width is not None:
            self._index_is_good = False

    def _precision(self, printer: Printer, flags: Directive) -> None:
        self.at += 1
        if self._after_index:
            self._index_is_good = False
        self._after_index = self._index()
        if self._here() == "*":
            flags.precision = self._operand_as_size()
            if flags.precision is None or flags.precision < 0:
                flags.precision = None
                printer.write("%!(BADPREC)")
            return
        flags.precision, self.at = _number(self.form, self.at, len(self.form))
        flags.precision = flags.precision or 0

    def _operand_as_size(self) -> int | None:
        """The next operand in place of a `*`; None where it is no integer of a sensible size."""
        self.at += 1
        self._after_index = False
        if self.next >= len(self._operands):
            return None
        size = self._operands[self.next]
        self.next += 1
        return size if isinstance(size, int) and not isinstance(size, bool) and abs(size) <= _LARGEST else None

    def _index(self) -> bool:
        """Read `[n]`, if there is one, and go to that operand; whether there was one that is a number."""
        if self._here() != "[":
            return False
        self.reordered = True
        end = self.form.find("]", self.at + 1)
        if end < 0:
            self._index_is_good = False
            self.at += 1
            return False
        number, read = _number(self.form, self.at + 1, end)
        self.at = end + 1
        if number is None or read != end:
            self._index_is_good = False
            return False
        if 1 <= number <= len(self._operands):
            self.next = number - 1
        else:
            self._index_is_good = False
        return True


def _number(form: str, start: int, end: int) -> tuple[int | None, int]:
    """The number at `start` and where it ends; a number that is too large ends where the form does."""
    digits = _NUMBER.match(form, start, end)
    assert digits is not None  # it matches the empty text
    if not digits[0]:
        return None, digits.end()
    if len(digits[0].lstrip("0")) > len(str(_LARGEST)) + 1 or int(digits[0][:-1] or 0) > _LARGEST:
        return None, end
    return int(digits[0]), digits.end()
