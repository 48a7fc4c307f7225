"""Invariant 2 where models are released and where they are loaded; a crash or a race leaves one whole release."""

import json
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import ModelRefused, NameRefused, ReleaseRefused
from factory.model.payoff import Payoff
from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.release import Draft, Guard, Manifest, ModelRepository
from factory.release.signing import public_key, sign, signing_key
from tests.gateway.builders import Shop, binary, verdict

A, B = b"model a", b"model b"
MONEY = Payoff(right_eur=5.0, wrong_eur=-1.0)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def load(shop, site="UA"):
    return shop.repository.load(f"toy.{site}", public_key(shop.public))


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_what_is_released_is_what_is_loaded(shop):
    manifest = shop.release(A, version=7)
    released = load(shop)
    assert released.content == A
    assert released.manifest == manifest == shop.repository.current("toy.UA")
    assert (manifest.model, manifest.version, manifest.digest) == ("toy.UA", 7, digest_of(A))
    assert manifest.example == (1.0, None, 2.0)
    assert released.marker == shop.repository.marker("toy.UA")


def test_nothing_is_there_before_the_first_release(shop):
    assert shop.repository.current("toy.UA") is None
    assert shop.repository.marker("toy.UA") is None
    assert shop.repository.models() == []
    assert shop.repository.history("toy.UA") == []
    with pytest.raises(ModelRefused, match="not released"):
        load(shop)


def test_triton_finds_its_layout_and_is_told_the_version(shop):
    shop.release(A, version=7)
    folder = shop.home / "models" / "toy.UA"
    assert (folder / "7" / "model.onnx").read_bytes() == A
    config = (folder / "config.pbtxt").read_text()
    for said in ('name: "toy.UA"', 'backend: "onnxruntime"', "dims: [ 3 ]", "dims: [ 1 ]", "versions: [ 7 ]"):
        assert said in config
    assert "max_batch_size: 4096" in config
    assert os.readlink(folder) == ".releases/toy.UA/1"  # noqa: PTH115  the text itself is the promise


@pytest.mark.parametrize(
    "wrong",
    [
        verdict(B),
        verdict(A, "UA", "scored on 3 rows"),
        verdict(A, "DL"),
        verdict(A, line="other"),
        None,
    ],
    ids=["another file", "failed", "another site", "another line", "none"],
)
def test_without_a_passing_verdict_for_exactly_this_file_nothing_is_released(shop, wrong):
    before = tree(shop.home)
    with pytest.raises(ReleaseRefused):
        shop.release(A, verdict=wrong)
    assert tree(shop.home) == before
    assert not (shop.home / "models").exists()


@pytest.mark.parametrize(
    "part",
    [
        {"threshold": float("nan")},
        {"version": 0},
        {"example": (1.0,)},
        {"guard": Guard(ranges={"f9": (0.0, 1.0)})},
        {"guard": Guard(typical={"f9": 1.0})},
        {"provenance": {"commit": 7}},
    ],
    ids=str,
)
def test_a_manifest_that_could_not_be_loaded_is_not_written(shop, part):
    with pytest.raises(ReleaseRefused):
        shop.release(A, **part)
    assert not (shop.home / "models").exists()


@pytest.mark.parametrize("site", ["../UA", "U A", "", "UA/1", ".."])
def test_a_site_name_that_is_no_folder_is_refused(shop, site):
    with pytest.raises((NameRefused, ReleaseRefused)):
        shop.release(A, site=site)
    with pytest.raises(ModelRefused):
        shop.repository.load(f"toy.{site}", shop.key.public_key())


def test_releasing_again_what_is_served_changes_nothing(shop):
    first = shop.release(A)
    files, marker = tree(shop.home), shop.repository.marker("toy.UA")
    assert shop.release(A) == first
    assert (tree(shop.home), shop.repository.marker("toy.UA")) == (files, marker)


def test_another_signature_guard_or_money_is_another_release(shop):
    shop.release(A)
    assert shop.release(A, guard=Guard(ranges={"f0": (0.0, 1.0)})).sequence == 2
    assert shop.release(A, signature=replace(binary(), task="regression")).sequence == 3
    assert load(shop).manifest.model_signature.task == "regression"
    assert shop.release(A, stakes=MONEY).sequence == 4
    assert shop.release(A, stakes=replace(MONEY, right_eur=6.0)).sequence == 5
    assert shop.release(A, stakes=replace(MONEY, right_eur=6.0)).sequence == 5
    last = shop.release(A, stakes=MONEY, guard=Guard(typical={"f0": 1.0}))
    assert last.sequence == 6
    assert Draft.again(A, last).is_in(last)
    assert not Draft.again(A, last).is_in(replace(last, stakes=None))


