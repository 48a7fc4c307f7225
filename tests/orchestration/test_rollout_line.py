"""A rollout of a new recipe through a whole line: candidates for all at once, releases wave by wave."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.cli.rollout_screen import rollout_lines, step_lines
from factory.line.gates import Comparison
from factory.names import model_name
from factory.pipeline.rollout.driver import Driver
from factory.pipeline.rollout.runs import Runs
from factory.pipeline.rollout.sites import LinePlace
from factory.pipeline.rollout.state import RolloutStore, Terms
from factory.release.history import findings
from factory.storage.home import Home
from tests.toy.line import NAME, ToyFactory, ToyLines
from tests.toy.project import toy_project

ROOT = Path(__file__).resolve().parents[2]
ANY = Comparison(min_absolute_change=0.0, min_probability=0.0)
"""Against the champion: anything goes, so that a test knows what its recipe comes to."""


class Killed(BaseException):
    """The process is gone."""


class Bench:
    """Somebody who rolls a new recipe of the toy line out: to north, then to south and east, which never served."""

    def __init__(self, home, *, recipe, **gates):
        self.toy = ToyFactory(home, recipe=recipe, gates={"against_champion": ANY, **gates})
        self.store = RolloutStore(home / "rollouts")
        self.told = []

    def roll_out(self, lines=None, **terms):
        driver = Driver(
            place=LinePlace.at(Home.at(self.toy.home), NAME),
            store=self.store,
            runs=Runs(line=NAME, lines=lines or ToyLines(self.toy)),
            show=lambda rollout, number: self.told.extend(step_lines(rollout, number)),
            say=self.told.append,
        )
        return driver.drive(by="lena", reason="another seed", terms=Terms(waves="1,rest", **terms))

    def serving(self):
        found = {site: self.toy.repository.current(model_name(NAME, site)) for site in ("east", "north", "south")}
        return {site: manifest.sequence if manifest else None for site, manifest in found.items()}


@pytest.fixture
def served(first_runs, tmp_path):
    """A home where north and south serve their first release."""
    return first_runs.copied(tmp_path / "home").home


@pytest.mark.slow
def test_a_line_goes_to_its_pilot_first_whoever_runs_it_meanwhile_and_wherever_it_is_killed(tmp_path):
    """North is the pilot, then come south, and east, which is refused; nothing has ever served."""
    bench = Bench(tmp_path, recipe={})

    class KilledBeforeTheFirstWave(ToyLines):
        def run(self, request, show):
            if request.redo_from == "release":
                raise Killed
            return super().run(request, show)

    with pytest.raises(Killed):
        bench.roll_out(KilledBeforeTheFirstWave(bench.toy), pilot="north")
    assert bench.serving() == {"east": None, "north": None, "south": None}

    assert bench.toy.run() == 0  # somebody, or a sensor, runs the line meanwhile: north's turn has come, south's not
    assert bench.toy.outcome.became == {"north": "released", "south": "held_back", "east": "refused"}
    assert bench.serving() == {"east": None, "north": 1, "south": None}
    assert bench.toy.registry.champion(model_name(NAME, "south")) is None

    assert bench.roll_out(pilot="north") == 0
    assert bench.serving() == {"east": None, "north": 1, "south": 1}
    assert bench.toy.registry.champion(model_name(NAME, "south")).version == 1
    rollout = bench.store.read(NAME)
    assert [wave.sites for wave in rollout.waves] == [("north",), ("east", "south")]
    assert [outcome.kind for outcome in rollout.waves[1].outcomes] == ["refused", "takes"]
    for site in ("east", "north", "south"):
        written = bench.toy.repository.site_history.read(model_name(NAME, site))
        assert findings(written, bench.toy.store.key().public_key()) == []
    assert "wave 2 of 2, judged: east, south" in "\n".join(bench.told)
    assert "scored on 7 rows of 7 days, needs 10 days" in "\n".join(rollout_lines(rollout))


@pytest.mark.slow
def test_a_recipe_that_harms_the_second_wave_stays_at_the_pilot(served):
    """With twice the epochs north is better with probability 12.5%, south with 1.3%."""
    bench = Bench(
        served,
        recipe={"epochs": 24},
        against_champion=Comparison(min_absolute_change=0.0, min_probability=0.05),
    )
    assert bench.roll_out() == 1
    assert bench.serving() == {"east": None, "north": 2, "south": 1}
    (north,) = bench.store.read(NAME).waves[0].outcomes
    figures = bench.toy.status()["north"]["verdict"]["figures"]
    assert (north.headline, north.figure) == ("average_precision", figures["average_precision"])
    assert (north.value_eur, north.champion_value_eur) == (figures["value_eur"], figures["champion_value_eur"])
    assert north.replaces
    told = "\n".join(bench.told)
    assert "halts: 1 of 1 sites, 100.0%, were refused or failed: south; the limit is 25.0%" in told
    assert "factory rollout press_faults --by NAME --reason … --waves 1,rest --again" in told
    assert bench.toy.run() == 0
    assert bench.serving() == {"east": None, "north": 2, "south": 1}


@pytest.mark.slow
def test_a_recipe_that_is_worse_everywhere_is_served_nowhere(served):
    bench = Bench(served, recipe={"epochs": 1})
    assert bench.roll_out() == 1
    assert bench.serving() == {"east": None, "north": 1, "south": 1}
    assert bench.store.read(NAME).waves[1].step == "to come"


@pytest.mark.slow
def test_the_command_rolls_out_what_a_project_says(served, tmp_path):
    """A project whose `definitions.py` is the toy's, typed at as a person does."""
    any_ = "Comparison(min_absolute_change=0.0, min_probability=0.0)"
    project = toy_project(tmp_path / "project", f'recipe={{"seed": 5}}, gates={{"against_champion": {any_}}}')

    def typed(*words):
        return subprocess.run(
            [Path(sys.executable).with_name("factory"), "rollout", *words, "--home", str(served)],
            cwd=project,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    done = typed(NAME, "--by", "lena", "--reason", "another seed", "--waves", "1,rest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wave 2 of 2, through" in done.stdout
    told = json.loads(typed("status", NAME, "--json").stdout)
    assert (told["state"], told["by"]) == ("finished", "lena")
    assert "another seed" in typed("status", NAME).stdout
    refused = typed("nowhere", "--by", "lena", "--reason", "x")
    assert refused.returncode == 2
    assert "there is no line 'nowhere'" in refused.stderr
