"""API keys: who may ask what, how much, and what happens to the file of them while the gateway runs."""

import errno
import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factory.errors import KeyRefused, NameRefused
from factory.gateway.access.key_file import Key, add_key, read_keys, remove_key
from factory.gateway.access.keys import Access, Grant
from factory.gateway.access.quota import OwnSpending
from factory.gateway.processes.server import Server
from factory.gateway.refusal import RequestRefused
from factory.gateway.settings import Settings
from tests.gateway.builders import Shop, eventually, gateway, onnx_model, question

INFER = "/v2/models/toy.UA/infer"


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model())
    made.release(onnx_model(), site="DL")
    return made


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys" / "gateway.json"


def status(client, secret=None, rows=1, path=INFER, **headers):
    given = {"authorization": f"Bearer {secret}"} if secret else {}
    return client.post(path, json=question([[1, 2, 3]] * rows), headers={**given, **headers}).status_code


def test_without_a_key_file_everybody_may_ask(shop, keys):
    with gateway(shop, keys=keys) as client:
        assert status(client) == 200


def test_only_who_has_a_key_is_answered_but_health_and_documentation_are_for_all(shop, keys):
    secret = add_key(keys, "erp")
    with gateway(shop, keys=keys) as client:
        assert status(client, secret) == 200
        assert status(client, **{"x-api-key": secret}) == 200
        assert status(client) == 401
        assert status(client, secret[:-1]) == 401
        for path in ("/", "/metrics", "/v2", "/v2/models/toy.UA"):
            refused = client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_a_key_opens_its_lines_and_sites_and_nothing_else(shop, keys):
    site, line, other = (
        add_key(keys, "site", sites=["UA"]),
        add_key(keys, "line", lines=["toy"]),
        add_key(keys, "other", lines=["presses"]),
    )
    with gateway(shop, keys=keys) as client:
        assert [status(client, key) for key in (site, line, other)] == [200, 200, 403]
        assert [status(client, key, path="/v2/models/toy.DL/infer") for key in (site, line)] == [403, 200]
        assert status(client, line, path="/v2/repository/models/toy.UA/unload") == 403


def test_a_key_for_a_site_sees_and_manages_no_other(shop, keys):
    site, every = add_key(keys, "site", sites=["UA"], manage=True), add_key(keys, "all")
    names = {site: {"toy.UA"}, every: {"toy.UA", "toy.DL"}}
    with gateway(shop, keys=keys) as client:
        for secret, told in names.items():
            asked = {"x-api-key": secret}
            index = client.post("/v2/repository/index", headers=asked).json()
            assert {model["name"] for model in index} == told
            page = client.get("/", headers=asked).text
            assert {name for name in ("toy.UA", "toy.DL") if name in page} == told
        assert client.get("/metrics", headers={"x-api-key": site}).status_code == 403
        assert client.get("/metrics", headers={"x-api-key": every}).status_code == 200
        assert status(client, site, path="/v2/repository/models/toy.DL/unload") == 403
        assert status(client, site, path="/v2/repository/models/toy.UA/unload") == 200


@pytest.mark.parametrize("path", [INFER, "/v1/lines/toy/sites/UA/predict"])
def test_questions_that_are_none_cost_a_key_as_much_as_others(shop, keys, path):
    headers = {"x-api-key": add_key(keys, "erp", rows_per_s=2)}
    with gateway(shop, keys=keys) as client:
        found = [client.post(path, content=b"{", headers=headers).status_code for _ in range(5)]
    assert found == [400] * 4 + [429]


def test_keys_are_rotated_without_a_restart(shop, keys):
    old = add_key(keys, "erp")
    with gateway(shop, keys=keys) as client:
        new = add_key(keys, "erp")
        eventually(lambda: status(client, old) == 401)
        assert status(client, new) == 200
        remove_key(keys, "erp")
        eventually(lambda: status(client, new) == 401)


@pytest.mark.parametrize("content", [None, "{", "[]]", '[{"name": "erp"}]', '[{"name": 1, "sha256": ""}]'])
def test_a_key_file_that_goes_away_or_is_damaged_opens_nothing(shop, keys, content, caplog):
    secret = add_key(keys, "erp")
    with gateway(shop, keys=keys) as client:
        assert status(client, secret) == 200
        keys.unlink() if content is None else keys.write_text(content)
        if content is not None:
            eventually(lambda: "the key file was not taken over" in caplog.text)
        time.sleep(0.2)  # four looks at the file
        for _ in range(5):
            assert status(client, secret) == 200
            assert status(client) == 401


def test_a_gateway_does_not_begin_with_a_key_file_that_is_damaged_or_may_not_be_read(shop, keys):
    keys.write_text("{")
    with pytest.raises(KeyRefused, match=r"gateway\.json"):
        Server(shop.home / "models", shop.public, Settings(keys=keys))
    keys.unlink()
    keys.mkdir()
    with pytest.raises(KeyRefused, match=r"gateway\.json cannot be read \(Is a directory\)"):
        Server(shop.home / "models", shop.public, Settings(keys=keys))


def test_rows_that_were_paid_for_are_not_refused_for_what_others_spent_since():
    spent = OwnSpending()
    grant = Grant(Key(name="erp", sha256="", rows_per_s=1), lambda _: spent)
    grant.spend(2)
    spent.add(5)  # by another worker
    grant.spend(0)
    with pytest.raises(RequestRefused, match="may ask 1 rows a second"):
        grant.spend(1)


