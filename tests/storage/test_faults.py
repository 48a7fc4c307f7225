"""A disk that is full, read-only, forbidden or gone: one sentence, whichever library stumbled over it."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from factory.errors import FactoryError, LakeError, LineError, StorageError
from factory.storage.atomic_files import create_file
from factory.storage.faults import make_folder, storage_error, storage_faults
from factory.storage.lake import Lake

ROOT = Path(__file__).resolve().parents[2]


def wrapped(error):
    """An error as another library raises it, with this one behind it."""
    try:
        try:
            raise error
        except type(error) as cause:
            raise RuntimeError("while saving") from cause
    except RuntimeError as whole:
        return whole


FULL = "is full \\(.* MB free of .* MB\\).*Make room there, best 2 GB"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), FULL),
        (OSError("Generic LocalFileSystem error: No space left on device (os error 28)"), FULL),
        (pl.exceptions.ComputeError("cannot write: No space left on device (os error 28)"), FULL),
        (sqlite3.OperationalError("database or disk is full"), FULL),
        (sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), FULL),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), FULL),
        (OSError(errno.EROFS, "Read-only file system"), "is on a read-only disk.*Mount it for writing"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "read-only database"),
        (PermissionError(errno.EACCES, "Permission denied"), "may not write or read there.*chown"),
        (OSError("Permission denied (os error 13)"), "may not write or read there.*chown"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "is a file and should be a folder.*Move that file away"),
        (OSError(errno.ESTALE, "Stale file handle"), "does not answer.*is its mount gone"),
        (OSError(errno.EIO, "Input/output error"), "does not answer"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files open.*ulimit -n"),
        (OSError(errno.EFBIG, "File too large"), "may not grow any larger"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "too long a path"),
    ],
)
def test_what_a_disk_refuses_is_one_sentence_that_names_folder_what_is_kept_and_what_to_do(tmp_path, error, sentence):
    with pytest.raises(StorageError, match=sentence) as caught, storage_faults(tmp_path):
        raise error
    assert caught.value.__cause__ is error
    assert str(tmp_path) in str(caught.value)
    assert "what was finished before is kept and what is served goes on" in str(caught.value)
    assert str(caught.value).endswith("then run the same command again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("No"), FileNotFoundError(errno.ENOENT, "x"), ConnectionRefusedError(111, "x")]
)
def test_what_is_no_refusal_of_a_disk_goes_through_as_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught, storage_faults(tmp_path):
        raise error
    assert caught.value is error
    assert storage_error(error, tmp_path) is None


def test_our_own_errors_go_through_as_they_are(tmp_path):
    with pytest.raises(LineError, match="mine"), storage_faults(tmp_path):
        raise LineError("mine")


def test_the_file_that_the_system_names_is_named(tmp_path):
    file = tmp_path / "a file"
    file.write_text("")
    with pytest.raises(StorageError, match=f"{file} is a file and should be a folder"), storage_faults("/home"):
        create_file(file / "below", b"x", mode=0o600)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_home_where_the_disk_takes_no_folder_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="/proc/nothing/dagster cannot be made: /proc takes no folder"):
        make_folder(Path("/proc/nothing/dagster"))
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_that_may_not_grow_is_told_of_and_nothing_half_written_is_taken_for_whole(tmp_path):
    program = (
        "import resource, sys, polars as pl\n"
        "from factory.storage.lake import Lake\n"
        "lake = Lake(sys.argv[1], 'orders')\n"
        "rows = pl.DataFrame({'site': ['a'] * 1000, 'x': range(1000)})\n"
        "lake.append('raw/o', rows, {'a': 0})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "lake.append('raw/o', rows, {'a': 1})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert "LakeError: line orders: the lake's table 'raw/o'" in last
    assert "may not grow any larger" in last
    assert Lake(tmp_path, "orders").scan("raw/o").collect().height == 1000


ON_A_SMALL_DISK = """
import sys
from pathlib import Path

import polars as pl

from factory.storage.atomic_files import replace_file
from factory.storage.faults import storage_faults
from factory.storage.lake import Lake

