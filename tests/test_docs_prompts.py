"""docs/prompts.md names what there is."""

from __future__ import annotations

from bundler.cli_template import template
from bundler.prompt.chatrequest import ChatBody
from bundler.prompt.specials import OWN_ROLES
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_every_option_is_there() -> None:
    options = [option for parameter in template.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if option not in TEXT] == []


def test_every_field_of_a_request_is_there() -> None:
    assert [name for name in ChatBody.__struct_fields__ if name not in TEXT] == []


def test_every_role_is_there() -> None:
    assert [role for role in OWN_ROLES if f"`{role}`" not in TEXT] == []
