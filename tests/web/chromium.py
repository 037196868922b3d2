"""A tab of Debian's Chromium, driven by Playwright, and what its console complains of."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from playwright.sync_api import Browser, Page, sync_playwright

# Chromium's own sandbox needs a user who is not root, or user namespaces; what it is shown here is ours.
ARGUMENTS = ("--no-sandbox", "--disable-gpu")


async def in_chromium(url: str, act: Callable[[Page], None], *arguments: str, **context: Any) -> list[str]:
    """Open a page in a fresh browser, and do something with it, in a thread: Playwright knows no trio.

    Args:
        url: What is opened first.
        act: Is given the tab.
        arguments: Of Chromium.
        context: As Playwright names it: `viewport`, `color_scheme`.

    Returns:
        The errors that the page raised or logged.
    """

    def opened() -> list[str]:
        with chromium(*arguments) as browser, tab_of(browser, url, **context) as (tab, errors):
            act(tab)
        return errors

    return await trio.to_thread.run_sync(opened)


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Yield a running Chromium. Blocks."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*ARGUMENTS, *arguments], timeout=60_000
        )
        yield browser
        browser.close()


@contextmanager
def tab_of(browser: Browser, url: str, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """Yield a tab of nobody's who was here before, at an address, and its errors so far. Blocks."""
    errors: list[str] = []
    with browser.new_context(**{"locale": "en-GB", **context}) as fresh:
        tab = fresh.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        tab.goto(url)
        yield tab, errors
