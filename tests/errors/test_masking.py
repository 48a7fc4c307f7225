"""Secrets: whatever a URL, an option or a library's message has in it, none of it is shown."""

import json
import re
import urllib.parse

import pytest
import requests
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from factory.errors import FactoryError, masking
from factory.errors.masking import MASK, has_secret, keep_secret, keep_secrets_of, masked, masked_cause, masked_values
from factory.storage.home import Home

DRIVERS = ["postgresql+psycopg", "mysql+pymysql", "oracle+oracledb", "snowflake", "mssql+pyodbc", "databricks", "https"]
NAMES = ["password", "token", "sslkey", "sslpassword", "access_token", "motherduck_token", "sig", "api_key", "pwd"]
SECRETS = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=8, max_size=30).map(
    lambda text: f"S3cr{text}"
)
PLACES = st.sampled_from(["user", "password", "query", "both"])


def forget():
    """What one example gives as a secret is none in the next."""
    masking._kept, masking._kept_pattern = frozenset(), None


@pytest.fixture(autouse=True)
def nothing_is_kept():
    """What one test gives as a secret is none in the next."""
    forget()
    yield
    forget()


@st.composite
def urls(draw):
    """Return a URL, the secrets in it as they are and as they are written, and the host and database it names."""
    quoted = draw(st.booleans())
    written = (lambda text: urllib.parse.quote(text, safe="")) if quoted else lambda text: text
    secret, other, place = draw(SECRETS), draw(SECRETS), draw(PLACES)
    if place == "user" and not quoted:
        secret = re.sub(r"[/?#]", "-", secret)  # with one of these in it nobody takes it for a user's name
    user_info = {"user": f"{written(secret)}@", "query": ""}.get(place, f"app:{written(secret)}@")
    query = f"?sslmode=require&{draw(st.sampled_from(NAMES))}={written(other)}" if place in ("query", "both") else ""
    secrets = {"query": [other], "both": [secret, other]}.get(place, [secret])
    return f"{draw(st.sampled_from(DRIVERS))}://{user_info}db.example:5432/shop{query}", secrets, written, quoted


def fragments(secret):
    """The pieces of a secret that would give it away."""
    return {secret[start : start + 8] for start in range(len(secret) - 7)}


@given(urls(), st.sampled_from(["{}", "cannot connect to {} (refused)", "'{}'", "for url: {}\nand more", "at={};"]))
@example(("postgresql://app:a/b?c#d@db.example:5432/shop", ["a/b?c#d"], str, False), "{}")
def test_of_a_url_in_any_text_only_driver_host_port_and_database_are_shown(made, sentence):
    url, secrets, written, quoted = made
    forget()
    keep_secret(url)
    shown = masked(sentence.format(url))
    for secret in secrets:
        assert not [piece for piece in fragments(written(secret)) | fragments(secret) if piece in shown]
    assert masked(shown) == shown
    if quoted:
        assert "://" in shown
        assert "db.example:5432/shop" in shown


@given(urls())
def test_without_being_told_a_well_formed_url_is_masked_by_its_shape(made):
    url, secrets, written, quoted = made
    if quoted:
        shown = masked(f"error at {url} today")
        assert "db.example:5432/shop" in shown
        assert not [secret for secret in secrets if written(secret) in shown or secret in shown]


