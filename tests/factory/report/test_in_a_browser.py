"""Pages in a real browser: no error in its console, and the page asks for nothing beside itself."""

import json
import shutil
import subprocess

import pytest

from factory.report.shelf import Shelf
from factory.report.site_page import site_page
from tests.factory.report.builders import TASKS, facts

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")
QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--enable-logging=stderr --host-resolver-rules=MAP?*?~NOTFOUND --window-size=400,4000"
)


def opened(place, folder):
    """What the browser's console said of a page, what the page asked for, and its picture."""
    log, picture = folder / "net.json", folder / f"{place.stem}.png"
    flags = [flag.replace("?", " ") for flag in QUIET.split()]
    done = subprocess.run(
        [BROWSER, *flags, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"--screenshot={picture}",
         place.as_uri()],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    told = json.loads(log.read_text())
    names = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    starts = [event["params"] for event in told["events"] if names[event["type"]] == "URL_REQUEST_START_JOB"]
    # The end of a start has no address; what has no origin is the browser's own.
    asked = [start["url"] for start in starts if "url" in start and start["initiator"] != "not an origin"]
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], asked, picture


@pytest.mark.parametrize("kind", TASKS)
def test_a_page_opens_without_an_error_and_asks_for_nothing(kind, tmp_path):
    console, asked, picture = opened(Shelf(tmp_path, "brewing").put("north", site_page(facts(kind), "0")), tmp_path)
    assert not console
    assert not asked
    assert picture.stat().st_size > 50_000


def test_the_check_notices_a_page_that_asks_and_one_that_errs(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/x.png"><script>throw new Error("x")</script>')
    console, asked, _ = opened(page, tmp_path)
    assert console
    assert asked == ["http://127.0.0.1:9/x.png"]