lake = Lake(sys.argv[1], "orders")
try:
    for number in range(1000):
        lake.append("raw/o", pl.DataFrame({"site": ["a"], "x": ["%050d" % number]}), {"a": number})
except Exception as error:
    print(type(error).__name__, error, lake.scan("raw/o").collect().height == number)
try:
    with storage_faults("/nowhere"):
        replace_file(Path(sys.argv[1], "page"), b"x" * 500_000, mode=0o600)
except Exception as error:
    print(type(error).__name__, error)
"""
MOUNTED = 'mount -t tmpfs -o size=400k tmpfs "$1" && exec "$2" -c "$3" "$1"'


def test_on_a_disk_that_is_really_full_the_lake_and_our_own_files_say_so(tmp_path):
    mounts = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*mounts, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("no disk may be mounted here")
    words = [*mounts, "bash", "-c", MOUNTED, "bash", str(tmp_path), sys.executable, ON_A_SMALL_DISK]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    lake, file = [line for line in done.stdout.splitlines() if "Error" in line]
    assert lake.startswith("LakeError line orders: the lake's table 'raw/o'")
    assert f"the disk of {tmp_path}" in lake
    assert "is full" in lake
    assert lake.endswith("True"), "the table has rows of a write that failed, or lacks some of one that did not"
    assert file.startswith(f"StorageError the disk of {tmp_path} is full")


@pytest.fixture
def lake(tmp_path):
    """Return a lake with a table of two sites."""
    lake = Lake(tmp_path, "orders")
    lake.append("raw/o", pl.DataFrame({"site": ["a", "b"], "x": [1, 2]}), {"a": 0, "b": 0})
    return lake


@pytest.mark.parametrize(("content", "wrong"), [(None, "is missing"), (b"junk", "is damaged"), ("half", "is damaged")])
def test_a_file_of_the_lake_that_cannot_be_read_is_named_with_its_table_and_what_to_do(lake, tmp_path, content, wrong):
    file = next(tmp_path.rglob("site=b/*.parquet"))
    whole = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(LakeError) as caught, lake.faults():
        lake.scan("raw/o").collect()
    for words in ("line orders", "'raw/o'", wrong, file.name, "bring it back from a backup"):
        assert words in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError | pl.exceptions.PolarsError)


@pytest.mark.parametrize("damage", ["junk", "gone", "empty"])
def test_a_log_of_the_lake_that_cannot_be_read_is_named_with_its_table(lake, tmp_path, damage):
    first = sorted(tmp_path.rglob("_delta_log/*.json"))[0]
    first.unlink()
    if damage != "gone":
        first.write_bytes(b'{"add": broken' if damage == "junk" else b"")
    with pytest.raises(LakeError, match=r"line orders: the lake's table 'raw/o' at .* cannot be opened") as caught:
        Lake(tmp_path, "orders").scan("raw/o")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_told_without_the_plan(lake):
    with (
        pytest.raises(LineError, match=r'line orders: unable to find column "y"; valid columns: .*"x"') as caught,
        lake.faults(),
    ):
        lake.scan("raw/o").select("y").collect()
    assert "plan" not in str(caught.value)


def test_an_object_store_that_does_not_answer_is_named_and_its_secret_is_not():
    options = {
        "aws_region": "eu", "aws_access_key_id": "AKIAXYZ", "aws_secret_access_key": "topsecretvalue",
        "endpoint_url": "http://127.0.0.1:9", "allow_http": "true", "max_retries": "0",
    }  # fmt: skip
    lake = Lake("s3://bucket/lake", "orders", options)
    for call in (lambda: lake.scan("raw/o"), lambda: lake.append("raw/o", pl.DataFrame({"site": ["a"]}), {"a": 0})):
        with pytest.raises(LakeError, match=r"s3://bucket/lake/orders/raw/o .*127\.0\.0\.1:9") as caught:
            call()
        assert "topsecretvalue" not in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_what_is_ours_or_unknown_goes_through_a_lake_as_it_is(lake):
    for error in (FactoryError("mine"), KeyError("x")):
        assert lake.explained(error) is error