def test_triton_is_told_every_dimension_of_a_sequence_model(shop):
    features = ("f0", "f1")
    signature = Signature(task="regression", features=features, steps=30, output="life", answers=("low", "high"))
    shop.release(A, signature=signature)
    config = (shop.home / "models" / "toy.UA" / "config.pbtxt").read_text()
    assert 'name: "life", data_type: TYPE_FP32, dims: [ 2 ]' in config
    assert "dims: [ 30, 2 ]" in config


def test_a_manifest_of_an_older_factory_says_to_release_the_model_again(shop):
    data = json.loads(shop.release(A).to_json())
    old = {"features": data.pop("model_signature")["features"], **data}
    with pytest.raises(ModelRefused, match="release the model again"):
        Manifest.from_json(json.dumps(old).encode())


@pytest.mark.parametrize("ends", [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_that_holds_nothing_is_refused(ends):
    with pytest.raises(ValueError, match="the lower first"):
        Guard(ranges={"f0": ends})


def test_another_threshold_is_another_release(shop):
    shop.release(A)
    assert shop.release(A, threshold=0.75).sequence == 2


def test_history_says_what_was_served_and_after_what(shop):
    shop.release(A, version=1)
    shop.release(B, version=2)
    shop.release(A, version=1)
    assert [(m.sequence, m.version, m.previous) for m in shop.repository.history("toy.UA")] == [
        (1, 1, None),
        (2, 2, 1),
        (3, 1, 2),
    ]
    assert load(shop).content == A


def test_an_earlier_release_is_found_by_its_digest_and_checked_as_one_that_is_served(shop):
    shop.release(A, version=7)
    shop.release(B, version=8)
    key = public_key(shop.public)
    assert shop.repository.release_of("toy.UA", digest_of(A), key).content == A
    assert shop.repository.release_of("toy.UA", digest_of(b"another"), key) is None
    file = shop.home / "models" / ".releases" / "toy.UA" / "1" / "7" / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(B)
    with pytest.raises(ModelRefused, match="the file was changed"):
        shop.repository.release_of("toy.UA", digest_of(A), key)


def test_releasing_again_mends_a_tampered_release(shop):
    shop.release(A)
    shop.tamper(B)
    with pytest.raises(ModelRefused, match="was changed"):
        load(shop)
    assert shop.release(A).sequence == 2
    assert load(shop).content == A


def test_a_released_file_cannot_be_written_again(shop):
    shop.release(A)
    assert stat.S_IMODE(shop.file().stat().st_mode) & 0o222 == 0


def rewritten(shop, **changed):
    place = shop.home / "models" / "toy.UA" / "manifest.json"
    data = {**json.loads(place.read_text()), **changed}
    place.unlink()
    place.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.9},
        {"version": 2},
        {"provenance": {}},
        {"verdict": verdict(B).to_dict()},
        {"digest": digest_of(B)},
        {"signature": ""},
        {"signature": "zz"},
        {"signature": "00" * 64},
        {"surprise": 1},
        {"version": "1"},
        {"version": True},
        {"line": "other"},
        {"sequence": 2},
        {"model_signature": {**asdict(binary()), "features": ["f0", "f1", 2]}},
        {"model_signature": {**asdict(binary()), "features": ["f1", "f0", "f2"]}},
        {"model_signature": {**asdict(binary()), "steps": 0}},
        {"model_signature": {**asdict(binary()), "surprise": 1}},
        {"model_signature": "binary"},
        {"guard": {"ranges": {"f0": [0, 1]}, "outside": "tell"}},
        {"guard": {"ranges": {}, "outside": "ignore"}},
    ],
    ids=str,
)
def test_a_manifest_that_was_changed_is_refused(shop, change):
    shop.release(A)
    rewritten(shop, **change)
    with pytest.raises(ModelRefused):
        load(shop)


