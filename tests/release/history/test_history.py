"""A site's history: appends survive crashes and company, and whatever somebody changes is found."""

import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import HistoryError, NameRefused, ReleaseRefused
from factory.release.history import Event, Head, History, findings, permissions_of
from factory.release.history.record import Record
from factory.release.signing import signing_key
from tests.gateway.builders import Shop

ROOT = Path(__file__).resolve().parents[3]
MODEL = "toy.UA"
A, B = b"model a", b"model b"


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return signing_key(tmp_path_factory.mktemp("keys"))


def event(kind="promotion", number=1, **changed):
    return Event(**{"kind": kind, "actor": "lena", "reason": f"reason {number}", "version": number, **changed})


def written(root, key, count, model=MODEL):
    """A history of some events, and its files."""
    history = History(root)
    for number in range(1, count + 1):
        history.append(model, event(number=number), key)
    return history, root / f"{model}.jsonl", root / f"{model}.head"


def wrong(history, key, model=MODEL, **witnesses):
    return [found.what for found in findings(history.read(model), key.public_key(), **witnesses)]


def test_what_is_put_on_record_is_read_back_in_order_and_nothing_is_wrong_with_it(tmp_path, key):
    history, _, _ = written(tmp_path, key, 3)
    records = history.read(MODEL).records()
    assert [record.event for record in records] == [event(number=number) for number in (1, 2, 3)]
    assert [record.sequence for record in records] == [1, 2, 3]
    assert sorted(record.at for record in records) == [record.at for record in records]
    assert wrong(history, key) == []
    assert history.models() == [MODEL]


def test_a_site_without_a_history_has_an_empty_one(tmp_path, key):
    assert History(tmp_path).read(MODEL).records() == []
    assert wrong(History(tmp_path / "nowhere"), key) == []
    assert History(tmp_path / "nowhere").models() == []


@pytest.mark.parametrize("model", ["../UA", "toy", "toy.UA/..", "toy._base", ""])
def test_a_name_that_is_no_sites_is_refused_and_nothing_is_written(tmp_path, key, model):
    with pytest.raises(NameRefused):
        History(tmp_path / "history").append(model, event(), key)
    assert list(tmp_path.iterdir()) == []


ALTERATIONS = {
    "edit": lambda lines, n, m: [*lines[:n], lines[n].replace(b"lena", b"otto"), *lines[n + 1 :]],
    "one byte": lambda lines, n, m: [
        *lines[:n],
        bytes([lines[n][m] ^ 1]).join([lines[n][:m], lines[n][m + 1 :]]),
        *lines[n + 1 :],
    ],
    "remove": lambda lines, n, m: lines[:n] + lines[n + 1 :],
    "shorten": lambda lines, n, m: lines[:n],
    "repeat": lambda lines, n, m: [*lines[: n + 1], lines[m % len(lines)], *lines[n + 1 :]],
    "reverse": lambda lines, n, m: lines[::-1],
    "empty line": lambda lines, n, m: [*lines[:n], b"", *lines[n:]],
}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.sampled_from(sorted(ALTERATIONS)), st.integers(0, 4), st.integers(0, 200))
def test_every_edit_removal_repetition_reordering_and_shortening_is_found(tmp_path_factory, key, count, how, n, m):
    history, lines, _ = written(tmp_path_factory.mktemp("history"), key, count)
    before = lines.read_bytes().split(b"\n")[:-1]
    after = ALTERATIONS[how](before, n % count, m)
    lines.write_bytes(b"".join(line + b"\n" for line in after))
    assert (wrong(history, key) == []) == (after == before)


def test_a_record_written_by_somebody_without_the_key_is_found(tmp_path, key):
    history, lines, _ = written(tmp_path, key, 2)
    stranger = signing_key(tmp_path / "stranger")
    forged = replace(Record.from_line(lines.read_bytes().splitlines()[-1]), actor="otto").signed(stranger)
    lines.write_bytes(lines.read_bytes().splitlines()[0] + b"\n" + forged.to_line() + b"\n")
    assert any("not signed by this factory's key" in what for what in wrong(history, key))


def test_another_sites_history_in_this_ones_place_is_found(tmp_path, key):
    written(tmp_path, key, 2, "toy.DL")
    for ending in ("jsonl", "head"):
        (tmp_path / f"toy.DL.{ending}").rename(tmp_path / f"{MODEL}.{ending}")
    told = " ".join(wrong(History(tmp_path), key))
    assert "is record 1 of toy.DL" in told
    assert "the head is that of toy.DL" in told


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"count": "x"}', b"\xff", b"[" * 100_000])
def test_a_head_that_is_none_is_found(tmp_path, key, content):
    history, _, head = written(tmp_path, key, 2)
    head.write_bytes(content)
    assert any("head was changed" in what for what in wrong(history, key))
    head.unlink()
    assert wrong(history, key) == ["the head is missing, with 2 records"]


