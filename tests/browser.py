"""A real browser: what its console says of a page, what the page asks for, and how it looks on a screen."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--enable-logging=stderr", "--window-size=400,4000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


_TALLEST = 2000
"""Pixels of a page that are in its picture."""


class Opened(NamedTuple):
    """What came of opening a page."""

    console: Sequence[str]
    asked: Sequence[str]
    picture: Path


def shown(address: str, folder: Path) -> str:
    """Return a page as a browser has it once its scripts have run, as HTML."""
    words = [str(BROWSER), *_QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout


def opened(address: str, folder: Path) -> Opened:
    """Open a page with a browser that knows no host but this one; the folder takes the picture."""
    log, picture = folder / "net.json", folder / "picture.png"
    profile = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"--screenshot={picture}")
    done = subprocess.run(
        [str(BROWSER), *_QUIET, *profile, address], capture_output=True, text=True, timeout=300, check=True
    )
    told = json.loads(log.read_text())
    names = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    starts = [event.get("params", {}) for event in told["events"] if names[event["type"]] == "URL_REQUEST_START_JOB"]
    # The end of a start has no address; what has no origin is the browser's own.
    asked = [start["url"] for start in starts if "url" in start and start["initiator"] != "not an origin"]
    return Opened([line for line in done.stderr.splitlines() if "CONSOLE" in line], asked, picture)


class Screen(NamedTuple):
    """A page on a screen: how wide the page is, in its pixels, what it says of itself, and its picture."""

    page_width: int
    told: Any
    picture: Path


class Browser:
    """A browser that is driven over a pipe, by the DevTools protocol."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._came = send, receive, b""
        self._numbers = itertools.count(1)
        target = self._done("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._done("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._done("Page.enable")

    def screen(self, address: str, width: int, *, dark: bool, picture: Path, script: str = "null") -> Screen:
        """Open a page on a screen this wide, as a phone would, and return what the script says there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._done("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True)
        self._done("Emulation.setEmulatedMedia", features=[scheme])
        self._done("Page.navigate", url=address)
        self._until("Page.loadEventFired")
        told = self._done("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")
        size = self._done("Page.getLayoutMetrics")["cssContentSize"]
        clip = {**size, "height": min(size["height"], _TALLEST), "scale": 1}
        shot = self._done("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        picture.write_bytes(base64.b64decode(shot["data"]))
        return Screen(int(size["width"]), told, picture)

    def _done(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if hasattr(self, "_session") else {}
        message = {"id": number, "method": method, "params": parameters, **session}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == number:
                assert "result" in answer, answer
                return dict(answer["result"])
        raise AssertionError(f"the browser ended before it had done {method}")

    def _until(self, event: str) -> None:
        next(message for message in self._messages() if message.get("method") == event)

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self._came:
                part = os.read(self._receive, 1 << 20)
                if not part:
                    return
                self._came += part
            message, _, self._came = self._came.partition(b"\0")
            yield json.loads(message)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser that knows no host but this one."""
    (read_here, write_there), (read_there, write_here) = os.pipe(), os.pipe()
    words = ["bash", "-c", f'exec "$@" 3<&{read_there} 4>&{write_there}', "-", str(BROWSER), *_QUIET]
    words += ["--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    with subprocess.Popen(words, pass_fds=(read_there, write_there), stderr=subprocess.DEVNULL) as process:
        os.close(read_there)
        os.close(write_there)
        try:
            yield Browser(write_here, read_here)
        finally:
            os.close(write_here)
            process.terminate()
