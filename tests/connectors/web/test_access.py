"""What a line's file may say of its access, and what would be a secret in it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from factory.connectors.web.access import Access, Bearer, OAuth

ACCESS = TypeAdapter(Access)


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "bearer", "token": "abc"},
        {"kind": "bearer", "token": "env:"},
        {"kind": "basic", "user": "me", "password": "abc"},
        {"kind": "header", "name": "X-Key", "value": "abc"},
        {"kind": "oauth", "token_url": "https://t", "client_id": "me", "client_secret": "abc"},
        {"kind": "oauth", "token_url": "http://t", "client_id": "me", "client_secret": "env:X"},
        {"kind": "bearer", "token": "env:X", "verify": False},
        {"kind": "magic"},
    ],
)
def test_a_secret_in_the_file_an_open_address_and_an_unknown_word_are_refused(section):
    with pytest.raises(ValidationError) as told:
        ACCESS.validate_python(section)
    assert "abc" not in str(told.value).replace("input_value", "").split("[type=")[0]


def test_each_kind_is_read():
    assert ACCESS.validate_python({"kind": "bearer", "token": "env:X"}) == Bearer(token="env:X")
    section = {"kind": "oauth", "token_url": "https://t", "client_id": "me", "client_secret": "env:X"}
    assert ACCESS.validate_python(section) == OAuth(token_url="https://t", client_id="me", client_secret="env:X")
