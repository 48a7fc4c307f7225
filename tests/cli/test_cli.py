"""The command line as a person or a CI job types it: words, exit codes, and what `status` says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.names import LINE_SITE
from factory.release import ModelRepository
from factory.release.signing import signing_key
from factory.storage.journal import Journal
from factory.storage.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
FACTORY = Path(sys.executable).with_name("factory")
COMMANDS = ("run", "demo", "status", "serve", "ui", "registry", "fetch", "doctor")
BAD_SITES = ["", "..", "a/b", "a b", "a,b", "-x"]


def typed(*words, folder=ROOT):
    """What a person sees who types this: exit code, output, errors."""
    wide = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [FACTORY, *words]
    done = subprocess.run(command, cwd=folder, env=wide, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one line: `big` serves version 3, `small` was refused, `new` has rows and no verdict yet.

    `old` serves version 1, and its newer candidate was refused.
    """
    home = tmp_path_factory.mktemp("home")
    journal = Journal(Lake(home / "lake", "presses"))
    rows = {"raw": 10, "clean": 7, "quarantine": 2, "superseded": 1, "withdrawn": 0}
    cleaned = {site: {**rows, "contract_share": 0.9} for site in ("big", "small", "new", "old")}
    verdicts = {"big": verdict("big"), "small": verdict("small", "scored on 2 rows, needs 20")}
    verdicts["old"] = verdict("old", "parity error is 0.1, limit 0.0001", average_precision=0.777, value_eur=7777.0)
    judged = {site: {"passed": found.passed, "verdict": found.to_dict()} for site, found in verdicts.items()}
    for stage, figures in {"clean": cleaned, "verdict": judged, "base_model": {LINE_SITE: {}}}.items():
        journal.record(stage, figures, dict.fromkeys(figures, "mark"), run="run", seconds=1.0)
    released = {"big": (3, verdicts["big"]), "old": (1, verdict("old", content=b"model before"))}
    for site, (version, passed) in released.items():
        ModelRepository(home / "models").release(
            b"model before" if site == "old" else b"model of big",
            line="presses",
            site=site,
            version=version,
            verdict=passed,
            signature=Signature(task="binary", features=("force",), output="probability", answers=("probability",)),
            threshold=0.5,
            provenance={"as_of": "2026-03-01"},
            example=(1.0,),
            key=signing_key(home / "keys"),
        )
    return home


def verdict(site, *reasons, content=None, **changed):
    """A verdict with the figures that `status` is asked for."""
    wanted = ("average_precision", "base_average_precision", "baseline_average_precision", "value_eur")
    figures = dict.fromkeys(wanted, 0.5) | {
        "champion_average_precision": None,
        "fine_tuned": True,
        "headline": "average_precision",
        **changed,
    }
    digest = digest_of(content or f"model of {site}".encode())
    return Verdict(line="presses", site=site, digest=digest, passed=not reasons, reasons=reasons, figures=figures)


def test_status_json_tells_rows_verdict_and_what_serves_of_every_site(home):
    code, out, _ = typed("status", "--json", "--home", str(home))
    assert code == 0
    sites = json.loads(out)["lines"]["presses"]["sites"]
    since = ModelRepository(home / "models").current("presses.big").released_at
    assert list(sites) == ["big", "new", "old", "small"]
    rows = {"raw": 10, "clean": 7, "quarantine": 2, "superseded": 1, "withdrawn": 0}
    passed, released = verdict("big"), {"serving": None, "hold": None, "held_back": None}
    assert sites["big"] == {
        "rows": rows,
        "verdict": {
            "passed": True,
            "reasons": [],
            "checks": [],
            "figures": dict(passed.figures),
            "digest": passed.digest,
        },
        "serving": {
            "version": 3,
            "digest": passed.digest,
            "since": since,
            "as_of": "2026-03-01",
            "figures": dict(passed.figures),
        },
        "hold": None,
        "held_back": None,
        "door_shut": None,
        "findings": [],
        "page": None,
    }
    assert sites["small"]["verdict"]["passed"] is False
    assert sites["small"]["verdict"]["reasons"] == ["scored on 2 rows, needs 20"]
    assert sites["small"]["serving"] is None
    assert sites["new"] == {"rows": rows, "verdict": None, **released, "door_shut": None, "findings": [], "page": None}


def test_status_shows_what_serves_in_a_row_of_its_own_where_the_newest_candidate_does_not(home):
    _, out, _ = typed("status", "--home", str(home))
    rows = out.splitlines()
    place = next(number for number, row in enumerate(rows) if row.startswith("old"))
    assert "0.777" in rows[place]
    assert "refused" in rows[place]
    assert "v1" not in rows[place]
    assert rows[place + 1].split()[-1] == "v1"
    assert "0.500" in rows[place + 1]
    assert not rows[place + 1][0].strip()


def test_status_tells_a_person_what_serves_and_why_not(home):
    code, out, _ = typed("status", "--home", str(home))
    assert code == 0
    by_site = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "AP" in out
    assert by_site["big"].split()[5:8] == ["0.500"] * 3
    assert "passed" in by_site["big"]
    assert "v3" in by_site["big"]
    assert "refused" in by_site["small"] + out
    assert "nothing" in next(line for line in out.splitlines() if line.startswith("small"))
    assert "scored on 2 rows, needs 20" in out


