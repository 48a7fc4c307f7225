"""A trial beside what is served: as permitted, signed and on record as a release, and never in its place."""

import json
import shutil
from dataclasses import replace

import pytest

from factory.errors import ModelRefused, ReleaseRefused
from factory.model.verdict import digest_of
from factory.release import Draft, Guard, ModelRepository, Terms
from factory.release.history import Event, findings
from factory.release.rollback import roll_back
from factory.release.signing import signing_key
from tests.gateway.builders import Shop, binary, onnx_model, verdict

MODEL = "toy.UA"
CHAMPION, CHALLENGER, THIRD = onnx_model(), onnx_model(bias=1.0), onnx_model(bias=2.0)
TERMS = Terms(mode="canary", share=0.1, by="lena", reason="see first")


@pytest.fixture
def shop(tmp_path):
    """A site that serves release 1."""
    shop = Shop(tmp_path)
    shop.release(CHAMPION, version=1)
    return shop


def draft(content, version=2, **changed):
    parts = {
        "content": content,
        "line": "toy",
        "site": "UA",
        "version": version,
        "verdict": verdict(content),
        "signature": binary(),
        "threshold": 0.25,
        "provenance": {},
        "example": (1.0, 2.0, 3.0),
        "guard": Guard(),
    }
    return Draft(**{**parts, **changed})


def try_out(shop, content=CHALLENGER, terms=TERMS, **changed):
    return shop.repository.try_out(draft(content, **changed), terms, key=shop.key)


def running(shop):
    return shop.repository.trial(MODEL, shop.key.public_key())


def served(shop):
    return shop.repository.load(MODEL, shop.key.public_key()).manifest


def kinds(shop):
    return [record.kind for record in shop.repository.site_history.read(MODEL).records()]


def last(shop):
    return shop.repository.site_history.read(MODEL).records()[-1]


def sound(shop):
    """The history is as it was written, and knows every release that lies in the repository."""
    releases = {one.sequence: one.digest for one in shop.repository.history(MODEL)}
    return findings(shop.repository.site_history.read(MODEL), shop.key.public_key(), releases=releases) == []


def rewrite(shop, **changed):
    """Change the trial's file by hand, its signature left as it was."""
    place = shop.home / "models" / ".trials" / f"{MODEL}.json"
    told = {**json.loads(place.read_text()), **changed}
    place.unlink()
    place.write_text(json.dumps(told))


def test_a_trial_lies_beside_what_is_served_which_stays_as_it_is(shop):
    before, marker = served(shop), shop.repository.marker(MODEL)
    trial = try_out(shop)
    assert (trial.release, trial.beside, trial.version, trial.digest) == (2, 1, 2, digest_of(CHALLENGER))
    assert running(shop) == trial
    assert shop.repository.tried(trial, shop.key.public_key()).content == CHALLENGER
    assert (served(shop), shop.repository.marker(MODEL)) == (before, marker)
    assert (last(shop).kind, last(shop).actor, last(shop).release) == ("trial", "lena", 2)
    assert last(shop).digest == digest_of(CHALLENGER)
    assert last(shop).verdict
    assert sound(shop)


def test_the_same_trial_again_changes_nothing(shop):
    trial = try_out(shop)
    shape = sorted(str(place) for place in shop.home.rglob("*"))
    assert try_out(shop, terms=replace(TERMS, share=0.5, by="the line")) == trial
    assert sorted(str(place) for place in shop.home.rglob("*")) == shape
    assert kinds(shop) == ["release", "trial"]


def test_a_newer_trial_replaces_the_one_before(shop):
    try_out(shop)
    assert try_out(shop, THIRD, version=3).release == 3
    assert running(shop).release == 3
    assert kinds(shop) == ["release", "trial", "trial_end", "trial"]
    assert try_out(shop).release == 2  # nobody said no to it, and its files lie there already
    assert sound(shop)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verdict": verdict(CHALLENGER, "UA", "too late")}, "did not pass its gates"),
        ({"verdict": verdict(CHAMPION)}, "is for another file"),
        ({"verdict": verdict(CHALLENGER, "DL")}, "verdict shown is for toy.DL"),
        ({"signature": binary(4), "example": (1.0,) * 4}, "takes or gives other than release 1"),
    ],
    ids=["refused", "another file's", "another site's", "other features"],
)
def test_what_may_not_be_released_is_not_tried_and_nothing_is_written(shop, change, why):
    before = files(shop)
    with pytest.raises(ReleaseRefused, match=why):
        try_out(shop, **change)
    assert files(shop) == before


def files(shop):
    return sorted(str(place) for place in shop.home.rglob("*") if place.suffix != ".lock")


