"""Only a part of a home is brought back from an older backup: it is said which, and the next run goes on."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from factory.cli.home_parts import unfit
from factory.release.history import History
from factory.storage.home import Home
from tests.orchestration.test_tidied_registry import DAYS, MODEL, Registry, require_sound, toy_at
from tests.toy.line import NAME

pytestmark = pytest.mark.slow
LATER = "2024-03-05"
PARTS = {
    "lake": (["lake"], []),
    "registry": (["mlflow.db", "artifacts"], [f"MLflow lacks {MODEL} version 2, which the lake says was made"]),
    "artifacts": (["artifacts"], []),
    "releases": (["models"], [f"releases lack release 2 of {MODEL}, on record in its history"]),
    "lake and registry": (["lake", "mlflow.db", "artifacts"], ["MLflow lacks version 2, which"]),
}


def whole(database):
    """Put what is in a database's write-ahead log into the file, as a backup by SQLite's own means does."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """A home as it was after one run, and after another one."""
    folder = tmp_path_factory.mktemp("homes")
    older, newer = folder / "older", folder / "newer"
    assert toy_at(older).run(until=DAYS[0]) == 0
    whole(older / "mlflow.db")
    shutil.copytree(older, newer, symlinks=True)
    assert toy_at(newer).run(until=DAYS[1]) == 0
    whole(newer / "mlflow.db")
    return older, newer


def restored(homes, tmp_path, parts):
    """The newer home with some parts of the older one."""
    older, newer = homes
    home = tmp_path / "home"
    shutil.copytree(newer, home, symlinks=True)
    for part in parts:
        place = home / part
        if place.is_dir():
            shutil.rmtree(place)
            shutil.copytree(older / part, place, symlinks=True)
        else:
            for file in home.glob(f"{part}*"):
                file.unlink()
            shutil.copy(older / part, place)
    return home


@pytest.mark.parametrize("what", PARTS)
def test_what_is_behind_is_told_and_the_next_runs_go_on_with_no_number_twice(homes, tmp_path, what):
    parts, words = PARTS[what]
    home = restored(homes, tmp_path, parts)
    told = "; ".join(unfit(Home.at(home))[NAME])
    assert all(word in told for word in words), told
    assert bool(told) == bool(words)
    used = dict(files(home))
    for day in (DAYS[1], LATER):
        toy = toy_at(home)
        assert toy.run(until=day) == 0, toy.outcome.failed
        require_sound(toy_at(home))
    assert unfit(Home.at(home))[NAME] == []
    for version, file in files(home):
        assert used.setdefault(version, file) == file, f"version {version} is another file"
    recorded = [(one.release, one.digest) for one in History(home / "history").read(MODEL).records() if one.release]
    assert len({release for release, _ in recorded}) == len(set(recorded))


def files(home):
    """Each version that was ever released or registered, and its file's digest."""
    of_releases = [(one.version, one.digest) for one in History(home / "history").read(MODEL).records() if one.version]
    return [*of_releases, *((int(one.version), one.tags["digest"]) for one in Registry(home).versions(MODEL))]
