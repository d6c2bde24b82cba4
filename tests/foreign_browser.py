"""What a program does with Playwright's synchronous interface, which runs an asyncio loop and its callers as greenlets beside each other.

    python foreign_browser.py /usr/bin/chromium

Prints the same on every `greenlet`; tests/foreign.py runs it on ours and on the genuine one and compares.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import BrowserContext, Page, Playwright, Route, TimeoutError, expect, sync_playwright

PAGE = """<!doctype html><title>{path}</title>
<h1 id="head">{path}</h1>
<button onclick="document.querySelector('#count').textContent = ++window.n">more</button> <span id="count">0</span>
<form action="/form"><input name="word"><input type="submit" value="send"></form>
<a href="/other">other</a>
<script>window.n = 0; setTimeout(() => document.querySelector('#head').classList.add('late'), 50)</script>"""


class Handler(BaseHTTPRequestHandler):
    """Answers with a page that says what was asked for; under /data with what the client sent of itself."""

    def do_GET(self) -> None:
        body = (self.headers.get("X-Word", "none") if self.path == "/data" else PAGE.format(path=self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if self.path == "/data" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        if self.path != "/favicon.ico":
            self.send_header("Set-Cookie", f"last={self.path.strip('/') or 'root'}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def clicks(page: Page, site: str) -> None:
    page.goto(site + "/first")
    print("title", page.title())
    for _ in range(20):
        page.get_by_role("button", name="more").click()
    expect(page.locator("#count")).to_have_text("20")
    expect(page.locator("#head")).to_have_class("late")
    page.locator("input[name=word]").fill("two words")
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="send").click()
    print("sent", navigation.value.url.removeprefix(site))
    page.get_by_text("other").click()
    page.wait_for_url("**/other")
    page.go_back()
    print("back at", page.url.removeprefix(site))


def values(page: Page) -> None:
    print("sum", page.evaluate("numbers => numbers.reduce((a, b) => a + b)", list(range(100))))
    print("later", page.evaluate("() => new Promise(done => setTimeout(() => done({a: [1, null, 'x']}), 20))"))
    handle = page.evaluate_handle("() => ({deep: {er: 7}})")
    print("handle", handle.get_property("deep").json_value())
    page.expose_function("python", lambda *numbers: sum(numbers))
    print("from the page", page.evaluate("async () => (await python(1, 2)) + (await python(3, 4, 5))"))
    page.expose_binding("refuse", lambda source, word: {}[word])
    print("raised", page.evaluate("refuse('here').catch(error => error.message.includes('here'))"))


def routes(page: Page, site: str) -> None:
    seen: list[str] = []

    def answer(route: Route) -> None:
        seen.append(route.request.method)
        route.fulfill(status=201, body="from Python")

    def change(route: Route) -> None:
        route.continue_(headers={**route.request.headers, "x-word": "added"})

    page.route("**/made-up", answer)
    page.route("**/data", change)
    page.route("**/never", lambda route: route.abort())
    fetch = "path => fetch(path).then(async a => [a.status, await a.text()], error => error.name)"
    for path in ("/made-up", "/data", "/never"):
        print("fetched", path, page.evaluate(fetch, path))
    page.unroute("**/data")
    print("fetched", page.evaluate(fetch, "/data"), seen)
    with page.expect_response("**/data") as response:
        page.evaluate("() => { fetch('/data') }")
    print("response", response.value.status, response.value.text(), response.value.request.method)


def errors(page: Page, site: str) -> None:
    failing = page.context.new_page()
    failing.route("**/nowhere", lambda route: route.abort())
    for what in (
        lambda: page.evaluate("() => { throw new RangeError('on purpose') }"),
        lambda: page.locator("#not-there").click(timeout=100),
        lambda: expect(page.locator("#count")).to_have_text("never", timeout=100),
        lambda: failing.goto(site + "/nowhere"),
    ):
        try:
            what()
        except (Exception, AssertionError) as error:
            print(
                "error",
                type(error).__name__,
                isinstance(error, TimeoutError),
                str(error).splitlines()[0].split(" at ")[0],
            )

    def fail(*_: object) -> None:
        raise ZeroDivisionError("in a handler")

    failing.close()
    page.goto(site)
    page.on("console", fail)
    try:
        page.evaluate("console.log(1)")
        page.wait_for_timeout(100)
        print("a handler's error is not seen here")
    except ZeroDivisionError as error:
        print("a handler's error is raised here:", error)
    page.remove_listener("console", fail)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: dialog.accept("well"))
    print("asked", page.evaluate("prompt('how?')"), page.evaluate("confirm('so?')"))
    page.evaluate("console.log('one'); console.log('two')")
    page.wait_for_timeout(100)
    print("said", said)


def two_contexts(playwright: Playwright, contexts: list[BrowserContext], site: str) -> None:
    pages = [context.new_page() for context in contexts]
    for turn in range(5):
        for number, page in enumerate(pages):
            page.goto(f"{site}/{number}-{turn}")
    for page in pages:
        print("cookies", [cookie["value"] for cookie in page.context.cookies()], page.text_content("h1"))
    with contexts[0].expect_page() as popup:
        pages[0].evaluate("() => { open('/popup') }")
    popup.value.wait_for_load_state()
    print("popup", popup.value.title(), len(contexts[0].pages), len(contexts[1].pages))
    request = playwright.request.new_context(base_url=site, extra_http_headers={"X-Word": "asked"})
    print("without a browser", request.get("/data").text())
    request.dispose()


def session(path: str, site: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context, other = browser.new_context(), browser.new_context(locale="de-DE")
        page = context.new_page()
        clicks(page, site)
        values(page)
        routes(page, site)
        errors(page, site)
        two_contexts(playwright, [context, other], site)
        print("language", other.pages[0].evaluate("navigator.language"))
        context.close()
        browser.close()
    try:
        page.title()
    except Exception as error:
        print("afterwards", type(error).__name__)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}"
    session(sys.argv[1], site)
    print("once more, in a thread")
    thread = threading.Thread(target=session, args=(sys.argv[1], site))
    thread.start()
    thread.join()
    server.shutdown()


if __name__ == "__main__":
    main()
