"""`factory trial …` as a person types it, with no server but the gateway anywhere."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from factory.cli.app import app
from factory.errors import FactoryError
from factory.monitoring.trials.decisions import MIN_REQUESTS
from factory.release import Draft, Terms
from tests.gateway.builders import Shop, eventually, gateway, onnx_model, question, verdict

MODEL = "toy.UA"
DECIDED = ("--by", "lena", "--reason", "late again")
CHAMPION, CHALLENGER = onnx_model(), onnx_model(bias=1.0)


@pytest.fixture
def shop(tmp_path):
    """A site whose release 2 is a shadow of release 1."""
    shop = Shop(tmp_path)
    shop.release(CHAMPION, version=1)
    draft = replace(Draft.again(CHALLENGER, shop.repository.current(MODEL)), version=2, verdict=verdict(CHALLENGER))
    shop.repository.try_out(
        draft, Terms(mode="shadow", share=1.0, by="line toy", reason="its verdict passed"), key=shop.key
    )
    return shop


def ask(shop, times):
    """Ask the gateway so often, until it has recorded the copies too."""
    with gateway(shop, records=shop.home / "predictions") as client:
        for _ in range(times):
            assert client.post(f"/v2/models/{MODEL}/infer", json=question([[1.0, 2.0, 3.0]])).status_code == 200
        shadow = f'{{line="toy",model="{MODEL}",role="shadow",site="UA",version="2"}}'
        done = f"nv_inference_request_success{shadow} {times}.0\n"
        eventually(lambda: done in client.get("/metrics").text)


def typed(shop, *words):
    """Exit code, output, errors, as `factory.cli.main` makes them of a FactoryError."""
    told = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [*words, "--home", str(shop.home)])
    if isinstance(told.exception, FactoryError):
        return 2, told.stdout, f"{type(told.exception).__name__}: {told.exception}"
    return told.exit_code, told.stdout, told.stderr


def trial(shop):
    return shop.repository.trial(MODEL, shop.key.public_key())


def kinds(shop):
    return [record.kind for record in shop.repository.site_history.read(MODEL).records()]


def test_a_trial_is_shown_by_the_gateways_records_and_promoted(shop):
    ask(shop, MIN_REQUESTS)
    code, out, _ = typed(shop, "trial", "show", "UA")
    assert code == 0
    assert "release 2, version 2, is a shadow of 1 of requests beside release 1" in out
    assert f"On the same {MIN_REQUESTS} rows: the same decision in 100.0%" in out
    assert "Against" not in out
    told = json.loads(typed(shop, "trial", "show", "UA", "--json")[1])
    assert told["figures"]["challenger"]["requests"] == told["figures"]["champion"]["requests"] == MIN_REQUESTS
    assert told["objections"] == []
    assert told["trial"]["digest"] == verdict(CHALLENGER).digest
    code, out, _ = typed(shop, "trial", "promote", "UA", *DECIDED)
    assert code == 0
    assert "toy.UA serves version 2 now, as release 3" in out
    assert shop.repository.current(MODEL).version == 2
    assert typed(shop, "trial", "show", "UA")[1] == "toy.UA has no trial; its champion has all requests.\n"
    assert json.loads(typed(shop, "trial", "show", "UA", "--json")[1]) == {"model": MODEL, "trial": None}


def test_a_trial_that_was_asked_too_little_is_promoted_only_anyway_which_goes_on_record(shop):
    code, out, errors = typed(shop, "trial", "promote", "UA", *DECIDED)
    assert (code, out) == (2, "")
    assert "it was asked 0 times, needs 100; let it run on, or say --anyway" in errors
    assert shop.repository.current(MODEL).version == 1
    assert typed(shop, "trial", "promote", "UA", "--anyway", *DECIDED)[0] == 0
    assert shop.repository.current(MODEL).version == 2
    (record,) = [one for one in shop.repository.site_history.read(MODEL).records() if one.kind == "trial_promotion"]
    assert record.actor == "lena"
    assert record.reason == "late again (anyway, though it was asked 0 times, needs 100)"


def test_a_trial_is_ended_and_started_again_on_other_terms(shop):
    code, out, _ = typed(shop, "trial", "end", "UA", *DECIDED)
    assert code == 0
    assert "the trial of release 2, version 2 is over" in out
    assert trial(shop) is None
    assert typed(shop, "trial", "end", "UA", *DECIDED)[0] == 2
    code, out, _ = typed(shop, "trial", "start", "UA", "--release", "2", "--as", "canary", *DECIDED)
    assert code == 0
    assert (trial(shop).mode, trial(shop).share, trial(shop).by) == ("canary", 0.1, "lena")
    assert typed(shop, "trial", "start", "UA", "--release", "2", "--as", "canary", "--share", "0.5", *DECIDED)[0] == 0
    assert trial(shop).share == 0.5
    assert kinds(shop) == ["release", "trial", "trial_end", "trial", "trial_end", "trial"]
    assert shop.repository.current(MODEL).version == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["start", "UA", "--release", "9", "--as", "canary", *DECIDED], "has no release 9; there are 1, 2"),
        (["start", "UA", "--release", "1", "--as", "canary", *DECIDED], "it is what is served, as release 1"),
        (["start", "UA", "--release", "2", "--as", "canary", "--share", "1.5", *DECIDED], "share 1.5"),
        (["start", "UA", "--release", "2", "--as", "champion", *DECIDED], "'champion' is not one of"),
        (["start", "XX", "--release", "2", "--as", "canary", *DECIDED], "nothing is known of site 'XX'"),
        (["end", "UA", "--by", "lena", "--reason", " "], "say something"),
        (["promote", "UA", "--by", "lena"], "Missing option '--reason'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason_and_the_trial_stays(shop, words, told):
    before = trial(shop)
    code, _, errors = typed(shop, "trial", *words)
    assert code == 2
    assert told in errors
    assert trial(shop) == before


def test_a_release_that_cannot_answer_its_example_is_not_put_on_trial(shop):
    typed(shop, "trial", "end", "UA", *DECIDED)
    content = b"no model"
    draft = replace(Draft.again(content, shop.repository.current(MODEL)), version=3, verdict=verdict(content))
    shop.repository.try_out(draft, Terms(mode="canary", share=0.1, by="b", reason="r"), key=shop.key)
    assert typed(shop, "trial", "end", "UA", *DECIDED)[0] == 0
    code, _, errors = typed(shop, "trial", "start", "UA", "--release", "3", "--as", "shadow", *DECIDED)
    assert code == 2
    assert "ModelRefused" in errors
    assert trial(shop) is None


def test_a_history_with_a_trial_is_sound_and_tells_of_it(shop):
    typed(shop, "trial", "end", "UA", *DECIDED)
    code, out, _ = typed(shop, "history", "verify")
    assert (code, out) == (0, "1 of 1 histories are as they were written.\n")
    assert "trial_end" in typed(shop, "history", "UA")[1]
