"""The course as a website: `make book`, in Chromium, without a network."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("book") / "html"
    (line,) = re.findall(r"-m (sphinx .*) build/book$", (ROOT / "Makefile").read_text(), re.M)
    built = subprocess.run(
        [sys.executable, "-m", *line.split(), "-d", folder.parent / "cache", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def address(book):
    handler = functools.partial(Quiet, directory=book)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src") and value]


def test_no_link_is_dead(book):
    dead = []
    for page in book.rglob("*.html"):
        if "_static" not in page.parts:  # the theme's templates
            links = Links()
            links.feed(page.read_text(encoding="utf-8"))
            urls = map(urlparse, links.found)
            dead += [
                (page.name, url.path)
                for url in urls
                if not url.scheme and url.path and not (page.parent / unquote(url.path)).exists()
            ]
    assert not dead, dead[:10]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400)])
def test_chapters_are_whole_pages(browser, address, screenshots, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("request", lambda one: wrong.append(one.url) if outside(one.url, address) else None)
    for name in CHAPTERS:
        page.goto(f"{address}/notebooks/{name}.html")
        body = page.locator("article.bd-article")
        expect(
            body.locator("mjx-container:visible").first
        ).to_be_visible()  # a formula has been set
        assert not re.search(r"VBox\(|model not found|\\tag\{", body.inner_text())
        expect(body.locator("mjx-merror")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = "e => getComputedStyle(e).filter"
        for picture in body.locator("img.rlx-plot").all()[:2]:
            assert ("invert" in picture.evaluate(ground)) == (scheme == "dark")
        page.screenshot(path=screenshots / f"book_{scheme}_{width}_{name}.png")
    page.goto(f"{address}/docs/cheatsheet.html")
    expect(page.locator("mjx-container:visible").first).to_be_visible()
    expect(page.locator("mjx-merror")).to_have_count(0)
    assert not wrong, wrong[:5]
    context.close()


def outside(url, address):
    return not url.startswith((address, "data:", "blob:"))


def test_a_player_plays_and_a_word_is_found(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("link", name="00 · Start here").first.click()
    player = page.locator("[data-player]").first
    step = player.locator("output")
    expect(step).to_have_text("step 0")
    player.get_by_role("button", name="Play").click()
    expect(step).not_to_have_text("step 0")
    page.goto(f"{address}/search.html?q=truncation")
    expect(page.locator("ul.search li").first).to_be_visible()
    page.close()
