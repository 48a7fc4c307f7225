"""Who may ask from a browser's page, and who a client is behind proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import SettingRefused
from factory.gateway.http.cors import Cors
from factory.gateway.http.messages import Peer, Request
from factory.gateway.http.proxies import Origin, Proxies
from tests.gateway.builders import Shop, gateway, onnx_model, question

APP = "https://app.example"
INFER = "/v2/models/toy.UA/infer"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
PROXY, CLIENT, DIRECT = "10.0.0.1", "203.0.113.9", ("http", "gateway:8080")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model())
    return shop


@pytest.mark.parametrize("origins", [("https://App.example", "https://b.example"), ("*",)])
def test_a_named_page_may_ask_and_read_and_no_credentials_go_with_it(shop, origins):
    allowed = "*" if origins == ("*",) else APP
    with gateway(shop, cors_origins=origins, keys=shop.home / "none.json") as client:
        asked = client.options(INFER, headers={"Origin": APP, **PREFLIGHT})
        assert asked.status_code == 200
        assert "authorization" in asked.headers["access-control-allow-headers"]
        assert "POST" in asked.headers["access-control-allow-methods"]
        answers = [
            asked,
            client.post(INFER, json=question([[1, 2, 3]]), headers={"Origin": APP}),
            client.get("/nowhere", headers={"Origin": APP}),
            client.post(INFER, content=b"{}", headers={"Origin": APP, "Content-Encoding": "br"}),
        ]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == allowed
        assert "access-control-allow-credentials" not in answer.headers
        assert ("vary" in answer.headers) is (allowed != "*")


@pytest.mark.parametrize("origins", [(), (APP,)])
def test_another_page_may_not_and_is_told_so(shop, origins):
    with gateway(shop, cors_origins=origins) as client:
        asked = client.options(INFER, headers={"Origin": "https://evil.example", **PREFLIGHT})
        assert (asked.status_code, "--cors-origin" in asked.json()["error"]) == (403, True)
        answer = client.post(INFER, json=question([[1, 2, 3]]), headers={"Origin": "https://evil.example"})
        assert answer.status_code == 200  # a page of the gateway's own host sends its origin too
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://*.example", "null", ""])
def test_what_is_no_origin_is_refused_at_the_start(origin):
    with pytest.raises(SettingRefused, match="--cors-origin"):
        Cors((origin,))


@pytest.mark.parametrize("network", ["10.0.0.0/33", "proxy", "10.0.0.1/8", ""])
def test_what_is_no_network_is_refused_at_the_start(network):
    with pytest.raises(SettingRefused, match="--trusted-proxy"):
        Proxies((network,))


def seen(fields, peer=PROXY, networks=("10.0.0.0/8", "fd00::/8")):
    headers = {b"host": b"gateway:8080"} | {name.lower().encode(): text.encode() for name, text in fields.items()}
    request = Request(
        method="GET", path="/", headers=headers, body=b"", keep_alive=True, peer=Peer(peer, "http"), send=lambda: None
    )
    return Proxies(networks).origin(request)


TOLD = {
    "older form": ({"X-Forwarded-For": CLIENT}, Origin(CLIENT, *DIRECT)),
    "with scheme and host": (
        {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "models.example"},
        Origin(CLIENT, "https", "models.example"),
    ),
    "what a client wrote before": ({"X-Forwarded-For": f"192.0.2.1, {CLIENT}"}, Origin(CLIENT, *DIRECT)),
    "two proxies": ({"X-Forwarded-For": f"192.0.2.1, {CLIENT}, 10.0.0.2"}, Origin(CLIENT, *DIRECT)),
    "proxies alone": ({"X-Forwarded-For": "10.0.0.3, 10.0.0.2"}, Origin("10.0.0.3", *DIRECT)),
    "scheme alone": ({"X-Forwarded-Proto": "https"}, Origin(PROXY, "https", "gateway:8080")),
    "no scheme": ({"X-Forwarded-Proto": "javascript"}, Origin(PROXY, *DIRECT)),
    "no host": ({"X-Forwarded-Host": "<script>"}, Origin(PROXY, *DIRECT)),
    "standard": (
        {"Forwarded": f'for=192.0.2.1, For="{CLIENT}:4711";Proto=https;host=models.example'},
        Origin(CLIENT, "https", "models.example"),
    ),
    "of six": ({"Forwarded": 'for="[2001:db8::1]:4711"'}, Origin("2001:db8::1", *DIRECT)),
    "no address": ({"X-Forwarded-For": "\x1b[31m"}, Origin(PROXY, *DIRECT)),
    "quoted comma": ({"Forwarded": f'for=unknown;x="a,b", for={CLIENT}'}, Origin(CLIENT, *DIRECT)),
    "broken": ({"Forwarded": f"for={CLIENT};;"}, Origin(PROXY, *DIRECT)),
    "both alike": ({"Forwarded": f"for={CLIENT}", "X-Forwarded-For": CLIENT}, Origin(CLIENT, *DIRECT)),
    "both and not alike": ({"Forwarded": "for=192.0.2.1", "X-Forwarded-For": CLIENT}, Origin(PROXY, *DIRECT)),
}


@pytest.mark.parametrize("how", TOLD)
def test_a_named_proxy_is_believed_who_the_client_is(how):
    fields, origin = TOLD[how]
    assert seen(fields) == origin
    assert seen(fields, peer="::ffff:10.0.0.1")[1:] == origin[1:]


@pytest.mark.parametrize("how", TOLD)
def test_nobody_else_is(how):
    fields, _ = TOLD[how]
    assert seen(fields, peer="192.0.2.7") == Origin("192.0.2.7", *DIRECT)
    assert seen(fields, networks=()) == Origin(PROXY, *DIRECT)


@given(st.dictionaries(st.sampled_from(["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"]), st.text(max_size=60)))
def test_whatever_is_forwarded_there_is_an_origin(fields):
    assert seen(fields).scheme in ("http", "https")


def test_the_page_shows_the_address_by_which_the_browser_knows_the_gateway(shop):
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "models.example"}
    with gateway(shop, trusted_proxies=("127.0.0.1",)) as client:
        assert "curl -s https://models.example/v2/" in client.get("/", headers=forwarded).text
    with gateway(shop) as client:
        assert "curl -s http://127.0.0.1:" in client.get("/", headers=forwarded).text