def test_a_release_from_before_stakes_and_typical_values_were_told_is_served_until_the_next_one(shop):
    """What it says is signed as it was then, with no word of what it did not know."""
    shop.release(A)
    old = {name: value for name, value in shop.repository.current("toy.UA").to_dict().items() if name != "signature"}
    assert "stakes" not in old
    assert set(old["guard"]) == {"ranges", "outside"}
    rewritten(shop, **old, signature=sign(old, shop.key))
    found = load(shop).manifest
    assert (found.stakes, found.guard.typical) == (None, {})
    assert shop.release(A, stakes=MONEY, guard=Guard(typical={"f0": 1.0})).sequence == 2
    assert load(shop).manifest.stakes == MONEY
    assert "constant" not in load(shop).manifest.to_dict()
    assert shop.release(A, stakes=MONEY, constant=1.0, guard=Guard(typical={"f0": 1.0})).sequence == 3
    assert load(shop).manifest.constant == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"stakes": {"right_eur": 500.0, "wrong_eur": -1.0}},
        {"stakes": {"right_eur": 5.0}},
        {"stakes": {"right_eur": 5.0, "wrong_eur": -1.0, "surprise": 1}},
        {"stakes": {"right_eur": -5.0, "wrong_eur": -1.0}},
        {"stakes": None},
        {"guard": {"ranges": {}, "outside": "tell"}},
        {"guard": {"ranges": {}, "outside": "tell", "typical": {"f0": 2.0}}},
        {"guard": {"ranges": {}, "outside": "tell", "typical": {"f0": "2"}}},
    ],
    ids=str,
)
def test_stakes_and_typical_values_that_were_changed_or_taken_away_are_refused(shop, change):
    shop.release(A, stakes=MONEY, guard=Guard(typical={"f0": 1.0}))
    rewritten(shop, **change)
    with pytest.raises(ModelRefused):
        load(shop)


def test_a_manifest_with_a_field_missing_names_it(shop):
    content = shop.release(A).to_json()
    data = json.loads(content)
    del data["threshold"]
    with pytest.raises(ModelRefused, match="threshold"):
        Manifest.from_json(json.dumps(data).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"verdict": 1}'])
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(ModelRefused):
        Manifest.from_json(content)


def test_a_signed_manifest_of_a_failing_verdict_is_not_loaded(shop):
    """Who holds the key cannot wave a failed model through: loading asks the verdict again."""
    manifest = shop.release(A)
    failed = {**manifest.to_dict(), "verdict": verdict(A, "UA", "too few rows").to_dict(), "signature": ""}
    signed = Manifest.from_json(json.dumps(failed).encode()).signed(shop.key)
    rewritten(shop, **signed.to_dict())
    with pytest.raises(ModelRefused, match="too few rows"):
        load(shop)


def test_another_factorys_release_is_refused(shop, tmp_path):
    shop.release(A)
    with pytest.raises(ModelRefused, match="sign"):
        shop.repository.load("toy.UA", signing_key(tmp_path / "stranger").public_key())


def test_another_sites_release_under_this_sites_name_is_refused(shop):
    shop.release(A)
    shop.release(B, site="DL")
    link = shop.home / "models" / "toy.UA"
    link.unlink()
    link.symlink_to(".releases/toy.DL/1")
    with pytest.raises(ModelRefused, match="no release of it"):
        load(shop)


@pytest.mark.parametrize("other", ["toy.DL/1", "toy.UA/1"], ids=["another site", "an older release"])
def test_a_signed_release_in_another_ones_folder_is_refused(shop, other):
    shop.release(A)
    shop.release(A, site="DL")
    shop.release(B, version=2)
    releases = shop.home / "models" / ".releases"
    shutil.rmtree(releases / "toy.UA" / "2")
    shutil.copytree(releases / other, releases / "toy.UA" / "2")
    with pytest.raises(ModelRefused, match="is the manifest of"):
        load(shop)


@pytest.mark.parametrize(
    "target",
    [
        "/etc",
        "../outside/1",
        ".releases/toy.UA/../../../outside/1",
        ".releases/toy.UA",
        ".releases/toy.UA/0",
        ".releases/toy.UA/1/",
        ".releases/toy.UA/1/../1",
        ".releases/toy.UA/\u0661",  # a digit, but not an ASCII one
        ".releases/toy.UA/9",
    ],
)
def test_a_link_to_anything_but_a_release_is_refused(shop, target):
    shop.release(A)
    (shop.home / "outside").mkdir()
    (shop.home / "models" / ".releases" / "toy.UA" / "1").rename(shop.home / "outside" / "1")
    link = shop.home / "models" / "toy.UA"
    link.unlink()
    link.symlink_to(target)
    with pytest.raises(ModelRefused):
        load(shop)
    with pytest.raises(ModelRefused):
        shop.repository.current("toy.UA")


