"""What a fetch promises: verified files or none, whatever the network and the archive do. Over real HTTP."""

import gzip
import io
import socket
import zipfile
from dataclasses import replace
from hashlib import sha256

import pytest

from factory.connectors.download import Archive, Published, fetch, lacking, read_digests, require_web
from factory.errors import FetchError
from tests.connectors.file_server import serving

FILES = {"train.txt": b"1 2 3\n" * 1000, "test.txt": b"4 5 6\n" * 500}


@pytest.fixture
def web():
    with serving() as web:
        yield web


def zipped(members):
    """The bytes of a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def nested(members):
    """A zip that holds `data.zip` in a folder, which holds the members."""
    return zipped({"Data Set/data.zip": zipped(members), "Data Set/readme.txt": b"read me"})


def digest(content):
    return sha256(content).hexdigest()


def published(web, folder, content, **changed):
    """The two files, as the server has them at /data.zip."""
    web.files["/data.zip"] = content
    archive = Archive(
        address=f"{web.address}/data.zip",
        digest=digest(content),
        page="https://example.com/data",
        within="data.zip",
        at_most_bytes=1_000_000,
    )
    files = {name: digest(known) for name, known in FILES.items()}
    return Published(line="presses", folder=folder, files=files, archive=replace(archive, **changed))


def left_in(folder):
    return sorted(place.name for place in folder.iterdir())


def test_files_are_brought_from_a_zip_in_a_zip_and_what_is_there_is_not_fetched_again(web, tmp_path):
    wanted = published(web, tmp_path / "new" / "data", nested(FILES))
    told = []
    assert fetch(wanted, told.append) == ["train.txt", "test.txt"]
    assert {name: (wanted.folder / name).read_bytes() for name in FILES} == FILES
    assert left_in(wanted.folder) == ["test.txt", "train.txt"]
    assert lacking(wanted) == []
    assert any("train.txt: verified" in text for text in told)
    assert fetch(wanted, told.append) == []
    assert web.asked == ["/data.zip"]


def test_only_what_is_lacking_is_brought_and_a_packed_file_counts(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(FILES["train.txt"]))
    assert lacking(wanted) == [f"{tmp_path / 'test.txt'} is missing"]
    assert fetch(wanted, print) == ["test.txt"]
    assert left_in(tmp_path) == ["test.txt", "train.txt.gz"]


def test_a_file_that_was_cut_off_is_noticed_and_replaced(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    (tmp_path / "train.txt").write_bytes(FILES["train.txt"][:-6])
    (tmp_path / "test.txt.gz").write_bytes(gzip.compress(FILES["test.txt"])[:20])
    faults = " ".join(lacking(wanted))
    assert "train.txt has SHA-256" in faults
    assert "test.txt cannot be read" in faults
    fetch(wanted, print)
    assert lacking(wanted) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda wanted, web: replace(wanted, archive=replace(wanted.archive, digest="0" * 64)), "not the 0000"),
        (lambda wanted, web: replace(wanted, files={**wanted.files, "test.txt": "f" * 64}), "test.txt has SHA-256"),
        (lambda wanted, web: replace(wanted, files={**wanted.files, "third.txt": "f" * 64}), "0 files named third.txt"),
        (lambda wanted, web: replace(wanted, archive=replace(wanted.archive, at_most_bytes=100)), "larger than 100"),
        (lambda wanted, web: web.cut.add("/data.zip") or wanted, "ended after"),
        (lambda wanted, web: web.files.clear() or wanted, "404"),
    ],
    ids=["another archive", "another file", "a file not in it", "too large", "cut connection", "gone"],
)
def test_whatever_is_wrong_no_file_of_another_content_is_left(web, tmp_path, spoil, says):
    wanted = spoil(published(web, tmp_path / "data", nested(FILES)), web)
    with pytest.raises(FetchError, match=says):
        fetch(wanted, print)
    for name in left_in(wanted.folder):
        assert (wanted.folder / name).read_bytes() == FILES[name]


def test_a_fetch_after_a_cut_connection_starts_anew_and_completes(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    web.cut.add("/data.zip")
    with pytest.raises(FetchError):
        fetch(wanted, print)
    assert left_in(tmp_path) == []
    web.cut.clear()
    assert fetch(wanted, print) == list(FILES)


def test_a_server_that_fails_once_is_asked_again(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    web.failing["/data.zip"] = 1
    assert fetch(wanted, print) == list(FILES)
    assert web.asked == ["/data.zip", "/data.zip"]


def test_what_is_not_there_is_not_asked_for_again(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    web.files.clear()
    with pytest.raises(FetchError, match="404 Not Found") as refused:
        fetch(wanted, print)
    assert "https://example.com/data" in str(refused.value)
    assert web.asked == ["/data.zip"]


def test_an_encrypted_address_is_not_left_for_one_in_clear():
    with pytest.raises(FetchError, match=r"redirects to http://b\.example/x, which is refused: only https://$"):
        require_web("http://b.example/x", "https://a.example/x")
    require_web("https://b.example/x", "https://a.example/x")
    require_web("http://b.example/x", "http://a.example/x")


def test_a_redirect_within_the_web_is_followed(web, tmp_path):
    wanted = published(web, tmp_path, nested(FILES))
    web.moved["/old.zip"] = f"{web.address}/data.zip"
    old = replace(wanted, archive=replace(wanted.archive, address=f"{web.address}/old.zip"))
    assert fetch(old, print) == list(FILES)


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_a_redirect_to_a_file_of_this_machine_is_refused(web, tmp_path, scheme):
    secret = tmp_path / "secret.zip"
    secret.write_bytes(nested(FILES))
    wanted = published(web, tmp_path / "data", nested(FILES))
    web.moved["/data.zip"] = f"{scheme}://{secret}"
    with pytest.raises(FetchError, match=r"not allowed|refused"):
        fetch(wanted, print)
    assert left_in(wanted.folder) == []


def test_an_address_that_is_a_file_is_refused(web, tmp_path):
    (tmp_path / "data.zip").write_bytes(nested(FILES))
    wanted = published(web, tmp_path / "data", nested(FILES), address=f"file://{tmp_path / 'data.zip'}")
    with pytest.raises(FetchError, match="unknown url type: file"):
        fetch(wanted, print)


def test_a_zip_whose_members_lead_out_of_the_folder_writes_in_the_folder_alone(web, tmp_path):
    sly = nested({"../../train.txt": FILES["train.txt"], "/etc/test.txt": FILES["test.txt"], "../../worm.txt": b"worm"})
    wanted = published(web, tmp_path / "a" / "b", sly)
    fetch(wanted, print)
    assert left_in(wanted.folder) == ["test.txt", "train.txt"]
    assert left_in(tmp_path / "a") == ["b"]
    assert left_in(tmp_path) == ["a"]


def test_a_file_that_unpacks_into_more_than_allowed_is_stopped(web, tmp_path):
    bomb = zipped({"data.zip": zipped({"train.txt": b"\0" * 5_000_000, "test.txt": b""})})
    with pytest.raises(FetchError, match="larger than 1,000,000 bytes"):
        fetch(published(web, tmp_path, bomb), print)
    assert left_in(tmp_path) == []


def test_without_a_network_it_says_which_files_from_where_into_which_folder_and_their_digests(web, tmp_path):
    wanted = published(web, tmp_path / "data", nested(FILES), address=f"http://127.0.0.1:{unused_port()}/data.zip")
    with pytest.raises(FetchError) as refused:
        fetch(wanted, print)
    said = str(refused.value)
    assert "https://example.com/data" in said
    assert str(tmp_path / "data") in said
    for name, content in FILES.items():
        assert f"{digest(content)}  {name}" in said
    assert left_in(tmp_path / "data") == []


def test_a_folder_that_cannot_be_made_is_told_as_such(web, tmp_path):
    (tmp_path / "data").write_text("a file is in the way")
    with pytest.raises(FetchError, match=r"data"):
        fetch(published(web, tmp_path / "data", nested(FILES)), print)


def test_digests_are_read_as_sha256sum_writes_them(tmp_path):
    (tmp_path / "SHA256SUMS").write_text("# a remark\naa  one.txt\nbb *two.txt\n\n")
    assert read_digests(tmp_path / "SHA256SUMS") == {"one.txt": "aa", "two.txt": "bb"}


def unused_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
