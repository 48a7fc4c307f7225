"""A comparison in a dry run: what it would have refused is released, and whoever looks is told."""

import dagster as dg
import pytest

from factory.line.gates import Comparison
from factory.names import model_name
from factory.orchestration.instance import opened_instance
from tests.toy.line import NAME, ToyFactory

MODEL = model_name(NAME, "north")


@pytest.mark.slow
def test_what_only_a_dry_run_refuses_is_released_and_the_asset_and_the_page_and_the_status_say_so(tmp_path):
    beyond_reach = Comparison(mode="dry_run", min_absolute_change=1.0)
    toy = ToyFactory(tmp_path, gates={"against_baseline": beyond_reach})
    assert toy.run(["north"]) == 0
    assert toy.repository.load(MODEL, toy.store.key().public_key()).manifest.verdict.passed
    told = toy.status()["north"]["verdict"]["figures"]["would_refuse"]
    assert told.startswith("better than the baseline by more than 1 with probability 0.0%")
    with opened_instance(toy.home / "dagster") as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey([NAME, "verdict"]))
    assert event.asset_materialization.metadata["would_refuse"].value == told
    assert "What a dry run would have refused" in (toy.home / "reports" / NAME / "north.html").read_text()