@given(SECRETS, st.sampled_from(["{}", "unknown host {!r}", "[{!r}]", "x{}y", "/path/{}?a"]))
def test_a_secret_that_was_given_is_found_in_whatever_a_library_makes_of_it(secret, sentence):
    forget()
    keep_secret(secret)
    assert secret not in masked(sentence.format(secret))
    assert json.dumps(secret) not in masked(json.dumps({"value": secret}))
    assert urllib.parse.quote(secret) not in masked(urllib.parse.quote(secret))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DRIVER={ODBC 17};UID=sa;PWD={a;b}};c};Database=y", "DRIVER={ODBC 17};UID=sa;PWD=***;Database=y"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BPWD%3Dsecret", "mssql+pyodbc:///?***"),
        ("jdbc:sqlserver://host:1433;user=sa;password=x", "jdbc:sqlserver://host:1433;***"),
        ("host=h password='a b' dbname=x", "host=h password=*** dbname=x"),
        ("AccountName=a;AccountKey=abc==;EndpointSuffix=core", "AccountName=a;AccountKey=***;EndpointSuffix=core"),
        ("{'aws_secret_access_key': 'abc', 'region': 'eu'}", "{'aws_secret_access_key': '***', 'region': 'eu'}"),
        ('{"sas_token": "?sv=1&sig=x"}', "{\"sas_token\": '***'}"),
        ("Max retries exceeded with url: /api?token=abc (Caused", "Max retries exceeded with url: /api?*** (Caused"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ("postgresql://app:secret/shop", "postgresql://app:***/shop"),
        ("duckdb:///md:shop?motherduck_token=abc", "duckdb:///md:shop?***"),
    ],
)  # fmt: skip
def test_options_connection_strings_and_headers_are_masked(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/a@b/.factory/mlflow.db",
        "http://127.0.0.1:5000/#/experiments/1/runs/ab",
        "abfss://container@account.dfs.core.windows.net/lake",
        "s3://bucket/lake/orders",
        "see https://docs.example/page; then run it again",
        "{'passed': True, 'tokens': 5, 'compass': 'N'}",
        "site UA, table flights: column 'token' is Int64, the contract says String",
        "is it up? a=b",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text):
    assert masked(text) == text


def test_of_options_the_secret_ones_are_masked_by_their_names():
    options = {"aws_secret_access_key": "x", "azure_storage_sas_token": "y", "region": "eu", "endpoint": "http://u:p@h"}
    assert masked_values(options) == {
        "aws_secret_access_key": MASK,
        "azure_storage_sas_token": MASK,
        "region": "eu",
        "endpoint": "http://***@h",
    }
    keep_secrets_of({"SHOP_URL": "postgresql://app:hunter22@h/d", "HOME": "/root", "DB_PASSWORD": "xyzzy-42"})
    assert masked("hunter22 and xyzzy-42 at /root") == "*** and *** at /root"


def test_a_url_that_must_not_stand_in_a_file_is_told_from_one_that_may():
    assert has_secret("postgresql://app:x@h/d")
    assert has_secret("postgresql://h/d?sslpassword=x")
    assert has_secret("mssql+pyodbc:///?odbc_connect=UID%3Dsa%3BPWD%3Dx")
    assert not has_secret("postgresql://app@h/d?sslmode=require")
    assert not has_secret("sqlite:///data/shop.db")


def test_an_error_has_no_secret_in_it_and_neither_has_the_chain_behind_it():
    url = "postgresql+psycopg://app:hunter22@db.example/shop?token=correcthorse"
    keep_secret(url)
    try:
        try:
            raise sa.exc.OperationalError("SELECT 1", {}, OSError(f"no route to {url}"))
        except sa.exc.SQLAlchemyError as error:
            raise FactoryError(f"cannot read {url}: {error}") from masked_cause(error)
    except FactoryError as error:
        import traceback

        whole = "".join(traceback.format_exception(error))
    assert "OperationalError" in whole
    assert "postgresql+psycopg://***@db.example/shop?***" in whole
    assert "hunter22" not in whole
    assert "correcthorse" not in whole


def test_an_error_without_a_secret_is_the_cause_itself():
    error = ValueError("column 'a' is missing")
    assert masked_cause(error) is error


def test_what_requests_says_of_an_address_has_no_secret_in_it():
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get("http://user:hunter22@127.0.0.1:9/file?token=correcthorse", timeout=1)
    shown = str(FactoryError(f"{caught.value}"))
    assert "correcthorse" not in shown
    assert "hunter22" not in shown


def test_a_home_and_its_lake_are_no_secrets_and_a_lakes_password_is(tmp_path):
    home = Home.found({"FACTORY_HOME": str(tmp_path), "FACTORY_LAKE": str(tmp_path / "lake"), "PWD": str(tmp_path)})
    assert masked(f"{home.root} and {home.lake}") == f"{home.root} and {home.lake}"
    Home.found({"FACTORY_LAKE": "s3://key:hunter22@bucket/lake", "AWS_SECRET_ACCESS_KEY": "correcthorse"}, tmp_path)
    assert masked("hunter22, correcthorse") == "***, ***"
