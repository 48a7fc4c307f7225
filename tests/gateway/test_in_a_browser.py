"""The gateway's pages in a real browser: no error, nothing asked for beside the page, right on every screen."""

import itertools

import pytest

from factory.release import Guard
from tests.browser import browser, needs_browser, opened
from tests.gateway.builders import Shop, gateway, onnx_model, question

pytestmark = needs_browser
PAGES = ("/", "/docs")
OPEN_ALL = """
document.querySelectorAll("details").forEach(one => one.open = true);
const seen = name => getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3).map(Number);
({text: seen("color"), back: seen("backgroundColor")})
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A gateway with a model at work, one that is refused, and one with a name as long as may be."""
    shop = Shop(tmp_path_factory.mktemp("home"))
    guard = Guard(ranges={"f0": (0.0, 5.0)}, typical={"f0": 1.0})
    for site in ("UA", "DL", "a_site_whose_name_is_as_long_as_a_name_may_be_which_is_63_signs"):
        shop.release(onnx_model(), site=site, guard=guard)
    shop.tamper(b"another", "DL")
    with gateway(shop) as made:
        made.post("/v2/models/toy.UA/infer", json=question([[1, 0, 2]])).raise_for_status()
        yield made


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_an_error_and_asks_for_nothing(path, client, tmp_path):
    console, asked, picture = opened(str(client.base_url.join(path)), tmp_path)
    assert not console
    assert not asked
    assert picture.stat().st_size > 30_000


def test_a_page_is_no_wider_than_any_screen_and_dark_where_the_screen_is(client, tmp_path):
    with browser(tmp_path) as screens:
        for path, (width, dark) in itertools.product(PAGES, ((320, False), (390, True), (768, False), (1280, True))):
            picture = tmp_path / f"page{path.strip('/')}-{width}.png"
            screen = screens.screen(str(client.base_url.join(path)), width, dark=dark, picture=picture, script=OPEN_ALL)
            assert screen.page_width == width, picture
            text, back = (sum(screen.told[name]) for name in ("text", "back"))
            assert (text > back) is dark
            assert abs(text - back) > 3 * 128