def test_what_is_served_is_no_trial_and_without_a_champion_there_is_none(shop, tmp_path):
    with pytest.raises(ReleaseRefused, match="is what is served, as release 1"):
        try_out(shop, CHAMPION)
    with pytest.raises(ReleaseRefused, match="nothing whole is served"):
        Shop(tmp_path / "new").repository.try_out(draft(CHALLENGER), TERMS, key=shop.key)


def test_the_sites_history_permits_a_trial_as_it_permits_a_release(shop):
    with pytest.raises(ReleaseRefused, match="wants a person's approval"):
        shop.repository.try_out(draft(CHALLENGER), TERMS, key=shop.key, approval_required=True)
    shop.release(THIRD, version=3)
    roll_back(shop.repository, MODEL, to=None, by="otto", reason="late", key=shop.key)
    with pytest.raises(ReleaseRefused, match="holds it on release 1"):
        try_out(shop)
    shop.repository.site_history.append(MODEL, Event(kind="allowance", actor="otto", reason="mended"), shop.key)
    with pytest.raises(ReleaseRefused, match="took this very file out of service"):
        shop.repository.start_trial(MODEL, 2, TERMS, key=shop.key)
    assert try_out(shop).release == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"share": 1.0},
        {"mode": "shadow"},
        {"digest": digest_of(THIRD)},
        {"release": 3},
        {"beside": 2},
        {"mode": "champion"},
        {"share": 7.0},
    ],
    ids=str,
)
def test_a_trial_that_somebody_changed_is_refused(shop, changed):
    try_out(shop)
    rewrite(shop, **changed)
    with pytest.raises(ModelRefused):
        running(shop)
    assert served(shop).sequence == 1


def test_a_trial_signed_by_a_stranger_is_refused(shop, tmp_path):
    trial = try_out(shop)
    stranger = signing_key(tmp_path / "stranger")
    rewrite(shop, signature=trial.signed(stranger).signature)
    with pytest.raises(ModelRefused, match="not signed by this factory's release key"):
        running(shop)


def test_a_trial_whose_model_file_was_changed_is_not_loaded(shop):
    trial = try_out(shop)
    file = shop.home / "models" / ".releases" / MODEL / "2" / "2" / "model.onnx"
    file.unlink()
    file.write_bytes(THIRD)
    with pytest.raises(ModelRefused, match="the file was changed"):
        shop.repository.tried(trial, shop.key.public_key())


def test_a_signed_trial_of_another_digest_than_its_release_is_not_loaded(shop):
    trial = try_out(shop)
    other = replace(trial, digest=digest_of(THIRD)).signed(shop.key)
    with pytest.raises(ModelRefused, match="on trial is"):
        shop.repository.tried(other, shop.key.public_key())


def test_a_trial_of_one_site_is_none_of_another(shop):
    try_out(shop)
    shop.release(CHAMPION, site="DL")
    trials = shop.home / "models" / ".trials"
    shutil.copy(trials / "toy.UA.json", trials / "toy.DL.json")
    with pytest.raises(ModelRefused, match=r"is the trial of toy\.UA"):
        shop.repository.trial("toy.DL", shop.key.public_key())


def test_a_newer_release_ends_the_trial_and_an_old_trials_file_put_back_is_over(shop):
    try_out(shop)
    place = shop.home / "models" / ".trials" / f"{MODEL}.json"
    kept = place.read_bytes()
    assert shop.release(THIRD, version=3).sequence == 3
    assert running(shop) is None
    assert not place.exists()
    assert kinds(shop) == ["release", "trial", "release", "trial_end"]
    place.write_bytes(kept)
    assert running(shop) is None


def test_a_rollback_ends_the_trial_also_one_to_what_is_served(shop):
    try_out(shop)
    roll_back(shop.repository, MODEL, to=1, by="otto", reason="freeze", key=shop.key)
    assert running(shop) is None
    assert kinds(shop) == ["release", "trial", "rollback", "trial_end"]


def test_a_person_ends_a_trial_and_only_a_person_begins_it_again(shop):
    try_out(shop)
    ended = shop.repository.end_trial(MODEL, by="otto", reason="worse", key=shop.key)
    assert ended.release == 2
    assert running(shop) is None
    assert (last(shop).kind, last(shop).withdrawn) == ("trial_end", digest_of(CHALLENGER))
    for attempt in (lambda: try_out(shop), lambda: shop.release(CHALLENGER, version=2)):
        with pytest.raises(ReleaseRefused, match="factory trial start UA --release 2"):
            attempt()
    with pytest.raises(ReleaseRefused, match="no trial that could be ended"):
        shop.repository.end_trial(MODEL, by="otto", reason="worse", key=shop.key)
    shadow = Terms(mode="shadow", share=1.0, by="otto", reason="once more")
    assert shop.repository.start_trial(MODEL, 2, shadow, key=shop.key).mode == "shadow"
    assert running(shop).by == "otto"
    assert sound(shop)


