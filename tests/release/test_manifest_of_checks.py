"""A release vouches for its verdict's checks; one from before there were any is read and signed as it was."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import ModelRefused
from factory.model.check import Check
from factory.model.verdict import Verdict, digest_of
from factory.release import Manifest
from factory.release.history import verdict_digest
from tests.gateway.builders import Shop

BEFORE = (Path(__file__).parent / "manifest_before_checks.json").read_bytes()
"""As the factory wrote it on the commit before verdicts had checks."""
ITS_KEY = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
)
ITS_VERDICT = "2a841b8795ac4df5e56f875277ab46ac5757ab4f2635fc3b44e408784e963245"
FILE = b"a model"


def test_a_release_from_before_checks_still_verifies_and_is_written_byte_for_byte_as_it_was():
    manifest = Manifest.from_json(BEFORE)
    manifest.require_signature(ITS_KEY)
    assert manifest.verdict.checks == ()
    assert manifest.to_json() == BEFORE
    assert verdict_digest(manifest.verdict) == ITS_VERDICT


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    checks = (
        Check.at_least("rows", 900, 500, code="enough_rows", unit="count"),
        Check.nothing("contract_failures", None, code="contract_kept", reason="broken"),
        Check.at_most("size_mb", 9.5, 5.0, code="small_enough", mode="dry_run"),
    )
    verdict = Verdict.of_checks(checks, {"rows": 900}, line="toy", site="UA", digest=digest_of(FILE))
    shop.release(FILE, verdict=verdict)
    return shop


def load(shop):
    return shop.repository.load("toy.UA", shop.key.public_key()).manifest


def test_what_was_checked_is_served_with_the_model(shop):
    codes = [(check.code, check.found, check.kept, check.mode) for check in load(shop).verdict.checks]
    assert codes == [
        ("enough_rows", 900, True, "enabled"),
        ("contract_kept", None, True, "enabled"),
        ("small_enough", 9.5, False, "dry_run"),
    ]


def _without(data):
    del data["verdict"]["checks"]


def _empty(data):
    data["verdict"]["checks"] = []


def _looser(data):
    data["verdict"]["checks"][0]["limit"] = 1


def _enforced(data):
    data["verdict"]["checks"][2]["mode"] = "enabled"


def _more(data):
    data["verdict"]["checks"][0]["surprise"] = 1


def _no_list(data):
    data["verdict"]["checks"] = 7


def _no_checks(data):
    data["verdict"]["checks"] = [7]


@pytest.mark.parametrize("change", [_without, _empty, _looser, _enforced, _more, _no_list, _no_checks])
def test_checks_that_were_changed_or_taken_away_are_refused(shop, change):
    place = shop.home / "models" / "toy.UA" / "manifest.json"
    data = json.loads(place.read_text())
    change(data)
    place.unlink()
    place.write_text(json.dumps(data))
    with pytest.raises(ModelRefused):
        load(shop)


def test_a_task_that_this_version_does_not_know_is_refused_before_anything_is_decided():
    data = json.loads(BEFORE)
    data["model_signature"]["task"] = "plan"
    with pytest.raises(ModelRefused, match="task 'plan' is none of binary, multiclass, regression"):
        Manifest.from_json(json.dumps(data).encode())
