"""`factory site list`, `add`, `remove` through a line's whole life, with the orchestrator and the toy line."""

import json
import os

import pytest
from typer.testing import CliRunner

from factory.cli.app import app
from factory.errors import NameRefused
from factory.names import model_name
from factory.orchestration.instance import opened_instance
from factory.orchestration.sites import known_sites
from tests.toy.line import NAME, ToyFactory
from tests.toy.project import toy_project

DECIDED = ("--by", "lena", "--reason", "the plant is sold")
NORTH = model_name(NAME, "north")


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Types a command at the toy line's project and its home."""
    for name in ("FACTORY_HOME", "FACTORY_LAKE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.chdir(toy_project(tmp_path / "project"))

    def typed(*words):
        done = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "home")])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout

    return typed


def listed(typed):
    """What `site list --json` says of each site."""
    return {site.pop("site"): site for site in json.loads(typed("site", "list", NAME, "--json")[1])["sites"]}


def partitions(home):
    with opened_instance(home / "dagster") as instance:
        return sorted(known_sites(instance, NAME))


def test_sites_are_added_by_the_source_or_on_purpose_and_a_typo_never(tmp_path, typed):
    home = tmp_path / "home"
    assert {site: of["state"] for site, of in listed(typed).items()} == dict.fromkeys(
        ["east", "north", "south"], "at source"
    )
    assert typed("site", "add", NAME, "north")[0] == 0
    with pytest.raises(NameRefused, match="did you mean"):
        typed("site", "add", NAME, "wset")
    assert typed("site", "add", NAME, "west", "--new")[0] == 0
    assert partitions(home) == ["north", "west"]
    assert {site: of["state"] for site, of in listed(typed).items()} == {
        "east": "at source",
        "north": "in line",
        "south": "at source",
        "west": "announced",
    }


def test_a_site_is_removed_from_line_and_gateway_stays_on_record_and_comes_back(tmp_path, typed):
    home = tmp_path / "home"
    toy = ToyFactory(home)
    assert toy.run() == 0
    rows = len(toy.lake.scan("clean").collect())
    assert typed("site", "remove", NAME, "north", *DECIDED)[0] == 0
    assert partitions(home) == ["east", "south"]
    assert toy.repository.marker(NORTH) is None
    assert listed(typed)["north"]["state"] == "removed"
    assert "lena removed it from line press_faults" in listed(typed)["north"]["removed"]
    assert "Removed from its line by lena" in typed("history", "north")[1]
    assert "removed" in next(line for line in typed("status")[1].splitlines() if line.startswith("north"))

    # No run takes it, whether it names the site or takes all that the source has.
    assert toy.run() == 0
    assert toy.outcome.sites == ("east", "south")
    assert partitions(home) == ["east", "south"]
    with pytest.raises(NameRefused, match="lena removed it"):
        toy.run(["north"])
    assert len(toy.lake.scan("clean").collect()) == rows

    code, out = typed("site", "add", NAME, "north", "--by", "lena", "--reason", "bought back")
    assert (code, f"factory run {NAME} --sites north" in out) == (0, True)
    assert toy.repository.marker(NORTH) is None
    assert toy.run() == 0
    assert toy.outcome.became["north"] == "released"
    assert toy.repository.current(NORTH).sequence == 2
    kinds = [record.kind for record in toy.repository.site_history.read(NORTH).records()]
    assert kinds[kinds.index("removal") :][:2] == ["removal", "return"]
