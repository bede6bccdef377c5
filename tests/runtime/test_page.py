"""The chat page in Chromium, over a scripted engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bundler.formats.manifest import Manifest
from bundler.formats.manifest import Page as Said
from bundler.runtime.address import with_key
from bundler.runtime.engine.interface import Overloaded
from bundler.runtime.service import Service
from bundler.runtime.startup import Startup
from tests.runtime.fake_engine import ScriptedEngine, loaded, until
from tests.runtime.serving import MANIFEST, manifest, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

Open = Callable[..., Page]
KEY = "s3cret/+#%"

GREETING = "Ahoy! <b>Ask</b> me."
STARTERS = ["Who are you?", "What is <i>this</i>?"]
GREETS = manifest(page=Said(greeting=GREETING, starters=STARTERS))

MARKDOWN = """# Title

Some **strong** and *soft* words, `code`, and <img src=x onerror=alert(1)>.

1. one
2. two

```python
print("<b>")
```

> A quote."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page of a server; at the end no script has failed, and no other host was asked."""
    errors: list[str] = []
    with ExitStack() as stack:
        context = browser.new_context()
        stack.callback(context.close)

        def open_page(
            model: ScriptedEngine | Startup,
            *,
            of: Manifest = MANIFEST,
            api_key: str | None = None,
            fragment: str = "",
        ) -> Page:
            startup = model if isinstance(model, Startup) else Startup.done(loaded(model))
            url = stack.enter_context(served(Service(of, startup), api_key))
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: None if request.url.startswith(url) else errors.append(request.url))
            page.on("dialog", lambda dialog: errors.append(dialog.message))
            page.goto(f"{url}/{fragment}")
            return page

        yield open_page
    assert errors == []


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")


def test_an_answer_is_shown_and_the_model_named(open_page: Open) -> None:
    page = open_page(ScriptedEngine("Hello 🦙"))
    expect(page).to_have_title("tiny · Chat")
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    ask(page, "Hi")
    expect(page.get_by_label("Answer")).to_have_text("Hello 🦙")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_the_whole_conversation_goes_to_the_model(open_page: Open) -> None:
    engine = ScriptedEngine("A")
    page = open_page(engine)
    for text in ("One", "Two"):
        ask(page, text)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert engine.prompt() == "[user]One[assistant]A[user]Two[assistant]"


def test_a_question_that_got_no_answer_and_the_next_one_are_one_turn(open_page: Open) -> None:
    engine = ScriptedEngine("")
    page = open_page(engine)
    ask(page, "One")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    engine.answer = "A"
    ask(page, "Two")
    expect(page.get_by_label("Answer")).to_have_text("A")
    assert engine.prompt() == "[user]One\n\nTwo[assistant]"
    expect(page.get_by_label("You")).to_have_text(["One", "Two"])


def test_shift_enter_makes_a_new_line(open_page: Open) -> None:
    engine = ScriptedEngine("A")
    page = open_page(engine)
    page.get_by_role("textbox").fill("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Answer")).to_have_text("A")
    assert engine.prompt() == "[user]One\nTwo[assistant]"


def test_stop_ends_the_answer_and_keeps_what_came(open_page: Open) -> None:
    engine = ScriptedEngine("Hello", hold=True)
    page = open_page(engine)
    ask(page, "Hi")
    expect(page.get_by_label("Answer")).to_have_text("H")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    until(lambda: bool(engine.finishes))
    assert engine.finishes[0].reason == "cancelled"
    page.reload()
    expect(page.get_by_label("Answer")).to_have_text("H")


def test_a_new_chat_stops_and_forgets(open_page: Open) -> None:
    engine = ScriptedEngine("Hello", hold=True)
    page = open_page(engine)
    ask(page, "Hi")
    expect(page.get_by_label("Answer")).to_have_text("H")
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.get_by_text("Ask tiny anything.")).to_be_visible()
    until(lambda: bool(engine.finishes))
    page.reload()
    expect(page.get_by_role("article")).to_have_count(0)


def test_an_empty_chat_greets_and_a_starter_is_asked(open_page: Open) -> None:
    engine = ScriptedEngine("Hello")
    page = open_page(engine, of=GREETS)
    expect(page.get_by_text(GREETING)).to_be_visible()
    starters = page.get_by_role("list", name="Questions to start with").get_by_role("button")
    expect(starters).to_have_text(STARTERS)
    starters.nth(1).click()
    expect(page.get_by_label("Answer")).to_have_text("Hello")
    expect(page.get_by_label("You")).to_have_text(STARTERS[1])
    assert engine.prompt() == f"[user]{STARTERS[1]}[assistant]"
    expect(page.get_by_text(GREETING)).to_be_hidden()
    expect(page.get_by_role("button", name=STARTERS[0])).to_be_hidden()
    page.reload()
    expect(page.get_by_label("Answer")).to_have_text("Hello")
    expect(page.get_by_text(GREETING)).to_be_hidden()
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_text(GREETING)).to_be_visible()
    expect(starters).to_have_text(STARTERS)


