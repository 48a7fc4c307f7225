"""A rollout from its first wave to its end: who serves what, who waits, and what is put back."""

import json
import shutil
import signal
from dataclasses import asdict, replace

import pytest

from factory.errors import ReleaseRefused, RolloutRefused
from factory.pipeline.rollout.driver import end
from factory.release.history import Event
from factory.release.rollback import roll_back
from tests.pipeline.rollout.builders import LINE, WHO, Desk, Died, Made, NotedJournal, SmallLine

SITES = {"A": 90, "B": 80, "C": 70, "D": 60, "N": 50}
"""Sites with their rows; N never served. In waves of 1, 2 and the rest: A, then B and C, then D and N."""
TOO_FEW = ("scored on 3 rows, needs 50",)


def recipe(bias, **changed):
    """What a recipe makes of every site; N is refused, as it always was."""
    made = {site: Made(bias=bias, rows=rows) for site, rows in SITES.items()}
    made["N"] = replace(made["N"], reasons=TOO_FEW)
    return {site: replace(what, **changed.get(site, {})) for site, what in made.items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A line whose sites serve their first release."""
    line = SmallLine(tmp_path_factory.mktemp("served"), recipe(0.0))
    assert line.judged_and_released() == {}
    return line


@pytest.fixture
def desk(served, tmp_path):
    """Such a line, after its recipe was changed."""
    home = shutil.copytree(served.home, tmp_path / "home", symlinks=True)
    journal = NotedJournal()
    journal.entries |= served.journal.entries
    return Desk(SmallLine(home, recipe(1.0), code="code 2", newest=dict(served.newest), journal=journal))


def change(desk, **changed):
    desk.line.recipe = recipe(1.0, **changed)


def allow(desk, *sites):
    for site in sites:
        event = Event(kind="allowance", actor="otto", reason="mended")
        desk.line.shop.repository.site_history.append(f"{LINE}.{site}", event, desk.line.shop.key)


FIRST = {"A": 1, "B": 1, "C": 1, "D": 1, "N": None}
ALL = {"A": 2, "B": 2, "C": 2, "D": 2, "N": None}


def test_a_good_change_reaches_every_site_wave_by_wave(desk):
    seen = []
    desk.clock.meanwhile = lambda: seen.append(desk.line.serving())
    assert desk.line.serving() == FIRST
    assert desk.roll_out(soak_min=30) == 0
    assert [wave.sites for wave in desk.rollout.waves] == [("A",), ("B", "C"), ("D", "N")]
    assert seen == [{**FIRST, "A": 2}, {**ALL, "D": 1}]
    assert desk.line.serving() == ALL
    assert desk.clock.slept == [1800, 1800]  # and after the last wave nobody waits
    assert desk.rollout.state == "finished"
    assert desk.said[-1] == "All 3 waves are through."
    assert desk.line.place.waiting() == []
    assert [step for number, step in desk.steps if number == 0] == ["judged", "released", "through"]


def test_nothing_is_released_before_every_site_was_judged(desk):
    desk.line.dies_at = (1, "end")
    with pytest.raises(Died):
        desk.roll_out()
    assert desk.line.serving() == FIRST
    assert desk.line.place.waiting() == sorted(SITES)


def test_what_the_figures_speak_against_never_serves(desk):
    change(desk, B={"reasons": TOO_FEW})
    assert desk.roll_out() == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    wave = desk.rollout.waves[1]
    assert [(reason.figure, reason.found, reason.limit) for reason in wave.reasons] == [("refused_share", 0.5, 0.25)]
    assert wave.outcomes[0].why == TOO_FEW[0]
    assert wave.reverted == {}
    assert desk.rollout.waves[2].step == "to come"
    assert "rollback" not in [kind for site in SITES for kind in desk.line.kinds(site)]


def test_a_wave_that_earns_less_than_what_it_replaces_halts(desk):
    change(desk, B={"value_eur": 80.0}, C={"value_eur": 110.0})
    assert desk.roll_out() == 1
    (reason,) = desk.rollout.waves[1].reasons
    assert (reason.figure, reason.found, reason.limit) == ("value_change_eur", -10.0, 0.0)
    assert desk.line.serving() == {**FIRST, "A": 2}


def test_a_wave_that_is_rolled_back_from_in_its_soak_is_put_back_alone(desk):
    def complains():
        if len(desk.clock.slept) == 2:  # the second wave soaks
            roll_back(desk.line.shop.repository, "toy.B", to=None, by="otto", reason="late", key=desk.line.shop.key)

    desk.clock.meanwhile = complains
    assert desk.roll_out(soak_min=5) == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    (reason,) = desk.rollout.waves[1].reasons
    assert (reason.site, reason.figure) == ("B", "withdrawn")
    assert "otto took it out of service again: late" in reason.says
    assert desk.rollout.waves[1].reverted == {
        "B": "is held on release 1 by otto",
        "C": "serves release 1 again and is held there",
    }
    assert [desk.line.kinds(site).count("rollback") for site in "ABCD"] == [0, 1, 1, 0]
    record = desk.line.shop.repository.site_history.read("toy.C").records()[-2]
    assert (record.kind, record.actor) == ("rollback", "lena")
    assert "rollout halted in wave 2: B: otto" in record.reason


def test_a_release_that_does_not_answer_is_put_back(desk):
    desk.clock.meanwhile = lambda: desk.line.shop.tamper(b"spoiled", "A")
    assert desk.roll_out(soak_min=5) == 1
    (reason,) = desk.rollout.waves[0].reasons
    assert (reason.site, reason.figure) == ("A", "smoke")
    assert desk.line.serving() == FIRST


def test_a_site_whose_release_fails_counts_and_the_others_of_its_wave_are_put_back(desk):
    desk.line.broken = {"C": "release"}
    assert desk.roll_out() == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    assert desk.rollout.waves[1].outcomes[1].why == "release: the registry is down"
    assert desk.rollout.waves[1].reverted == {"B": "serves release 1 again and is held there"}


def test_within_the_limit_a_site_that_fails_stays_behind_and_the_wave_goes_on(desk):
    desk.line.broken = {"C": "site_model"}
    assert desk.roll_out(max_refused=0.5) == 0
    assert desk.line.serving() == {**ALL, "C": 1}
    assert desk.rollout.waves[1].outcomes[1].why == "site_model: it broke"


def test_a_site_that_began_to_serve_in_a_halted_wave_goes_on_and_is_held(desk):
    change(desk, N={"reasons": ()})
    desk.line.broken = {"D": "release"}
    assert desk.roll_out() == 1
    assert desk.line.serving() == {**ALL, "D": 1, "N": 1}
    assert desk.rollout.waves[2].reverted == {
        "N": "began to serve in this wave; it goes on with release 1 and is held there"
    }
    with pytest.raises(ReleaseRefused, match="holds it on release 1"):
        desk.line.shop.release(Made(bias=9.0).content, 9, "N", verdict=passing(9.0, "N"))


def passing(bias, site):
    from tests.gateway.builders import verdict

    return verdict(Made(bias=bias).content, site)


def test_an_ordinary_run_meanwhile_releases_the_change_only_where_its_turn_was(desk):
    seen = []

    def somebody_runs_it():
        desk.line.judged_and_released()
        seen.append(desk.line.serving())

    desk.clock.meanwhile = somebody_runs_it
    assert desk.roll_out(soak_min=5) == 0
    assert seen == [{**FIRST, "A": 2}, {**ALL, "D": 1}]


def test_after_a_halt_an_ordinary_run_releases_the_change_nowhere_new(desk):
    change(desk, B={"reasons": TOO_FEW})
    assert desk.roll_out() == 1
    desk.line.recipe = recipe(2.0)
    desk.line.judged_and_released()
    assert desk.line.serving() == {**FIRST, "A": 3}  # A's turn was; it follows its line again
    allow(desk, "B", "D")  # which lets nobody jump the queue
    desk.line.judged_and_released()
    assert desk.line.serving() == {**FIRST, "A": 3}


def test_what_a_waiting_site_serves_may_be_released_again_to_mend_it(desk):
    desk.line.dies_at = (1, "end")
    with pytest.raises(Died):
        desk.roll_out()
    desk.line.shop.tamper(b"spoiled", "D")
    old = Made(bias=0.0)
    told = desk.line.shop.repository.current("toy.D").verdict
    assert desk.line.shop.release(old.content, 1, "D", verdict=told).sequence == 2
    with pytest.raises(ReleaseRefused, match=r"the rollout of .* by lena .a wider network. has not come to it"):
        desk.line.shop.release(Made(bias=1.0).content, 2, "D", verdict=passing(1.0, "D"))


@pytest.mark.parametrize(
    ("launch", "where"),
    [
        *((1, where) for where in ("run", "release of A", "end")),
        *((2, where) for where in ("run", "release of A", "end")),
        *((3, where) for where in ("release of B", "release of C", "end")),
        (4, "end"),
    ],
)
def test_a_rollout_that_dies_anywhere_goes_on_by_the_same_command_and_does_nothing_twice(desk, where, launch):
    """The launch is that of the candidates, or of the first, second or third wave."""
    line = desk.line
    line.dies_at = (launch, where)
    with pytest.raises(Died):
        desk.roll_out()
    line.dies_at = None
    assert desk.roll_out() == 0
    assert line.serving() == ALL
    assert [line.kinds(site).count("release") for site in "ABCDN"] == [2, 2, 2, 2, 0]
    assert [line.kinds(site).count("wait") for site in "ABCDN"] == [1] * 5
    assert [line.kinds(site).count("turn") for site in "ABCDN"] == [1] * 5


def test_a_halt_that_dies_after_it_put_back_does_so_once(desk):
    change(desk, N={"reasons": ()})
    desk.line.broken = {"C": "release"}
    assert desk.roll_out() == 1
    whole = desk.rollout
    halting = replace(whole.waves[1], step="halting", reverted={})
    desk.store.write(replace(whole.with_wave(1, halting), state="under way"))
    assert desk.roll_out() == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    assert desk.line.kinds("B").count("rollback") == 1
    assert set(desk.rollout.waves[1].reverted) == {"B"}


def test_after_a_halt_a_rollout_begins_anew_only_when_told(desk):
    change(desk, B={"reasons": TOO_FEW})
    assert desk.roll_out() == 1
    desk.line.recipe = recipe(2.0)
    with pytest.raises(RolloutRefused, match="halted; begin anew with --again"):
        desk.roll_out()
    assert desk.roll_out(again=True) == 0
    assert desk.line.serving() == {**ALL, "A": 3}


def test_a_site_that_was_put_back_takes_the_next_change_once_somebody_allows(desk):
    desk.line.broken = {"C": "release"}
    assert desk.roll_out() == 1
    desk.line.broken, desk.line.recipe = {}, recipe(2.0)
    assert desk.roll_out(again=True) == 0
    assert desk.line.serving() == {**ALL, "A": 3, "B": 1}
    assert "holds it on release 1" in desk.rollout.waves[1].outcomes[0].why
    allow(desk, "B")
    assert desk.roll_out() == 0  # a finished one is no obstacle to the next
    assert desk.line.serving() == {**ALL, "A": 3, "B": 3}


def test_a_rollout_that_was_given_up_lets_the_sites_go(desk):
    change(desk, B={"reasons": TOO_FEW})
    assert desk.roll_out() == 1
    assert end(desk.line.place, desk.store, **WHO) == ["B", "C", "D", "N"]
    assert desk.rollout.state == "ended"
    desk.line.judged_and_released()
    assert desk.line.serving() == {**ALL, "B": 1}
    with pytest.raises(RolloutRefused, match="there is none to end"):
        end(desk.line.place, desk.store, **WHO)


def test_the_sites_of_a_lost_state_can_be_let_go(desk):
    change(desk, B={"reasons": TOO_FEW})
    assert desk.roll_out() == 1
    (desk.line.home / "rollouts" / "toy.json").write_text("{spoiled")
    with pytest.raises(RolloutRefused, match="cannot be read"):
        desk.roll_out()
    (desk.line.home / "rollouts" / "toy.json").unlink()
    assert end(desk.line.place, desk.store, **WHO) == ["B", "C", "D", "N"]


def test_the_terms_a_rollout_began_with_are_those_it_goes_on_by(desk):
    desk.line.dies_at = (1, "end")
    with pytest.raises(Died):
        desk.roll_out(pilot="B", max_refused=0.1)
    desk.line.dies_at = None
    with pytest.raises(RolloutRefused, match=r"began with: .* --pilot B --waves 1,2,rest --max-refused 0.1"):
        desk.roll_out(pilot="B")
    with pytest.raises(RolloutRefused, match="is under way"):
        desk.roll_out(pilot="B", max_refused=0.1, again=True)
    assert desk.roll_out(pilot="B", max_refused=0.1) == 0
    assert any(text.startswith("Going on with the rollout") for text in desk.said)
    assert desk.rollout.waves[0].sites == ("B",)


def test_a_second_rollout_of_the_line_meanwhile_is_refused(desk):
    refused = []

    def another():
        with pytest.raises(RolloutRefused, match="another process drives its rollout just now") as why:
            Desk(desk.line).roll_out(soak_min=1)
        with pytest.raises(RolloutRefused):
            end(desk.line.place, desk.store, **WHO)
        refused.append(why)

    desk.clock.meanwhile = another
    assert desk.roll_out(soak_min=1) == 0
    assert len(refused) == 2


def test_a_line_that_wants_approval_pauses_and_goes_on_when_somebody_consents(desk):
    desk.line.approval = True
    assert desk.roll_out() == 1
    assert desk.line.serving() == FIRST
    assert desk.rollout.state == "under way"
    assert any("factory approve A 2 --line toy" in text for text in desk.said)
    for site in "ABCD":
        digest = desk.line.place.candidates([site])[site]
        event = Event(kind="approval", actor="otto", reason="looked", version=2, digest=digest)
        desk.line.shop.repository.site_history.append(f"{LINE}.{site}", event, desk.line.shop.key)
    assert desk.roll_out() == 0
    assert desk.line.serving() == ALL


def test_another_change_that_rides_in_on_a_rollout_halts_it(desk):
    def edited():
        desk.line.recipe, desk.line.code = recipe(5.0), "code 3"
        desk.line.judged_and_released(["B", "C"])

    desk.clock.meanwhile = edited
    assert desk.roll_out(soak_min=1) == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    assert "made by other code, code 3, than the rollout began with, code 2" in desk.rollout.waves[1].outcomes[0].why


def test_newer_candidates_of_the_same_code_are_judged_anew_before_they_are_released(desk):
    def later_data():
        desk.line.recipe = recipe(5.0, B={"reasons": TOO_FEW})
        desk.line.judged_and_released(["B", "C"])

    desk.clock.meanwhile = later_data
    assert desk.roll_out(soak_min=1) == 1
    assert desk.line.serving() == {**FIRST, "A": 2}
    assert desk.rollout.waves[1].outcomes[0].why == TOO_FEW[0]


def test_a_candidate_that_is_remade_between_judging_and_releasing_is_judged_anew(desk):
    desk.dies_after = (0, "judged")
    with pytest.raises(Died):
        desk.roll_out()
    desk.dies_after, desk.line.recipe = None, recipe(5.0, A={"value_eur": 10.0})
    desk.line.judged_and_released(["A"])
    assert desk.roll_out() == 1
    (reason,) = desk.rollout.waves[0].reasons
    assert (reason.figure, reason.found) == ("value_change_eur", -90.0)
    assert desk.line.kinds("A").count("release") == 1


@pytest.mark.parametrize("step", ["judged", "released", "through"])
@pytest.mark.parametrize("wave", [0, 2])
def test_a_rollout_that_dies_after_any_step_goes_on_behind_it(desk, wave, step):
    desk.dies_after = (wave, step)
    with pytest.raises(Died):
        desk.roll_out()
    desk.dies_after = None
    assert desk.roll_out() == 0
    assert desk.line.serving() == ALL
    assert desk.steps == [(number, each) for number in range(3) for each in ("judged", "released", "through")]


def test_a_halt_that_dies_before_it_puts_back_does_so_when_it_is_taken_up(desk):
    desk.line.broken, desk.dies_after = {"C": "release"}, (1, "halting")
    with pytest.raises(Died):
        desk.roll_out()
    assert desk.line.serving() == {**FIRST, "A": 2, "B": 2}
    with pytest.raises(RolloutRefused, match="a wave is being reverted; let that end first"):
        end(desk.line.place, desk.store, **WHO)
    assert desk.roll_out() == 1
    assert desk.line.serving() == {**FIRST, "A": 2}


def test_a_wave_goes_back_to_what_it_served_before_it_though_another_run_released_its_change(desk):
    desk.line.dies_at = (2, "run")
    with pytest.raises(Died):
        desk.roll_out(soak_min=1)
    desk.line.dies_at, desk.line.recipe = None, recipe(5.0)
    desk.line.judged_and_released(["A"])
    assert desk.line.serving() == {**FIRST, "A": 2}
    desk.clock.meanwhile = lambda: desk.line.shop.tamper(b"spoiled", "A")
    assert desk.roll_out(soak_min=1) == 1
    assert desk.line.serving() == FIRST


def test_money_is_compared_with_what_is_replaced_and_with_nothing_else(desk):
    desk.line.recipe = recipe(0.5)
    desk.line.judged_and_released(["B"])
    desk.line.dies_at, desk.line.recipe = (2, "run"), recipe(1.0)
    with pytest.raises(Died):
        desk.roll_out()
    desk.line.dies_at = None
    roll_back(desk.line.shop.repository, "toy.B", to=1, by="otto", reason="late", key=desk.line.shop.key)
    allow(desk, "B")
    assert desk.roll_out() == 1
    (reason,) = desk.rollout.waves[1].reasons
    assert (reason.site, reason.figure, reason.found) == ("B", "value_change_eur", None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_the_rollout_to_go_on(desk, number):
    desk.line.stopped_by = number
    assert desk.roll_out() == 128 + number
    assert desk.line.serving() == FIRST
    desk.line.stopped_by = 0
    assert desk.roll_out() == 0
    assert desk.line.serving() == ALL


def test_a_run_that_cannot_start_leaves_the_rollout_to_go_on(desk):
    desk.line.cannot_start = True
    with pytest.raises(RolloutRefused, match="its file has a mistake; so the rollout stays at its step"):
        desk.roll_out()
    desk.line.cannot_start = False
    assert desk.line.serving() == FIRST
    assert desk.roll_out() == 0
    assert desk.line.serving() == ALL


def test_the_state_on_the_disk_is_plain_json_and_read_back_as_it_was(desk):
    assert desk.roll_out() == 0
    told = json.loads((desk.line.home / "rollouts" / "toy.json").read_text())
    assert told == json.loads(json.dumps(asdict(desk.rollout)))
    assert told["waves"][0]["outcomes"][0]["site"] == "A"
