"""A real browser: what its console says of a page, what the page asks for, and its picture."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--enable-logging=stderr", "--window-size=400,4000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Opened(NamedTuple):
    """What came of opening a page."""

    console: Sequence[str]
    asked: Sequence[str]
    picture: Path


def shown(address: str, folder: Path) -> str:
    """Return a page as a browser has it once its scripts have run, as HTML."""
    words = [str(BROWSER), *_QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=True).stdout


def opened(address: str, folder: Path) -> Opened:
    """Open a page with a browser that knows no host but this one; the folder takes the picture."""
    log, picture = folder / "net.json", folder / "picture.png"
    profile = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"--screenshot={picture}")
    done = subprocess.run(
        [str(BROWSER), *_QUIET, *profile, address], capture_output=True, text=True, timeout=90, check=True
    )
    told = json.loads(log.read_text())
    names = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    starts = [event.get("params", {}) for event in told["events"] if names[event["type"]] == "URL_REQUEST_START_JOB"]
    # The end of a start has no address; what has no origin is the browser's own.
    asked = [start["url"] for start in starts if "url" in start and start["initiator"] != "not an origin"]
    return Opened([line for line in done.stderr.splitlines() if "CONSOLE" in line], asked, picture)
