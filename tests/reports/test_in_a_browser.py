"""Pages in a real browser: no error in its console, and the page asks for nothing beside itself."""

import pytest

from factory.reports.folder import LineReports
from factory.reports.site_page import site_page
from tests.browser import needs_browser, opened
from tests.reports.builders import TASKS, facts

pytestmark = needs_browser


@pytest.mark.parametrize("kind", TASKS)
def test_a_page_opens_without_an_error_and_asks_for_nothing(kind, tmp_path):
    page = LineReports(tmp_path, "brewing").put("north", site_page(facts(kind), "0"))
    console, asked, picture = opened(page.as_uri(), tmp_path)
    assert not console
    assert not asked
    assert picture.stat().st_size > 50_000


def test_the_check_notices_a_page_that_asks_and_one_that_errs(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/x.png"><script>throw new Error("x")</script>')
    console, asked, _ = opened(page.as_uri(), tmp_path)
    assert console
    assert asked == ["http://127.0.0.1:9/x.png"]