def test_who_asks_more_than_the_rate_is_told_when_to_come_again(shop, keys):
    secret = add_key(keys, "erp", rows_per_s=5)
    free = add_key(keys, "free")
    with gateway(shop, keys=keys) as client:
        assert status(client, secret, rows=10) == 200
        refused = client.post(INFER, json=question([[1, 2, 3]] * 10), headers={"x-api-key": secret})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert "5 rows a second" in refused.json()["error"]
        assert status(client, free, rows=4096) == 200
        eventually(lambda: status(client, secret) == 200)


def test_a_rate_below_one_row_still_lets_single_rows_through(shop, keys):
    secret = add_key(keys, "erp", rows_per_s=0.01)
    with gateway(shop, keys=keys) as client:
        assert [status(client, secret), status(client, secret)] == [200, 429]


@pytest.mark.parametrize(
    ("opens", "says"),
    [
        ({"rows_per_s": float("nan")}, "nan rows a second"),
        ({"rows_per_s": float("inf")}, "inf rows a second"),
        ({"rows_per_s": -5}, "-5 rows a second"),
        ({"sites": ["UA", ""]}, "site name ''"),
        ({"lines": [" toy"]}, "line name ' toy'"),
    ],
)
def test_a_key_that_could_never_be_used_is_not_made_and_the_file_stays(keys, opens, says):
    add_key(keys, "erp")
    before = keys.read_bytes()
    with pytest.raises((KeyRefused, NameRefused), match=says):
        add_key(keys, "x", **opens)
    assert keys.read_bytes() == before


def test_a_key_file_that_cannot_be_read_for_a_moment_is_read_at_the_next_look(keys, monkeypatch):
    secret = add_key(keys, "erp")
    access, headers = Access(keys), {b"x-api-key": secret.encode()}
    add_key(keys, "another")
    remove_key(keys, "erp")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", no_descriptor_left)
        access.refresh()
        assert access.grant(headers).name == "erp"
    access.refresh()
    with pytest.raises(RequestRefused, match="counts no longer"):
        access.grant(headers)


def no_descriptor_left(_place):
    raise OSError(errno.EMFILE, "too many open files")


def test_the_file_holds_no_key_and_is_its_owners_alone(keys):
    secret = add_key(keys, "erp", lines=["toy"])
    assert secret not in keys.read_text()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert json.loads(keys.read_text())[0]["lines"] == ["toy"]
    with pytest.raises(KeyRefused, match="no key 'x'"):
        remove_key(keys, "x")
    remove_key(keys, "erp")
    assert read_keys(keys) == []


def test_no_key_and_no_value_is_in_the_log(shop, keys, caplog):
    secret = add_key(keys, "erp")
    with gateway(shop, keys=keys) as client:
        status(client, secret)
        client.post(INFER, json=question([[1, 2, 4242.5]], shape=[1, 2]), headers={"x-api-key": secret})
        status(client, secret + "x")
    assert secret not in caplog.text
    assert "4242" not in caplog.text


def test_keys_are_made_listed_and_removed_on_the_command_line(shop, keys, tmp_path):
    words = ["--home", str(tmp_path)]
    secret = typed("key", "add", "erp", "--sites", "UA, AA", "--rows-per-s", "9", "--new", *words).strip()
    with gateway(shop, keys=keys) as client:
        assert [status(client, secret), status(client, secret, path="/v2/models/toy.DL/infer")] == [200, 403]
    assert typed("key", "list", *words).split("\t")[:3] == ["erp", "lines all: sites UA,AA", "9 rows/s"]
    typed("key", "remove", "erp", "--yes", *words)
    assert typed("key", "list", *words) == ""


def test_the_last_key_is_removed_only_where_a_person_or_a_script_says_so(keys):
    home = ["--home", str(keys.parent.parent)]
    for name in ("erp", "mes"):
        typed("key", "add", name, *home)
    typed("key", "remove", "mes", *home)  # not the last, so nothing is asked
    for said, code, left in (("", 1, ["erp"]), ("n\n", 1, ["erp"]), ("y\n", 0, [])):
        done = asked("key", "remove", "erp", *home, said=said)
        assert done.returncode == code
        assert (
            f"'erp' is the last key: without it the gateway answers nobody. To let everybody in instead, remove {keys}"
            in done.stderr
        )
        assert [key.name for key in read_keys(keys)] == left


def test_a_key_for_a_line_or_a_site_that_nothing_is_known_of_is_refused(shop, keys, tmp_path):
    home = ["--home", str(tmp_path)]
    for option, name, meant in (("--lines", "toi", "toy"), ("--sites", "ua", "UA")):
        done = asked("key", "add", "erp", option, name, *home)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there is no {option[2:-1]} {name!r} at {tmp_path}; did you mean {meant}?" in done.stderr
        assert not keys.exists()
        assert asked("key", "add", "erp", option, name, "--new", *home).returncode == 0
        keys.unlink()


def asked(*words, said=""):
    command = [Path(sys.executable).with_name("factory"), *words]
    return subprocess.run(command, input=said, capture_output=True, text=True, check=False)


def typed(*words):
    command = [Path(sys.executable).with_name("factory"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