def test_a_history_cut_short_with_its_head_is_found_by_a_head_kept_elsewhere(tmp_path, key):
    history, lines, head = written(tmp_path, key, 2)
    earlier = lines.read_bytes(), head.read_bytes()
    history.append(MODEL, event("refusal", 3), key)
    kept = Head.from_json(head.read_bytes())
    lines.write_bytes(earlier[0])
    head.write_bytes(earlier[1])
    assert wrong(history, key) == []  # as promised: nothing here is left to witness it
    assert "kept elsewhere says that record 3" in wrong(history, key, witness=kept)[0]


def test_a_head_kept_elsewhere_still_fits_a_history_that_went_on(tmp_path, key):
    history, _, head = written(tmp_path, key, 2)
    kept = Head.from_json(head.read_bytes())
    history.append(MODEL, event("release", 3), key)
    assert wrong(history, key, witness=kept) == []


def test_a_release_whose_record_was_removed_with_the_whole_history_is_found(tmp_path):
    shop = Shop(tmp_path)
    shop.release(A)
    history = shop.repository.site_history
    releases = {manifest.sequence: manifest.digest for manifest in shop.repository.history(MODEL)}
    assert wrong(history, shop.key, releases=releases) == []
    for place in (tmp_path / "history").glob(f"{MODEL}.*"):
        place.unlink()
    assert "release 1" in wrong(history, shop.key, releases=releases)[0]


def test_appending_after_records_were_cut_off_goes_on_and_says_so_for_ever(tmp_path, key):
    history, lines, _ = written(tmp_path, key, 3)
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:1]))
    history.append(MODEL, event(number=4), key)
    assert [record.kind for record in history.read(MODEL).records()] == ["promotion", "gap", "promotion"]
    assert wrong(history, key) == [
        "line 2: records were missing when it was written: the head knew 3 records ending in "
        f"{history.read(MODEL).records()[1].reason.split()[7].rstrip(';')}; found were 1, or others"
    ]


def test_a_torn_last_line_is_no_record_at_whatever_byte_it_broke_and_the_next_append_mends_it(tmp_path, key):
    history, lines, _ = written(tmp_path, key, 2)
    whole = lines.read_bytes()
    history.append(MODEL, event(number=3), key)
    line, head = lines.read_bytes()[len(whole) :], tmp_path / f"{MODEL}.head"
    before = Head.of(MODEL, whole.split(b"\n")[:-1]).signed(key).to_json()
    for torn in range(len(line)):
        lines.write_bytes(whole + line[:torn])
        head.write_bytes(before)  # the head comes after the line
        assert len(history.read(MODEL).records()) == 2
        assert wrong(history, key) == []
    history.append(MODEL, event(number=4), key)
    assert [record.version for record in history.read(MODEL).records()] == [1, 2, 4]
    assert wrong(history, key) == []


