"""The gateway's pages in a real browser: no error in its console, and nothing is asked for beside the page."""

import pytest

from tests.browser import needs_browser, opened
from tests.gateway.builders import Shop, gateway, onnx_model, question

pytestmark = needs_browser


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_opens_without_an_error_and_asks_for_nothing(path, tmp_path):
    shop = Shop(tmp_path)
    for site in ("UA", "DL"):
        shop.release(onnx_model(), site=site)
    with gateway(shop) as client:
        client.post("/v2/models/toy.UA/infer", json=question([[1, 0, 2]])).raise_for_status()
        console, asked, picture = opened(str(client.base_url.join(path)), tmp_path)
    assert not console
    assert not asked
    assert picture.stat().st_size > 30_000
