"""`factory history`, `rollback`, `allow` and `approve` as a person types them, with no server anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.connectors.outbox.outbox import Settled
from factory.connectors.outbox.store import OutboxStore
from factory.errors import ReleaseRefused
from factory.names import line_and_site
from factory.pipeline.rollout.sites import LinePlace
from factory.storage.home import Home
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from tests.connectors.outbox.receiver import message
from tests.gateway.builders import Shop, onnx_model, verdict

ROOT = Path(__file__).resolve().parents[2]
FACTORY = Path(sys.executable).with_name("factory")
DECIDED = ("--by", "lena", "--reason", "late again")
OLD, NEW = onnx_model(), onnx_model(bias=1.0)


@pytest.fixture
def shop(tmp_path):
    """Site UA of two lines; that of `toy` has two releases."""
    shop = Shop(tmp_path)
    shop.release(OLD, version=1)
    shop.release(NEW, version=2)
    shop.release(OLD, line="other", verdict=verdict(OLD, line="other"))
    return shop


def typed(shop, *words):
    """Exit code, output, errors."""
    command = [FACTORY, *words, "--home", str(shop.home)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def judged(shop, content, version, *reasons, model="toy.UA", approval="none"):
    """The lake says that this candidate was made and judged."""
    line, site = line_and_site(model)
    found = verdict(content, site, *reasons, line=line)
    journal = Journal(Lake(shop.home / "lake", line))
    made = {"version": version, "digest": found.digest}
    told = {"verdict": found.to_dict(), "approval": approval}
    for stage, figures in {"site_model": made, "verdict": told}.items():
        journal.record(stage, {site: figures}, {site: "mark"}, run="run", seconds=1.0)


def test_history_tells_who_did_what_and_why(shop):
    assert typed(shop, "rollback", "UA", "--line", "toy", *DECIDED)[0] == 0
    code, out, _ = typed(shop, "history", "UA", "--line", "toy")
    assert code == 0
    assert "late again" in next(line for line in out.splitlines() if "rollback" in line)
    assert "Held on release 1 by lena" in out
    told = json.loads(typed(shop, "history", "UA", "--line", "toy", "--json")[1])
    assert [(r["kind"], r["actor"], r["release"]) for r in told["records"]] == [
        ("release", "factory", 1),
        ("release", "factory", 2),
        ("rollback", "lena", 1),
    ]
    assert told["hold"]["reason"] == "late again"
    assert told["findings"] == []


def test_status_shows_who_holds_a_site_since_when_and_why_until_somebody_allows(shop):
    judged(shop, NEW, 2)
    assert typed(shop, "rollback", "UA", "--line", "toy", *DECIDED)[0] == 0
    held = told_by_status(shop)
    assert (held["hold"]["release"], held["hold"]["by"], held["hold"]["reason"]) == (1, "lena", "late again")
    assert held["hold"]["since"] == shop.repository.site_history.read("toy.UA").records()[-1].at
    assert "holds it on release 1" in held["held_back"]
    out = typed(shop, "status")[1]
    assert "UA  release 1 since 2" in out
    assert "by lena (late again)" in out
    assert typed(shop, "allow", "UA", "--line", "toy", *DECIDED)[0] == 0
    assert told_by_status(shop)["hold"] is None


def test_status_shows_what_passed_and_waits_for_a_persons_approval(shop):
    newest = onnx_model(bias=2.0)
    judged(shop, newest, 3, approval="required")
    assert "wants a person's approval" in told_by_status(shop)["held_back"]
    assert "Why what passed is not released\n  UA  its line wants a person's approval" in typed(shop, "status")[1]
    assert typed(shop, "approve", "UA", "3", "--line", "toy", *DECIDED)[0] == 0
    assert told_by_status(shop)["held_back"] is None


def test_status_tells_of_a_history_that_cannot_be_read_and_of_everything_else(shop):
    judged(shop, NEW, 2)
    history = shop.home / "history" / "toy.UA.jsonl"
    history.unlink()
    history.mkdir()
    found = told_by_status(shop)
    assert found["serving"]["version"] == 2
    assert "cannot be read" in found["held_back"]


def told_by_status(shop):
    """What `factory status --json` says of UA of the line toy."""
    code, out, err = typed(shop, "status", "--json")
    assert code == 0, err
    return json.loads(out)["lines"]["toy"]["sites"]["UA"]


def test_a_reason_is_shown_as_text_and_never_obeyed(shop):
    told = ("--by", "[red]x", "--reason", "\x1b[2J[/]done")
    assert typed(shop, "rollback", "UA", "--line", "toy", *told)[0] == 0
    code, out, _ = typed(shop, "history", "UA", "--line", "toy")
    assert code == 0
    assert "[red]x" in out
    assert "\x1b[2J" not in out
    assert "[/]done" in out


def test_rollback_and_allow_change_what_serves_and_say_what_comes_next(shop):
    code, out, _ = typed(shop, "rollback", "UA", "--line", "toy", *DECIDED)
    assert code == 0
    assert "toy.UA serves release 1, version 1, again, and is held there" in out
    assert shop.repository.current("toy.UA").version == 1
    assert typed(shop, "rollback", "UA", "--line", "toy", "--to", "2", *DECIDED)[0] == 0
    assert shop.repository.current("toy.UA").version == 2
    assert typed(shop, "allow", "UA", "--line", "toy", *DECIDED)[0] == 0
    assert shop.release(onnx_model(bias=3.0), version=3).sequence == 3


def test_a_rollback_tells_which_messages_can_be_withdrawn_and_how(shop):
    outbox = OutboxStore.at(Home.at(shop.home), {}).of("toy")
    outbox.put(message(number, site="UA", release=2) for number in range(3))
    outbox.put([message(7, site="UA", release=1), message(8, site="UA", sink="orders.dry_run", release=2)])
    (sent,) = outbox.claim("orders", ["UA"], by="me", limit=1, lease_s=60)
    outbox.settle("me", [Settled(id=sent.id, state="accepted")])
    code, out, _ = typed(shop, "rollback", "UA", "--line", "toy", *DECIDED)
    assert code == 0
    assert "Decisions of release 2 stay at orders (1 accepted, 2 waiting)" in out
    assert "factory deliveries withdraw toy UA --sink orders --release 2" in out
    assert "dry_run" not in out
    assert outbox.withdraw("orders", "UA", 2) == (2, 1)
    assert [one.sink for one in outbox.withdrawable("UA", 2)] == ["orders.dry_run"]


def test_a_site_that_waits_for_its_turn_in_a_rollout_says_so_and_no_allowance_ends_that(shop):
    LinePlace.at(Home.at(shop.home), "toy").keep_waiting(["UA"], by="lena", reason="a wider network")
    code, out, _ = typed(shop, "history", "UA", "--line", "toy")
    assert code == 0
    assert "Waits for its turn in the rollout by lena" in out
    code, out, _ = typed(shop, "allow", "UA", "--line", "toy", *DECIDED)
    assert code == 0
    assert out == "toy.UA: it still waits for its turn in the rollout by lena (a wider network).\n"
    with pytest.raises(ReleaseRefused, match="has not come to it"):
        shop.release(onnx_model(bias=3.0), version=3)
    code, out, _ = typed(shop, "rollout", "end", "toy", *DECIDED)
    assert (code, out) == (0, "toy: the rollout is ended. The next run releases what passes at: UA\n")
    assert shop.release(onnx_model(bias=3.0), version=3).sequence == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rollout", "status", "toy"], "toy was never rolled out in waves here."),
        (["rollout", "status", "toy", "--json"], "null"),
        (["rollout", "end", "toy", *DECIDED], "no rollout is under way or halted, so there is none to end"),
        (["rollout", "toy"], "--by"),
        (["rollout", "toy", "--by", "lena", "--reason", " "], "say something: it goes on record"),
        (["rollout", "--by", "lena", "--reason", "x", "--waves", "1,4", "toy"], "write sizes and then rest"),
        (["rollout", "start", "toy", *DECIDED, "--max-refused", "2"], "--max-refused"),
    ],
)
def test_a_rollout_that_is_none_or_is_not_said_right_is_told_in_words(shop, words, told):
    _, out, errors = typed(shop, *words)
    assert told in out + errors


def test_a_refused_rollback_is_one_line_and_exit_code_2(shop):
    code, out, errors = typed(shop, "rollback", "UA", "--line", "toy", "--to", "7", *DECIDED)
    assert (code, out) == (2, "")
    assert errors == "ReleaseRefused: toy.UA has no release 7; there are 1, 2\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["UA"], "site 'UA' is at several lines: other, toy; say which with --line"),
        (["XX"], "nothing is known of site 'XX'; there are other.UA, toy.UA"),
        (["XX", "--line", "toy"], "nothing is known of site 'XX' of line toy; there are other.UA, toy.UA"),
        (["../x"], "site name '../x' is refused"),
    ],
)
def test_a_site_that_is_not_there_or_not_alone_is_named(shop, words, told):
    for command in (["history"], ["rollback", *DECIDED], ["allow", *DECIDED]):
        code, _, errors = typed(shop, *command, *words)
        assert code == 2
        assert f"NameRefused: {told}" in errors


@pytest.mark.parametrize("command", ["rollback", "allow"])
@pytest.mark.parametrize("said", [["--by", "lena"], ["--reason", "x"], ["--by", " ", "--reason", "x"]])
def test_nobody_decides_without_a_name_and_a_reason(shop, command, said):
    before = shop.repository.site_history.read("toy.UA")
    code, _, _ = typed(shop, command, "UA", "--line", "toy", *said)
    assert code == 2
    assert shop.repository.site_history.read("toy.UA") == before


def test_verify_finds_an_edit_and_says_where(shop):
    code, out, _ = typed(shop, "history", "verify")
    assert (code, out) == (0, "2 of 2 histories are as they were written.\n")
    lines = shop.home / "history" / "toy.UA.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b'"version":2', b'"version":3'))
    code, out, _ = typed(shop, "history", "verify")
    assert code == 1
    assert "1 of 2 histories are as they were written." in out
    assert "toy.UA: line 2: record 2 is not signed by this factory's key, or was changed" in out


def test_verify_with_heads_kept_elsewhere_finds_that_a_whole_history_was_put_back(shop, tmp_path):
    lines, head = (shop.home / "history" / f"toy.UA.{ending}" for ending in ("jsonl", "head"))
    earlier = lines.read_bytes(), head.read_bytes()
    typed(shop, "rollback", "UA", "--line", "toy", *DECIDED)
    kept = tmp_path / "heads.json"
    kept.write_text(typed(shop, "history", "verify", "--json")[1])
    lines.write_bytes(earlier[0])
    head.write_bytes(earlier[1])
    assert typed(shop, "history", "verify")[0] == 0
    code, out, _ = typed(shop, "history", "verify", "--heads", str(kept))
    assert code == 1
    assert "kept elsewhere" in out


def test_approve_puts_a_persons_consent_to_a_file_on_record(shop):
    newest = onnx_model(bias=2.0)
    judged(shop, newest, 3, approval="required")
    code, out, _ = typed(shop, "approve", "UA", "3", *DECIDED)
    assert code == 0
    assert f"factory run toy --sites UA --home {shop.home}" in out
    (record,) = [r for r in shop.repository.site_history.read("toy.UA").records() if r.kind == "approval"]
    assert (record.actor, record.version, record.digest) == ("lena", 3, verdict(newest).digest)


@pytest.mark.parametrize(
    ("version", "reasons", "told"),
    [
        ("1", [], "version 1 is not its newest candidate, which is 2; approve that one"),
        ("2", ["scored on 3 rows"], "version 2 cannot be approved, for it has not passed its gates: scored on 3 rows"),
    ],
)
def test_only_the_newest_candidate_with_a_passing_verdict_can_be_approved(shop, version, reasons, told):
    judged(shop, NEW, 2, *reasons)
    code, _, errors = typed(shop, "approve", "UA", version, *DECIDED)
    assert code == 2
    assert errors == f"ReleaseRefused: toy.UA: {told}\n"
    assert not [r for r in shop.repository.site_history.read("toy.UA").records() if r.kind == "approval"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["approve", "UA", "2"], "its line asks for no approval (`gates: approval: none`), so nothing waits for yours"),
        (["allow", "UA", "--line", "toy"], "no rollback holds it and its history is as it was written"),
    ],
)
def test_what_nothing_asks_for_is_refused_and_not_on_record(shop, command, told):
    judged(shop, NEW, 2)
    before = shop.repository.site_history.read("toy.UA")
    code, out, errors = typed(shop, *command, *DECIDED)
    assert (code, out) == (2, "")
    assert told in errors
    assert shop.repository.site_history.read("toy.UA") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["history", "ua", "--line", "toy"], "of line toy; did you mean UA? there are other.UA, toy.UA"),
        (["history", "UA", "--line", "toi"], "of line toi; did you mean toy? there are other.UA, toy.UA"),
        (["rollout", "status", "toi"], "there is no line 'toi'; did you mean toy?"),
        (["rollout", "end", "othr", *DECIDED], "there is no line 'othr'; did you mean other?"),
        (["status", "toi"], "there is no line 'toi'; did you mean toy?"),
    ],
)
def test_a_name_mistyped_is_answered_with_the_one_that_was_meant(shop, words, told):
    code, out, errors = typed(shop, *words)
    assert (code, out) == (2, "")
    assert told in errors
