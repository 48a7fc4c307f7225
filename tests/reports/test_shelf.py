"""Where pages lie: whole or not at all, the line's place is nobody's, and a page says what it was made from."""

import pytest

from factory.errors import NameRefused
from factory.model.code import DRAWING, LIBRARY
from factory.names import LINE_SITE
from factory.pipeline.stages import STAGES
from factory.reports.folder import LineReports
from factory.reports.site_page import site_page
from tests.reports.builders import facts


def test_a_site_called_index_does_not_take_the_lines_place(tmp_path):
    pages = LineReports(tmp_path, "brewing")
    places = [pages.put(site, site) for site in (LINE_SITE, "index", "Index", "north")]
    assert len({place.name.casefold() for place in places[:2]}) == 2
    assert (tmp_path / "brewing" / "index.html").read_text() == LINE_SITE


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    with pytest.raises(NameRefused):
        LineReports(tmp_path, "brewing").put("../north", "")
    with pytest.raises(NameRefused):
        LineReports(tmp_path, "..")


def test_a_page_says_what_it_was_made_from_and_one_that_is_gone_or_spoiled_says_nothing(tmp_path):
    pages = LineReports(tmp_path, "brewing")
    assert pages.fingerprint("north") is None
    place = pages.put("north", site_page(facts(), "0123456789abcdef"))
    assert pages.fingerprint("north") == "0123456789abcdef"
    place.write_bytes(b"\xff\xfe")
    assert pages.fingerprint("north") is None


def test_a_write_that_fails_leaves_the_old_page_and_no_draft(tmp_path):
    pages = LineReports(tmp_path, "brewing")
    place = pages.put("north", "old")
    with pytest.raises(UnicodeEncodeError):
        pages.put("north", "\ud800")
    assert place.read_text() == "old"
    assert [file.name for file in place.parent.iterdir()] == ["north.html"]


def test_a_changed_picture_retrains_nothing():
    """What draws the pages of a task lies beside what trains its models, and no stage depends on it."""
    assert [path.name for path in (LIBRARY / "tasks").rglob("pictures.py")] == ["pictures.py"] * 3
    for path in [*(LIBRARY / "tasks").rglob("pictures.py"), LIBRARY / "tasks" / "curves.py"]:
        assert path.name in DRAWING
    for stage in STAGES:
        assert not {room.partition("/")[0] for room in stage.rooms} & {"reports", "charts"}, stage.name
