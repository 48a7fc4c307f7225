"""Promises for tables that lie elsewhere: read as those beside us, fetched once a version, secrets never shown."""

import http.server
import threading
import traceback
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import pytest

from factory.connectors.tables import remote
from factory.errors import SourceError
from factory.storage.columns import FILE
from tests.connectors.file_server import serving
from tests.connectors.tables.reading import rows_in, values_in

ORDERS = b"id,kg\n1,2\n3,4\n"


def test_a_file_at_a_web_address_is_read_and_told_by_its_name(tmp_path):
    with serving() as web:
        web.files["/exports/orders.csv"] = ORDERS
        web.moved["/old.csv"] = "/exports/orders.csv"
        rows = rows_in(tmp_path, f"{web.address}/exports/orders.csv")
        assert rows["id"].to_list() == ["1", "3"]
        assert rows[FILE].unique().to_list() == ["orders.csv"]
        assert values_in(tmp_path, f"{web.address}/old.csv") == [("1", "2"), ("3", "4")]


def test_what_changes_there_is_read_anew(tmp_path):
    with serving() as web:
        web.files["/orders.csv"] = ORDERS
        assert len(rows_in(tmp_path, f"{web.address}/orders.csv")) == 2
        web.files["/orders.csv"] = ORDERS + b"5,6\n"
        assert len(rows_in(tmp_path, f"{web.address}/orders.csv")) == 3


def test_what_is_cut_off_missing_or_too_large_is_refused(tmp_path, monkeypatch):
    with serving() as web:
        web.files["/cut.csv"] = ORDERS
        web.cut.add("/cut.csv")
        with pytest.raises(SourceError, match=r"cut\.csv cannot be read as csv: it (ended after|was cut short)"):
            rows_in(tmp_path, f"{web.address}/cut.csv")
        with pytest.raises(SourceError, match=r"the server answers 404 .*is the address right\?"):
            rows_in(tmp_path, f"{web.address}/none.csv")
        web.files["/large.csv"] = ORDERS
        monkeypatch.setattr(remote, "MOST_BYTES", 5)
        with pytest.raises(SourceError, match="more than the 5 that are copied"):
            rows_in(tmp_path, f"{web.address}/large.csv")
    with pytest.raises(SourceError, match="is it up, and may it be reached"):
        rows_in(tmp_path, f"{web.address}/orders.csv")


def test_a_secret_in_an_address_belongs_into_the_environment_and_is_never_shown(tmp_path, monkeypatch):
    with serving() as web:
        secret = f"{web.address}/orders.csv?sig=top-secret-signature"
        web.files["/orders.csv?sig=top-secret-signature"] = ORDERS
        with pytest.raises(SourceError, match=r"has a secret in it, .* say env:TABLE_URL") as refused:
            rows_in(tmp_path, secret)
        assert "top-secret" not in str(refused.value)
        monkeypatch.setenv("ORDERS_URL", secret)
        rows = rows_in(tmp_path, "env:ORDERS_URL")
        assert rows[FILE].unique().to_list() == ["orders.csv"]
        web.files.clear()
        with pytest.raises(SourceError) as failed:
            rows_in(tmp_path, "env:ORDERS_URL")
        assert "top-secret" not in "".join(traceback.format_exception(failed.value))
    monkeypatch.delenv("ORDERS_URL")
    with pytest.raises(SourceError, match="the environment variable ORDERS_URL holds no address"):
        rows_in(tmp_path, "env:ORDERS_URL")


def test_an_address_that_does_not_say_what_it_is_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"does not say what it is: its path must end as in /orders\.csv"):
        rows_in(tmp_path, "https://shop.example/export")


class Store(http.server.BaseHTTPRequestHandler):
    """As much of S3 as reading takes: objects, their heads, and lists of them."""

    objects: ClassVar[dict[str, bytes]] = {}
    keys: ClassVar[set[str]] = set()

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, *, body=True):
        self.keys.add(self.headers.get("Authorization", ""))
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        if "list-type" in parse_qs(address.query, keep_blank_values=True):
            return self._list(bucket, parse_qs(address.query).get("prefix", [""])[0])
        content = self.objects.get(f"{bucket}/{key}")
        if content is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", body=body)
        whole, range_ = content, self.headers.get("Range", "")
        if range_.startswith("bytes="):
            first, _, last = range_.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1 if last else None]
            span = f"bytes {first}-{int(first) + len(content) - 1}/{len(whole)}"
            return self._answer(206, content, body=body, **{"Content-Range": span})
        return self._answer(200, content, body=body)

    def _list(self, bucket, prefix):
        names = [name.partition("/")[2] for name in self.objects if name.startswith(f"{bucket}/{prefix}")]
        found = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(self.objects[f'{bucket}/{name}'])}</Size>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for name in names
        )
        listing = f"<ListBucketResult><KeyCount>{len(names)}</KeyCount><IsTruncated>false</IsTruncated>{found}"
        self._answer(200, f"{listing}</ListBucketResult>".encode())

    def _answer(self, status, content, *, body=True, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.send_header("ETag", f'"{hash(content)}"')
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def store(monkeypatch, tmp_path):
    """Give an object store with a bucket `shop`, which the environment names."""
    pl.DataFrame({"id": [1, 2]}).write_parquet(tmp_path / "1.parquet")
    Store.keys.clear()
    Store.objects = {
        "shop/orders.csv": ORDERS,
        "shop/days/plant=Ulm/1.parquet": (tmp_path / "1.parquet").read_bytes(),
        "shop/days/plant=Kiel/2.parquet": (tmp_path / "1.parquet").read_bytes(),
        "shop/days/_SUCCESS": b"",
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "correct-horse-battery")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_object_a_folder_and_a_pattern_of_a_store_are_read_with_the_environments_keys(store, tmp_path):
    assert values_in(tmp_path, "s3://shop/orders.csv") == [("1", "2"), ("3", "4")]
    assert any("reader/" in key for key in Store.keys)
    days = rows_in(tmp_path, "s3://shop/days")
    assert days.group_by("plant").len().sort("plant").rows() == [("Kiel", 2), ("Ulm", 2)]
    assert days[FILE].unique().sort().to_list() == ["plant=Kiel/2.parquet", "plant=Ulm/1.parquet"]
    assert len(rows_in(tmp_path, "s3://shop/days/*/1.parquet")) == 2
    with pytest.raises(SourceError, match=r"no file fits s3://shop/days/\*\.csv"):
        rows_in(tmp_path, "s3://shop/days/*.csv")
    with pytest.raises(SourceError, match="is the address right") as refused:
        rows_in(tmp_path, "s3://shop/none.csv")
    assert "correct-horse" not in "".join(traceback.format_exception(refused.value))