def test_status_tells_what_a_dry_run_would_have_refused(tmp_path):
    told = verdict("big").to_dict()
    told["figures"]["would_refuse"] = "better than the champion with probability 1.0%, needs 50.0%"
    Journal(Lake(tmp_path / "lake", "presses")).record(
        "verdict", {"big": {"verdict": told}}, {"big": "mark"}, run="run", seconds=1.0
    )
    code, out, _ = typed("status", "--home", str(tmp_path))
    assert code == 0
    assert "What a dry run would have refused\n  big  better than the champion with probability 1.0%" in out
    assert "Why sites were refused" not in out


def test_a_spoiled_release_is_not_told_as_served(home, tmp_path):
    model = tmp_path / "models" / "presses.big"
    model.parent.mkdir()
    model.symlink_to("../../elsewhere")
    Journal(Lake(tmp_path / "lake", "presses")).record(
        "clean",
        {"big": {"raw": 1, "clean": 1, "quarantine": 0, "superseded": 0}},
        {"big": "m"},
        run="r",
        seconds=1,
    )
    code, out, _ = typed("status", "--json", "--home", str(tmp_path))
    assert code == 0
    assert json.loads(out)["lines"]["presses"]["sites"]["big"]["serving"] is None


@pytest.mark.parametrize("made", [True, False])
def test_status_of_an_empty_home_says_that_nothing_has_run(tmp_path, made):
    empty = tmp_path if made else tmp_path / "not" / "there"
    assert typed("status", "--json", "--home", str(empty))[:2] == (0, '{\n  "lines": {}\n}\n')
    code, out, _ = typed("status", "--home", str(empty))
    assert code == 0
    assert "Nothing has run yet here" in out


def test_status_needs_neither_the_orchestrator_nor_the_registry(home):
    heavy = "{'dagster', 'mlflow', 'torch', 'sklearn', 'great_expectations'}"
    code = (
        "import sys; from pathlib import Path; from factory.reports.status import status; "
        "from factory.storage.home import Home; "
        f"status(Home.at(Path({str(home)!r}))); sys.exit(len({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_help_names_every_command_and_each_takes_a_home():
    code, out, _ = typed("--help")
    assert code == 0
    assert set(COMMANDS) | {"site"} <= set(out.split())
    for command in [*([name] for name in COMMANDS), ["site", "add"]]:
        code, out, _ = typed(*command, "--help")
        assert code == 0, command
        assert "--home" in out, command


@pytest.mark.parametrize("site", BAD_SITES)
def test_a_site_with_a_bad_name_is_refused_in_one_line_and_nothing_is_written(tmp_path, site):
    code, out, errors = typed("site", "add", "--home", str(tmp_path / "home"), "--", "departure_delay", site)
    assert code == 2
    assert out.strip() == ""
    assert errors == (
        f"NameRefused: site name {site!r} is refused: "
        "use 1 to 63 letters, digits, '_' or '-', the first a letter or digit\n"
    )
    assert not (tmp_path / "home").exists()


def test_a_line_that_is_not_there_is_refused_and_those_that_are_are_named(tmp_path):
    code, out, errors = typed("run", "nosuchline", "--home", str(tmp_path))
    assert code == 2
    assert out.strip() == ""
    assert (
        errors
        == "LineError: there is no line 'nosuchline'; lines/ has departure_delay, machine_failures, turbofan_rul\n"
    )


def test_a_day_that_is_no_date_is_refused(tmp_path):
    code, _, errors = typed("run", "departure_delay", "--until", "soon", "--home", str(tmp_path))
    assert code == 2
    assert errors.strip() == "LineError: line departure_delay: until='soon' is not a date; write it as YYYY-MM-DD"


def test_a_run_over_a_site_with_a_bad_name_is_refused_before_anything_is_read(tmp_path):
    code, _, errors = typed("run", "departure_delay", "--sites", "UA,../x", "--home", str(tmp_path))
    assert code == 2
    assert errors.strip().startswith("NameRefused: site name '../x' is refused")
    assert not (tmp_path / "lake").exists()


def test_a_stage_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    code, _, errors = typed("run", "departure_delay", "--from", "cleaning", "--home", str(tmp_path / "home"))
    assert code == 2
    assert errors == (
        "LineError: there is no stage 'cleaning'; a line's stages are "
        "raw, clean, announced, features, online_snapshot, predictions, outcomes, drift, prediction_log, receipts, "
        "logged_outcomes, base_model, site_model, verdict, release, report\n"
    )
    assert not (tmp_path / "home").exists()


def test_a_line_whose_data_is_a_package_has_nothing_to_fetch_and_says_so(tmp_path):
    code, _, errors = typed("fetch", "departure_delay", "--home", str(tmp_path))
    assert code == 2
    assert "has nothing to fetch; all it needs is there" in errors


def test_doctor_says_what_the_machine_has(tmp_path):
    code, out, _ = typed("doctor", "--home", str(tmp_path))
    assert code == 0
    assert f"home writable: {tmp_path}" in out
    assert "polars" in out
