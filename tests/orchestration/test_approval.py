"""A line that wants a person's consent: what passed waits for it, and goes through by the line's next run."""

from factory.names import model_name
from factory.release.approval import approve
from tests.toy.line import NAME, ToyFactory, toy_line

MODEL = model_name(NAME, "north")


def test_what_passed_waits_for_a_persons_approval_and_is_released_by_the_next_run(tmp_path):
    toy = ToyFactory(tmp_path, gates={"approval": "required"})
    assert toy.run(["north"]) == 0
    waiting = toy.journal.latest("release", ["north"]).get("north")
    assert toy.journal.latest("verdict", ["north"])["north"].figures["passed"]
    assert toy.repository.current(MODEL) is None
    assert toy.registry.champion(MODEL) is None
    assert waiting is None or "approval" in waiting.figures["held_back"]
    assert "wants a person's approval" in toy.status()["north"]["held_back"]

    version = int(toy.journal.latest("site_model", ["north"])["north"].figures["version"])
    approve(
        toy.repository.site_history, toy.journal, MODEL, version, by="lena", reason="looked at", key=toy.store.key()
    )
    assert toy.run(["north"]) == 0
    assert toy.repository.current(MODEL).version == version
    assert toy.registry.champion(MODEL).version == version
    assert toy.status()["north"]["held_back"] is None


def test_a_release_tells_the_gateway_what_training_saw_and_what_is_at_stake(first_runs, tmp_path):
    toy = first_runs.copied(tmp_path)
    manifest = toy.repository.current(MODEL)
    ranges, typical = manifest.guard.ranges, manifest.guard.typical
    assert set(ranges) == {"force_kn", "heat_c", "crew"}
    assert 100 <= ranges["force_kn"][0] < ranges["force_kn"][1] <= 900
    assert ranges["crew"] == (4, 6)
    assert typical["crew"] in (4, 5, 6)
    assert all(low <= typical[name] <= high for name, (low, high) in ranges.items())
    assert set(typical) == set(ranges)
    assert manifest.stakes == toy_line().value.stakes