KILLED_AT_EACH_CALL = """
import os, sys
from pathlib import Path
from factory.release.history import Event, History
from factory.release.signing import signing_key

def append(root, key, last_call):
    calls = [0]
    def die(event, args):
        if event in ("os.rename", "open", "os.truncate", "os.mkdir") and root in str(args):
            calls[0] += 1
            if calls[0] == last_call:
                os._exit(9)
    sys.addaudithook(die)
    for number in (2, 3):
        History(Path(root)).append("toy.UA", Event(kind="promotion", actor="a", reason="r", version=number), key)

key = signing_key(Path(sys.argv[1]) / "keys")
for last_call in range(1, 1000):
    root = f"{sys.argv[1]}/h{last_call}"
    History(Path(root)).append("toy.UA", Event(kind="promotion", actor="a", reason="r", version=1), key)
    child = os.fork()
    if child == 0:
        append(root, key, last_call)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_before_any_of_its_system_calls_a_writer_leaves_a_history_in_order(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_CALL, str(tmp_path)], cwd=ROOT, check=True)
    key, roots = signing_key(tmp_path / "keys"), sorted(tmp_path.glob("h*"))
    seen = set()
    for root in roots:
        history = History(root)
        assert wrong(history, key) == []
        seen.add(len(history.read(MODEL).records()))
        history.append(MODEL, event("release", 9), key)
        assert wrong(history, key) == []
    assert len(roots) > 8
    assert seen == {1, 2, 3}


def append_some(root: str, keys: str, who: int) -> None:
    for number in range(15):
        History(Path(root)).append(MODEL, event(number=number, actor=f"writer {who}"), signing_key(Path(keys)))


def test_several_processes_that_write_at_once_lose_nothing_and_readers_see_no_fault(tmp_path):
    key = signing_key(tmp_path / "keys")
    history = History(tmp_path / "history")
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        going = [pool.submit(append_some, str(history.root), str(tmp_path / "keys"), who) for who in range(3)]
        while not all(one.done() for one in going):
            assert wrong(history, key) == []
        assert [one.result() for one in going] == [None] * 3
    records = history.read(MODEL).records()
    assert sorted((r.actor, r.version) for r in records) == [(f"writer {w}", n) for w in range(3) for n in range(15)]
    assert wrong(history, key) == []


def test_what_a_run_that_died_has_recorded_is_not_recorded_again(tmp_path, key):
    history, _, _ = written(tmp_path, key, 1)
    assert history.append(MODEL, event(number=1), key, once=True) is None
    assert history.append(MODEL, event("refusal", 1), key, once=True).sequence == 2
    assert history.append(MODEL, event(number=2), key, once=True).sequence == 3


def test_what_cannot_be_put_on_record_is_not_done(tmp_path):
    shop = Shop(tmp_path)
    (tmp_path / "history").write_text("a file where a folder should be")
    with pytest.raises(HistoryError, match="cannot be read"):
        shop.release(A)
    with pytest.raises(HistoryError, match="nothing was done"):
        shop.repository.site_history.append(MODEL, event(), shop.key)
    assert shop.repository.current(MODEL) is None


def test_a_release_is_on_record_with_who_what_and_by_which_verdict(tmp_path):
    shop = Shop(tmp_path)
    manifest = shop.release(A, version=7, by="lena")
    shop.release(A, version=7, by="otto")  # serves already: nothing happens, so nothing is on record
    (record,) = shop.repository.site_history.read(MODEL).records()
    told = (record.kind, record.actor, record.version, record.release, record.digest)
    assert told == ("release", "lena", 7, 1, manifest.digest)
    assert len(record.verdict) == 64


def stands(history, key):
    return permissions_of(history.read(MODEL), key.public_key())


def test_a_rollback_holds_until_somebody_allows_and_the_file_it_took_away_stays_away(tmp_path, key):
    history = History(tmp_path)
    history.append(MODEL, event("rollback", 1, release=1, digest="good", withdrawn="bad"), key)
    held = stands(history, key)
    assert "holds it on release 1" in held.obstacle("new")
    assert "factory allow UA" in held.obstacle("new")
    assert held.obstacle("good") is None
    history.append(MODEL, event("allowance", 2), key)
    allowed = stands(history, key)
    assert allowed.obstacle("new") is None
    assert "took this very file out of service" in allowed.obstacle("bad")
    history.append(MODEL, event("rollback", 3, release=2, digest="bad"), key)  # a person wants it back
    assert stands(history, key).obstacle("bad") is None


def test_an_approval_is_for_one_file(tmp_path, key):
    history = History(tmp_path)
    history.append(MODEL, event("approval", 1, digest="seen"), key)
    found = stands(history, key)
    assert found.obstacle("seen", approval_required=True) is None
    assert "wants a person's approval" in found.obstacle("unseen", approval_required=True)
    assert found.obstacle("unseen") is None
    with pytest.raises(ReleaseRefused, match=r"toy\.UA: model unseen may not be served"):
        found.require("unseen", approval_required=True)


def test_a_forged_or_copied_allowance_opens_nothing(tmp_path, key):
    history, lines, _ = written(tmp_path, key, 1)
    history.append(MODEL, event("allowance", 2), key)
    old = lines.read_bytes().splitlines(keepends=True)[-1]
    history.append(MODEL, event("rollback", 3, release=1, digest="good", withdrawn="bad"), key)
    held = lines.read_bytes()
    forged = {**json.loads(held.splitlines()[-1]), "kind": "allowance", "sequence": 4}
    for put_in in (old, json.dumps(forged).encode() + b"\n"):
        lines.write_bytes(held + put_in)
        assert stands(history, key).obstacle("new")


def test_after_a_history_was_changed_nothing_is_released_until_a_person_has_looked(tmp_path):
    shop = Shop(tmp_path)
    shop.release(A)
    lines = tmp_path / "history" / f"{MODEL}.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b'"factory"', b'"nobody!"'))
    with pytest.raises(ReleaseRefused, match="its history was changed"):
        shop.release(B, version=2)
    assert shop.repository.current(MODEL).version == 1
    shop.repository.site_history.append(MODEL, event("allowance", 2), shop.key)
    assert shop.release(B, version=2).sequence == 2
    assert wrong(shop.repository.site_history, shop.key)  # and it stays found


def test_reading_writes_nothing(tmp_path, key):
    _, lines, head = written(tmp_path / "history", key, 2)
    (tmp_path / "copy").mkdir()
    for place in (lines, head):
        (tmp_path / "copy" / place.name).write_bytes(place.read_bytes())
    copy = History(tmp_path / "copy")
    assert wrong(copy, key) == []
    assert stands(copy, key).obstacle("new") is None
    assert sorted(place.name for place in copy.root.iterdir()) == [head.name, lines.name]
