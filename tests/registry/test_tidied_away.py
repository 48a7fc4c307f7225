"""Somebody tidies up in MLflow's UI: what is lost is told, and made anew under a number that none had before."""

import subprocess
import sys

import pytest

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.candidate import MODEL_FILE, REFERENCE_FILE, WEIGHTS_FILE
from factory.names import LINE_SITE, model_name
from tests.registry.test_registry import candidate, promoted, verdict
from tests.toy.line import empty_database, registry_at

MODEL = "brewing.north"


@pytest.fixture
def home(tmp_path):
    """Return a home whose registry has nothing in it yet."""
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    return tmp_path


def gc(home, *words):
    """Do as somebody who has MLflow delete for good what was deleted."""
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    address = ["--tracking-uri", f"sqlite:///{home / 'mlflow.db'}"]
    subprocess.run([*command, *address, *words], check=True, capture_output=True, timeout=120)


def lost(home, made=None, version=1):
    """What another process says of the version."""
    return registry_at(home).lost(MODEL, version, (made or candidate("north")).digest)


def test_a_version_that_is_there_as_it_was_registered_is_not_lost(home):
    promoted(registry_at(home), candidate("north"))
    assert lost(home) is None


@pytest.mark.parametrize("site", ["north", LINE_SITE])
def test_no_number_is_given_again_though_no_version_was_ever_promoted(home, site):
    registry, model = registry_at(home), model_name("brewing", site)
    for weight in (1.0, 2.0):
        registry.register(candidate(site, weight))
    registry.connection.runs.delete_registered_model(model)
    assert registry_at(home).register(candidate(site, 3.0)).version == 3
    registry_at(home).connection.runs.rename_registered_model(model, "somebody-s.own")
    assert registry_at(home).register(candidate(site, 4.0)).version == 4


def test_a_number_that_another_part_of_the_home_knows_is_not_given_again(home):
    registry_at(home).remember(MODEL, 7)
    assert registry_at(home).register(candidate("north")).version == 8
    registry_at(home).remember(MODEL, 20)
    assert registry_at(home).register(candidate("north")).version == 8  # the very file


DELETED = "has no version 1 in the registry any more: somebody deleted it in MLflow"
DEEDS = {
    "the version": (lambda client: client.delete_model_version(MODEL, "1"), DELETED),
    "the model": (lambda client: client.delete_registered_model(MODEL), DELETED),
    "a tag": (lambda client: client.delete_model_version_tag(MODEL, "1", "digest"), "somebody edited the tag `digest`"),
    "the tag of its reference answers": (
        lambda client: client.delete_model_version_tag(MODEL, "1", f"{REFERENCE_FILE}.digest"),
        r"registered without reference\.safetensors, as an earlier version of the factory did",
    ),
    "another tag": (
        lambda client: client.set_model_version_tag(MODEL, "1", f"{WEIGHTS_FILE}.digest", "abc"),
        r"weights\.safetensors is .* registered was abc",
    ),
}


@pytest.mark.parametrize("what", DEEDS)
def test_a_version_that_somebody_deleted_or_edited_is_lost_and_the_same_file_has_a_new_one(home, what):
    deed, words = DEEDS[what]
    made = candidate("north")
    promoted(registry_at(home), made)
    deed(registry_at(home).connection.runs)
    told = lost(home)
    assert told is not None
    assert "\n" not in told
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(told)
    registry = registry_at(home)
    kept = registry.register(made)
    assert kept.version == 2
    registry.record_verdict(kept.model, 2, verdict(made))
    registry.promote(kept.model, 2, verdict(made), by="line")
    assert registry.champion(MODEL).onnx == made.onnx
    assert lost(home, version=2) is None


@pytest.mark.parametrize("change", ["gone", "other bytes"])
@pytest.mark.parametrize("file", [MODEL_FILE, REFERENCE_FILE, WEIGHTS_FILE])
def test_a_file_that_is_gone_or_changed_is_lost_and_the_candidate_is_kept_anew(home, file, change):
    from pathlib import Path

    registry, made = registry_at(home), candidate("north")
    promoted(registry, made)
    place = Path(registry.connection.runs.get_model_version(MODEL, "1").source, file)
    place.unlink() if change == "gone" else place.write_bytes(b"something else")
    assert file in lost(home)
    assert registry_at(home).register(made).version == 2


def test_where_its_run_was_deleted_a_version_is_judged_and_promoted_all_the_same(home):
    registry, made = registry_at(home), candidate("north")
    kept = registry.register(made)
    registry.connection.runs.delete_run(kept.run_id)
    other = registry_at(home)
    other.record_verdict(MODEL, 1, verdict(made))
    other.promote(MODEL, 1, verdict(made), by="line")
    assert registry_at(home).champion(MODEL).verdict == verdict(made)


def test_where_its_run_was_deleted_for_good_its_record_goes_on_beside_the_model(home):
    registry, made, better = registry_at(home), candidate("north"), candidate("north", 2.0)
    kept = promoted(registry, made)
    registry.connection.runs.delete_run(kept.run_id)
    gc(home)
    with pytest.raises(ModelRefused, match="the promotion on record does not permit it"):
        registry_at(home).champion(MODEL)
    assert lost(home) is None
    other = registry_at(home)
    other.record_verdict(MODEL, 1, verdict(made, figures={"average_precision": 0.7}))
    promoted(other, better)
    other.promote(MODEL, 1, verdict(made), by="noah")
    champion = registry_at(home).champion(MODEL)
    assert (champion.version, champion.verdict) == (1, verdict(made))


def test_where_the_experiment_was_deleted_for_good_another_one_is_made(home):
    registry, made = registry_at(home), candidate("north")
    promoted(registry, made)
    runs = registry.connection.runs
    runs.delete_experiment(runs.get_experiment_by_name("brewing").experiment_id)
    gc(home)
    assert promoted(registry_at(home), candidate("north", 2.0)).version == 2
    assert registry_at(home).champion(MODEL).version == 2


def test_a_verdict_on_a_version_without_its_tag_is_refused_in_a_sentence(home):
    registry, made = registry_at(home), candidate("north")
    registry.register(made)
    registry.connection.runs.delete_model_version_tag(MODEL, "1", "digest")
    with pytest.raises(ReleaseRefused, match="version 1 is file unknown; the verdict is on"):
        registry.record_verdict(MODEL, 1, verdict(made))
    with pytest.raises(ModelRefused, match=r"model\.onnx is .* registered was unknown"):
        registry.onnx(MODEL, 1)


def test_an_alias_that_was_taken_away_is_put_back_by_the_next_promotion(home):
    registry, made = registry_at(home), candidate("north")
    promoted(registry, made)
    registry.connection.runs.delete_registered_model_alias(MODEL, "champion")
    assert registry_at(home).champion(MODEL) is None
    registry_at(home).promote(MODEL, 1, verdict(made), by="line")
    assert registry_at(home).champion(MODEL).version == 1
