"""A headless Chromium driven over its own protocol (CDP): pages, their text, clicks, keys, pictures, complaints."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest
from websockets.sync.client import connect

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
WAIT = 60
"""Seconds after which a page that did not become as it should is a failure; no test depends on speed."""


def binary():
    """Return the path of Chromium; without one, skip the test, or fail it where CI must have one."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "no chromium on this machine: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found


@contextmanager
def browser(folder):
    """Start Chromium with a new profile in `folder`; yield a function that opens a page at an address."""
    command = [binary(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sockets = ExitStack()
    try:
        port = until(lambda: _port(folder), "Chromium started")

        def open_page(url, width=1280, height=1000):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
            with urllib.request.urlopen(request, timeout=WAIT) as reply:  # noqa: S310 - our own address
                address = json.load(reply)["webSocketDebuggerUrl"]
            socket = sockets.enter_context(connect(address, max_size=None, open_timeout=WAIT))
            page = Page(socket, width, height)
            page.go(url)
            return page

        yield open_page
    finally:
        sockets.close()
        process.terminate()
        process.wait(WAIT)


def until(ask, what):
    """Return the first true answer of `ask`; fail with `what` when none comes."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"did not come to be: {what}")


def _port(folder):
    file = folder / "DevToolsActivePort"
    lines = file.read_text().splitlines() if file.exists() else []
    return int(lines[0]) if lines else None


class Page:
    """One page; `complaints` holds what its console said in error, `dialogs` what a script popped up."""

    def __init__(self, socket, width, height):
        self._socket = socket
        self._ids = itertools.count(1)
        self.complaints, self.dialogs, self.requested = [], [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)

    def call(self, method, **parameters):
        """Return the answer of a command of the protocol, noting the events that come before it."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(WAIT))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, method, event):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(item.get("value", item)) for item in event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.complaints.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(event["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(event["message"])
            self._socket.send(
                json.dumps({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}})
            )

    def go(self, url):
        self.call("Page.navigate", url=url)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def js(self, code):
        """Return the value of an expression in the page; None when it throws."""
        return self.call("Runtime.evaluate", expression=DEEP + code, returnByValue=True)["result"].get("value")

    def text(self):
        """Return the text that the page shows, that inside of marimo's own elements included."""
        return self.js("seen(document.body)") or ""

    def sees(self, *words):
        """Return True once the page shows every word."""
        return until(lambda: all(word in self.text() for word in words), f"{words}")

    def lacks(self, *words):
        """Return True once the page shows none of the words."""
        return until(lambda: not any(word in self.text() for word in words), f"none of {words}")

    def count(self, selector):
        """Return how many elements match, those inside of marimo's own elements included."""
        return self.js(f"all({selector!r}).length")

    def click(self, selector, text="", nth=0):
        """Click the element whose text holds `text`; a page behind another one would get no clicks."""
        self.call("Page.bringToFront")
        code = f"all({selector!r}).filter(e => e.textContent.trim().includes({text!r}))[{nth}]"
        place = until(lambda: self.js(f"centre({code})"), f"{selector} {text}")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def write(self, selector, text):
        """Replace the text of a field and press Enter."""
        self.click(selector)
        self.key("a", modifiers=2)
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.key("Delete")
        self.key("Enter")

    def key(self, name, modifiers=0):
        codes = {"Enter": 13, "Delete": 46, "a": 65}
        about = {"key": name, "code": name, "windowsVirtualKeyCode": codes[name], "modifiers": modifiers}
        more = {"commands": ["selectAll"]} if name == "a" and modifiers else {}
        press = {"text": "\r"} if name == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **more, **press)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, file):
        """Write what the page shows, in its whole height, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))


DEEP = """
var within = e => [...(e.shadowRoot ? e.shadowRoot.children : []), ...e.children];
var walk = e => [e, ...within(e).flatMap(walk)];
var all = s => walk(document.body).filter(e => e.matches(s) && e.getClientRects().length);
var seen = e => ['SCRIPT', 'STYLE'].includes(e.tagName) ? '' : [
    ...(e.shadowRoot ? [...e.shadowRoot.childNodes] : []), ...e.childNodes,
].map(n => n.nodeType === 3 ? n.data : n.nodeType === 1 ? seen(n) : '').join(e.tagName === 'SPAN' ? '' : ' ');
var centre = e => { if (!e) return null; e.scrollIntoView({block: 'center'});
    const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; };
"""
"""Helpers of every expression: marimo's elements keep theirs in shadow roots, which querySelector does not enter."""
