"""The chat page of a real bundle in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.running import Running, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def served(guide: Path) -> Iterator[Running]:
    with serving([guide]) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, served: Running) -> Iterator[Page]:
    """The page, open; at the end there was no JavaScript error and no request to another host."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.url)
    yield page
    assert errors == []
    assert [url for url in asked if not url.startswith((served.url, "data:"))] == []
    context.close()


def ask(page: Page, question: str) -> None:
    page.get_by_role("textbox").fill(question)
    page.keyboard.press("Enter")


def answers(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("[data-role=assistant]").all_inner_texts()]


def done(page: Page) -> None:
    """Block until nothing is being generated."""
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=60_000)


def test_a_question_is_answered(page: Page) -> None:
    ask(page, "What is a bundle?")
    expect(page.locator("[data-role=assistant]")).to_contain_text("file", timeout=60_000)
    done(page)
    assert len(answers(page)) == 1
    assert "guide" in page.title()


def test_it_greets_and_a_starter_question_is_answered(page: Page) -> None:
    expect(page.get_by_text("Ask me how to build, run or share a bundle.")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="How do I change the port?").click()
    expect(page.locator("[data-role=assistant]")).to_contain_text("--port", timeout=60_000)
    done(page)
    expect(page.get_by_role("button", name="How do I change the port?")).to_be_hidden()


def test_the_conversation_survives_a_reload(page: Page) -> None:
    ask(page, "Hello!")
    expect(page.locator("[data-role=assistant]")).not_to_be_empty(timeout=60_000)
    done(page)
    before = answers(page)
    page.reload()
    expect(page.locator("[data-role=assistant]")).to_have_count(1)
    assert answers(page) == before


def test_a_follow_up_is_answered_in_the_same_conversation(page: Page) -> None:
    for question in ("Hello!", "How do I choose a port?"):
        ask(page, question)
        done(page)
    expect(page.locator("[data-role=assistant]")).to_have_count(2, timeout=60_000)
    done(page)
    assert all(answers(page))


def test_a_new_chat_is_empty(page: Page) -> None:
    ask(page, "Hello!")
    expect(page.locator("[data-role=assistant]")).not_to_be_empty(timeout=60_000)
    done(page)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("[data-role=assistant]")).to_have_count(0)