def test_a_release_folder_that_is_itself_a_link_out_is_refused(shop):
    shop.release(A)
    folder = shop.home / "models" / ".releases" / "toy.UA" / "1"
    folder.rename(shop.home / "outside")
    folder.symlink_to(shop.home / "outside")
    with pytest.raises(ModelRefused, match="outside"):
        load(shop)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing"])
def test_a_model_file_that_is_no_plain_file_is_refused_at_once(shop, kind):
    shop.release(A)
    file = shop.file()
    other = file.with_name("other")
    file.rename(other)
    {
        "link": lambda: file.symlink_to(other),
        "pipe": lambda: os.mkfifo(file),
        "folder": file.mkdir,
        "missing": lambda: None,
    }[kind]()
    with pytest.raises(ModelRefused):
        load(shop)


def test_a_plain_folder_in_a_links_place_is_seen_and_refused(shop):
    shop.release(A)
    link = shop.home / "models" / "toy.UA"
    folder = link.resolve()
    link.unlink()
    folder.rename(link)
    assert shop.repository.models() == ["toy.UA"]
    with pytest.raises(ModelRefused, match="not a link"):
        load(shop)


def test_models_lists_only_what_can_be_a_models_name(shop):
    shop.release(A, site="DL")
    shop.release(A, site="AA")
    (shop.home / "models" / "lost+found").mkdir()
    (shop.home / "models" / "notes.txt.bak").write_text("")
    assert shop.repository.models() == ["toy.AA", "toy.DL"]


def test_a_crash_while_writing_leaves_the_old_release_and_is_cleaned_up(shop):
    shop.release(A)
    leftover = shop.home / "models" / ".releases" / "toy.UA" / ".new-2-cafe"
    (leftover / "1").mkdir(parents=True)
    (leftover / "1" / "model.onnx").write_bytes(b"hal")
    assert load(shop).content == A
    assert [m.sequence for m in shop.repository.history("toy.UA")] == [1]
    assert shop.release(B, version=2).sequence == 2
    assert not leftover.exists()
    assert load(shop).content == B


def test_a_crash_before_the_switch_leaves_the_old_release_and_the_next_one_goes_through(shop):
    shop.release(A)
    shop.release(B, version=2)
    releases = shop.home / "models" / ".releases" / "toy.UA"
    link = shop.home / "models" / "toy.UA"
    link.unlink()
    link.symlink_to(".releases/toy.UA/1")  # release 2 is whole, but the rename of the link never happened
    (releases / ".new-link-cafe").symlink_to(".releases/toy.UA/2")
    assert load(shop).content == A
    assert shop.release(B, version=2).sequence == 3
    assert load(shop).content == B
    assert sorted(p.name for p in releases.iterdir()) == ["1", "2", "3"]