def test_a_trial_that_cannot_be_read_can_be_ended(shop):
    try_out(shop)
    rewrite(shop, share=9.0)
    assert shop.repository.end_trial(MODEL, by="otto", reason="broken", key=shop.key) is None
    assert shop.repository.trial_token(MODEL) is None


def test_a_promoted_trial_is_the_sites_newest_release_and_the_trial_is_over(shop):
    trial = try_out(shop)
    manifest = shop.repository.promote_trial(trial, by="lena", reason="better", key=shop.key)
    assert served(shop) == manifest
    assert (manifest.digest, manifest.version, manifest.previous) == (trial.digest, trial.version, 1)
    assert running(shop) is None
    assert kinds(shop) == ["release", "trial", "trial_promotion", "release", "trial_end"]
    due = shop.repository.unregistered(MODEL, shop.key.public_key())
    assert (due.kind, due.actor, due.version) == ("trial_promotion", "lena", 2)
    assert sound(shop)
    assert roll_back(shop.repository, MODEL, to=None, by="otto", reason="no", key=shop.key).sequence == 1


def test_a_trial_that_is_over_is_not_promoted(shop):
    trial = try_out(shop)
    shop.release(THIRD, version=3)
    with pytest.raises(ReleaseRefused, match="is over"):
        shop.repository.promote_trial(trial, by="lena", reason="better", key=shop.key)
    assert served(shop).version == 3


def test_a_promotion_is_refused_where_the_history_was_changed(shop):
    trial = try_out(shop)
    place = shop.home / "history" / f"{MODEL}.jsonl"
    place.write_text(place.read_text().replace("see first", "all fine!"))
    with pytest.raises(ReleaseRefused, match="its history was changed"):
        shop.repository.promote_trial(trial, by="lena", reason="better", key=shop.key)
    assert served(shop).sequence == 1
    assert kinds(shop) == ["release", "trial"]  # nothing was promoted, and nothing says so


def test_there_is_no_rollback_to_what_was_only_tried(shop):
    try_out(shop)
    with pytest.raises(ReleaseRefused, match="was on trial and never served"):
        roll_back(shop.repository, MODEL, to=2, by="otto", reason="shortcut", key=shop.key)
    assert served(shop).sequence == 1


def test_a_trials_release_that_a_hand_made_the_served_one_stops_further_releases(shop):
    try_out(shop)
    shop.repository.switch(MODEL, 2)
    with pytest.raises(ReleaseRefused, match="is served without a record of its release"):
        shop.release(THIRD, version=3)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        replace(TERMS, share=share)


class Dying(ModelRepository):
    """A repository whose writer dies before one step."""

    def __init__(self, shop, step):
        super().__init__(shop.home / "models")
        self.step = step

    def put(self, *given):
        self.die("put")
        super().put(*given)

    def put_trial(self, *given):
        self.die("put_trial")
        super().put_trial(*given)

    def drop_trial(self, *given):
        self.die("drop_trial")
        super().drop_trial(*given)

    def switch(self, *given):
        self.die("switch")
        super().switch(*given)

    def die(self, step):
        if step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["put", "put_trial"])
def test_a_beginning_that_died_is_made_good_by_doing_it_again(shop, step):
    with pytest.raises(KeyboardInterrupt):
        Dying(shop, step).try_out(draft(CHALLENGER), TERMS, key=shop.key)
    assert running(shop) is None
    assert try_out(shop).release == 2
    assert kinds(shop) == ["release", "trial"]
    assert shop.repository.sequences(MODEL) == [1, 2]
    assert sound(shop)


def test_an_end_that_died_is_made_good_by_doing_it_again(shop):
    try_out(shop)
    with pytest.raises(KeyboardInterrupt):
        Dying(shop, "drop_trial").end_trial(MODEL, by="otto", reason="worse", key=shop.key)
    shop.repository.end_trial(MODEL, by="otto", reason="worse", key=shop.key)
    assert running(shop) is None
    assert kinds(shop) == ["release", "trial", "trial_end"]


@pytest.mark.parametrize("step", ["put", "drop_trial"])
def test_a_promotion_that_died_is_made_good_by_doing_it_again(shop, step):
    trial = try_out(shop)
    with pytest.raises(KeyboardInterrupt):
        Dying(shop, step).promote_trial(trial, by="lena", reason="better", key=shop.key)
    assert served(shop).sequence == 1
    assert running(shop) == trial
    assert shop.repository.unregistered(MODEL, shop.key.public_key()) is None
    assert shop.repository.promote_trial(trial, by="lena", reason="better", key=shop.key).version == 2
    assert (served(shop).version, running(shop)) == (2, None)
    assert sound(shop)