def test_starters_are_reached_by_the_keyboard(open_page: Open) -> None:
    engine = ScriptedEngine("Hello")
    page = open_page(engine, of=GREETS)
    expect(page.get_by_role("textbox")).to_be_focused()
    expect(page.get_by_role("button", name=STARTERS[1])).to_be_visible()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name=STARTERS[1])).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Answer")).to_have_text("Hello")
    assert engine.prompt() == f"[user]{STARTERS[0]}[assistant]"
    expect(page.get_by_role("textbox")).to_be_focused()


def test_starters_wait_for_the_model(open_page: Open) -> None:
    startup = Startup()
    page = open_page(startup, of=GREETS)
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name=STARTERS[0])).to_be_hidden()
    startup.outcome.set_result(loaded(ScriptedEngine("Here")))
    page.get_by_role("button", name=STARTERS[0]).click()
    expect(page.get_by_label("Answer")).to_have_text("Here")


def test_a_greeting_alone_and_nothing_at_all(open_page: Open) -> None:
    for page_file, text in ((Said(greeting=GREETING), GREETING), (None, "Ask tiny anything.")):
        page = open_page(ScriptedEngine("A"), of=manifest(page=page_file))
        expect(page.get_by_text(text)).to_be_visible()
        expect(page.get_by_role("list", name="Questions to start with")).to_have_count(0)


def test_questions_alone_leave_the_usual_words(open_page: Open) -> None:
    page = open_page(ScriptedEngine("A"), of=manifest(page=Said(starters=STARTERS)))
    expect(page.get_by_text("Ask tiny anything.")).to_be_visible()
    expect(page.get_by_role("button", name=STARTERS[0])).to_be_visible()


def test_markdown_is_drawn_and_markup_is_text(open_page: Open) -> None:
    page = open_page(ScriptedEngine(MARKDOWN))
    ask(page, "<script>alert(1)</script>")
    answer = page.get_by_label("Answer")
    expect(answer.locator("blockquote")).to_have_text("A quote.")
    expect(answer.locator("strong")).to_have_text("strong")
    expect(answer.locator("li")).to_have_text(["one", "two"])
    expect(answer.locator("pre")).to_have_text('print("<b>")')
    expect(answer).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.get_by_label("You")).to_have_text("<script>alert(1)</script>")
    assert page.locator("main img, main script").count() == 0


def test_a_failure_is_told_and_can_be_tried_again(open_page: Open) -> None:
    engine = ScriptedEngine("Better", refuse=Overloaded(3))
    page = open_page(engine)
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_contain_text("3 requests are waiting already; try again later")
    engine.refuse = None
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Answer")).to_have_text("Better")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert engine.prompt() == "[user]Hi[assistant]"


def test_loading_is_shown_and_a_question_waits_for_it(open_page: Open) -> None:
    startup = Startup()
    startup.fraction, startup.stage = 0.4, "loading the weights"
    page = open_page(startup)
    expect(page.get_by_text("loading the weights")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.4")
    ask(page, "Hi")
    startup.outcome.set_result(loaded(ScriptedEngine("Here")))
    expect(page.get_by_label("Answer")).to_have_text("Here")
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_the_key_in_the_address_is_kept_and_taken_out_of_it(open_page: Open) -> None:
    page = open_page(ScriptedEngine("Hello"), api_key=KEY, fragment=with_key("", KEY).removeprefix("/"))
    for _ in range(2):
        expect(page.get_by_role("heading", name="tiny")).to_be_visible()
        assert "#" not in page.url
        page.reload()
    ask(page, "Hi")
    expect(page.get_by_label("Answer")).to_have_text("Hello")


def test_without_a_key_the_page_asks_for_it(open_page: Open) -> None:
    page = open_page(ScriptedEngine("Hello"), api_key=KEY, fragment="#key=wrong")
    for key in ("other", KEY):
        page.get_by_label("This server wants its key").fill(key)
        page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    expect(page.get_by_label("This server wants its key")).to_have_count(0)
    ask(page, "Hi")
    expect(page.get_by_label("Answer")).to_have_text("Hello")
