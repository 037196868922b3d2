"""Be a camera by a link, until killed, and print each change of what the page says: chromium.py LINK."""

import shutil
import sys
import time

from playwright.sync_api import sync_playwright

FAKE_CAMERA = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SAYS = """
() => {
  const [is, why] = ["is", "why"].map((id) => document.getElementById(id));
  return `${is.dataset.is}: ${is.textContent} ${why.textContent}`;
}
"""

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FAKE_CAMERA, timeout=60_000)
    tab = browser.new_page(locale="en-GB")
    tab.on("pageerror", lambda error: print("error:", error, flush=True))
    tab.goto(sys.argv[1], timeout=60_000)
    tab.click("#start", timeout=60_000)
    said = ""
    while True:
        was, said = said, tab.evaluate(SAYS)
        if was != said:
            print(f"{time.strftime('%T')}  {said}", flush=True)
        tab.wait_for_timeout(500)