KILLED_AT_EACH_CALL = """
import os, sys
from pathlib import Path
from tests.gateway.builders import Shop

def release(home, last_call):
    calls = [0]
    def die(event, args):
        if event in ("os.mkdir", "os.rename", "os.symlink", "open") and home in str(args):
            calls[0] += 1
            if calls[0] == last_call:
                os._exit(9)
    shop = Shop(Path(home))
    sys.addaudithook(die)
    shop.release(b"model b", version=2)

for last_call in range(1, 1000):
    home = f"{sys.argv[1]}/{last_call}"
    Shop(Path(home)).release(b"model a")
    child = os.fork()
    if child == 0:
        release(home, last_call)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_before_any_of_its_system_calls_a_release_leaves_the_old_one_or_the_new_one_whole(tmp_path):
    """A process of its own is killed before the first, the second, … folder, file, rename and link that it makes."""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_CALL, str(tmp_path)], cwd=root, check=True)
    homes = sorted(tmp_path.iterdir(), key=lambda home: int(home.name))
    served = [load(Shop(home)).content for home in homes]
    assert len(served) > 10
    assert set(served) == {A, B}
    assert served == sorted(served)  # the earlier it died, the older what is served
    for home in homes:
        shop = Shop(home)
        assert [m.version for m in shop.repository.history("toy.UA")] in ([1], [1, 2])
        assert shop.release(B, version=2).version == 2
        assert load(shop).content == B
        assert not list((home / "models").rglob(".new-*"))


def release_one(home: str, number: int) -> int:
    return Shop(Path(home)).release(f"model {number}".encode(), version=number).sequence


def test_releases_at_once_from_many_processes_each_get_a_sequence_and_one_is_served_whole(tmp_path):
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        sequences = list(pool.map(release_one, [str(tmp_path)] * 6, range(1, 7)))
    shop = Shop(tmp_path)
    assert sorted(sequences) == [1, 2, 3, 4, 5, 6]
    history = shop.repository.history("toy.UA")
    assert [m.previous for m in history] == [None, 1, 2, 3, 4, 5]
    assert load(shop).manifest == history[-1]


def test_the_same_release_at_once_from_many_threads_is_one_release(shop):
    with ThreadPoolExecutor(4) as pool:
        manifests = list(pool.map(lambda _: shop.release(A), range(8)))
    assert {m.sequence for m in manifests} == {1}
    assert len(shop.repository.history("toy.UA")) == 1


def test_readers_never_see_half_a_release(shop):
    shop.release(A)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [shop.release((A, B)[n % 2], version=n + 1) for n in range(1, 20)])
        seen = 0
        while not writing.done():
            assert load(shop).content in (A, B)
            seen += 1
        writing.result()
    assert seen > 1


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
figures = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names
)


@settings(max_examples=50, deadline=None)
@given(
    features=st.lists(names, min_size=1, max_size=5, unique=True),
    steps=st.none() | st.integers(1, 3),
    figures=st.dictionaries(names, figures, max_size=5),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    stakes=st.none() | st.builds(Payoff, right_eur=st.floats(1e-9, 1e9), wrong_eur=st.floats(-1e9, 0)),
    typical=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_manifest_comes_back_from_json_as_it_was_with_a_signature_that_holds(
    tmp_path_factory, features, steps, figures, threshold, value, stakes, typical
):
    key = signing_key(tmp_path_factory.getbasetemp() / "one-key")
    signature = Signature(task="multiclass", features=tuple(features), steps=steps, output="o", answers=("a", "b"))
    manifest = Manifest(
        line="toy",
        site="UA",
        model="toy.UA",
        version=1,
        digest=digest_of(A),
        verdict=Verdict(line="toy", site="UA", digest=digest_of(A), passed=True, reasons=(), figures=figures),
        model_signature=signature,
        threshold=threshold,
        released_at="2026-01-01T00:00:00+00:00",
        provenance={},
        example=(value,) * signature.input_size,
        sequence=1,
        previous=None,
        guard=Guard(
            ranges={features[0]: (-1.0, 1.5)},
            typical={} if typical is None else {features[0]: typical},
            outside="abstain",
        ),
        stakes=stakes,
    ).signed(key)
    back = Manifest.from_json(manifest.to_json())
    assert back == manifest
    back.require_signature(key.public_key())


def test_the_key_is_its_owners_alone_and_stays_the_same(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: signing_key(tmp_path / "keys"), range(16)))
    assert len({key.private_bytes_raw() for key in keys}) == 1
    assert stat.S_IMODE((tmp_path / "keys" / "release.key").stat().st_mode) == 0o600
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == ["release.key", "release.pub"]
    assert public_key(tmp_path / "keys" / "release.pub") == keys[0].public_key()


def test_a_damaged_or_missing_key_is_named(tmp_path):
    (tmp_path / "release.key").write_text("nonsense")
    with pytest.raises(ReleaseRefused, match=r"release\.key"):
        signing_key(tmp_path)
    with pytest.raises(ModelRefused, match=r"release\.pub"):
        public_key(tmp_path / "release.pub")


def test_a_repository_under_a_linked_home_works(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    shop = Shop(tmp_path / "linked")
    shop.release(A)
    assert load(shop).content == A
    assert ModelRepository(tmp_path / "real" / "models").models() == ["toy.UA"]


def test_releases_that_were_brought_back_from_before_the_history_get_no_number_twice(shop, tmp_path):
    shop.release(A, version=1)
    shutil.copytree(shop.home / "models", tmp_path / "backup", symlinks=True)
    shop.release(B, version=2)
    shutil.rmtree(shop.home / "models")
    shutil.copytree(tmp_path / "backup", shop.home / "models", symlinks=True)
    assert load(shop).manifest.sequence == 1
    again = shop.release(b"model c", version=3)
    assert (again.sequence, load(shop).content) == (3, b"model c")
    recorded = [(one.release, one.digest) for one in shop.repository.site_history.read("toy.UA").records()]
    assert len({release for release, _ in recorded}) == len(set(recorded)) == 3
