"""Where pages lie: whole or not at all, the line's place is nobody's, and a page says what it was made from."""

import pytest

from factory.errors import NameRefused
from factory.model.provenance import LIBRARY, drawing_sources, room_sources
from factory.names import LINE_SITE
from factory.reports.folder import Shelf
from factory.reports.site_page import site_page
from tests.reports.builders import facts


def test_a_site_called_index_does_not_take_the_lines_place(tmp_path):
    shelf = Shelf(tmp_path, "brewing")
    places = [shelf.put(site, site) for site in (LINE_SITE, "index", "Index", "north")]
    assert len({place.name.casefold() for place in places[:2]}) == 2
    assert (tmp_path / "brewing" / "index.html").read_text() == LINE_SITE


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    with pytest.raises(NameRefused):
        Shelf(tmp_path, "brewing").put("../north", "")
    with pytest.raises(NameRefused):
        Shelf(tmp_path, "..")


def test_a_page_says_what_it_was_made_from_and_one_that_is_gone_or_spoiled_says_nothing(tmp_path):
    shelf = Shelf(tmp_path, "brewing")
    assert shelf.mark("north") is None
    place = shelf.put("north", site_page(facts(), "0123456789abcdef"))
    assert shelf.mark("north") == "0123456789abcdef"
    place.write_bytes(b"\xff\xfe")
    assert shelf.mark("north") is None


def test_a_write_that_fails_leaves_the_old_page_and_no_draft(tmp_path):
    shelf = Shelf(tmp_path, "brewing")
    place = shelf.put("north", "old")
    with pytest.raises(UnicodeEncodeError):
        shelf.put("north", "\ud800")
    assert place.read_text() == "old"
    assert [file.name for file in place.parent.iterdir()] == ["north.html"]


def test_a_changed_picture_retrains_nothing():
    deciding = room_sources(*(path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name[0] != "_"))
    reports = {path for path in deciding if path.is_relative_to(LIBRARY / "reports")}
    charts = {path for path in deciding if path.is_relative_to(LIBRARY / "charts")}
    assert not (set(deciding) - reports - charts) & set(drawing_sources())
    assert {"site.html", "style.css", "drawing.py"} <= {path.name for path in drawing_sources()}
    assert len([path for path in drawing_sources() if path.name == "pictures.py"]) == 4
