"""What a screen shows: a site's decisions for who has its key, as JSON for who polls, as events for a browser."""

import json

import pytest

from factory.gateway.access.key_file import add_key
from factory.release.screen_feed import ScreenFeeds
from tests.gateway.builders import Shop, gateway, onnx_model

PATH = "/v1/lines/toy/sites/UA/decisions"


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    for site in ("UA", "DL"):
        shop.release(onnx_model(), site=site)
    feed(shop).add("toy.UA", [("k1", False, {"machine": "M7"}), ("k2", False, {"machine": "M9"})])
    return shop


def feed(shop):
    return ScreenFeeds(models=shop.home / "models")


def test_who_polls_gets_the_decisions_after_the_last_one_it_has(shop):
    with gateway(shop) as client:
        first = client.get(PATH).json()
        assert [(one["number"], one["fields"]["machine"]) for one in first["decisions"]] == [(1, "M7"), (2, "M9")]
        feed(shop).add("toy.UA", [("k1", True, {})])
        then = client.get(PATH, headers={"Last-Event-ID": str(first["newest"])}).json()
    assert [(one["number"], one["message_key"], one["withdrawn"]) for one in then["decisions"]] == [(3, "k1", True)]
    assert then["newest"] == 3


def test_a_browser_gets_events_with_numbers_and_when_to_come_again(shop):
    with gateway(shop) as client:
        answer = client.get(PATH, headers={"Accept": "text/event-stream", "Last-Event-ID": "1"})
    assert answer.headers["content-type"] == "text/event-stream"
    retry, event, end = answer.text.split("\n\n")
    assert (retry, end) == ("retry: 2000", "")
    number, kind, data = event.split("\n")
    assert (number, kind) == ("id: 2", "event: decision")
    assert json.loads(data.removeprefix("data: "))["fields"] == {"machine": "M9"}


def test_a_site_without_decisions_has_none_yet(shop):
    with gateway(shop) as client:
        assert client.get("/v1/lines/toy/sites/DL/decisions").json() == {"newest": 0, "decisions": []}
        assert client.get("/v1/lines/toy/sites/XX/decisions").status_code == 404


def test_only_the_sites_own_keys_see_them(shop, tmp_path):
    keys = tmp_path / "keys.json"
    mine, others = (add_key(keys, f"screen {site}", sites=[site]) for site in ("UA", "DL"))
    with gateway(shop, keys=keys) as client:
        assert client.get(PATH).status_code == 401
        assert client.get(PATH, headers={"Authorization": f"Bearer {others}"}).status_code == 403
        assert client.get(PATH, headers={"Authorization": f"Bearer {mine}"}).json()["newest"] == 2


def test_what_is_no_number_no_method_and_no_feed_is_refused_in_words(shop):
    with gateway(shop) as client:
        wrong = client.get(PATH, headers={"Last-Event-ID": "yesterday"})
        assert (wrong.status_code, "Last-Event-ID" in wrong.json()["detail"]) == (400, True)
        assert client.post(PATH, json={}).status_code == 405
        (shop.home / "models" / ".screens" / "toy.UA.json").write_text("{")
        assert client.get(PATH).status_code == 503
