"""Names are folders, partition keys, model names and parts of URLs at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import NameRefused
from factory.names import LINE_SITE, checked_name, model_name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "../etc", "UA\n", "-x", "_line", "é", "a" * 64, "a'b"])
def test_a_name_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(NameRefused, match="use 1 to 63 letters"):
        checked_name(name)


@given(st.text(max_size=70))
def test_a_name_that_is_accepted_is_safe_everywhere(name):
    try:
        checked_name(name)
    except NameRefused:
        return
    assert name.isascii()
    assert not set(name) & set("/\\. '\"\n\0")
    assert 1 <= len(name) <= 63


def test_no_site_can_take_the_place_of_the_whole_line():
    with pytest.raises(NameRefused):
        checked_name(LINE_SITE)
    assert model_name("line", LINE_SITE) == "line._base"
    assert model_name("line", "UA") == "line.UA"
