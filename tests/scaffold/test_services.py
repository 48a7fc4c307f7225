"""A line is made from what a service gives, and its rows come in: of REST, and of OData in both versions."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from factory.errors import SourceError
from tests.connectors.https import certificates, serving
from tests.connectors.odata_v2_server import ROOT, Entities, Field, V2Service
from tests.connectors.odata_v4_server import v4_service
from tests.connectors.rest_server import PAGING, Orders
from tests.scaffold.lines import cleaned, importable, loaded, project, written

_CHANCE = random.Random(5)  # noqa: S311  of a table
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    {
        "Batch": 2**53 + 1 + number,
        "Plant": _CHANCE.choice(["Köln", "Ulm"]),
        "At": BEGIN + timedelta(hours=number),
        "Carbon": Decimal(_CHANCE.randrange(6000, 9000)) / 100,
        "Reject": _CHANCE.random() < 0.3,
    }
    for number in range(200)
]
RECORDS = [{**row, "At": row["At"].isoformat(), "Carbon": float(row["Carbon"])} for row in ROWS]
KINDS = {
    "Batch": "Edm.Int64",
    "Plant": "Edm.String",
    "At": "Edm.DateTimeOffset",
    "Carbon": "Edm.Decimal",
    "Reject": "Edm.Boolean",
}
FIELDS_V2 = {name: Field(kind, {"Scale": "2"} if kind == "Edm.Decimal" else {}) for name, kind in KINDS.items()}
FIELDS_V4 = {
    name: {"type": kind, "nullable": name != "Batch", **({"precision": 9, "scale": 2} if kind == "Edm.Decimal" else {})}
    for name, kind in KINDS.items()
}
TRUSTED = {"kind": "none", "certificate_authority": str(certificates().authority)}


def made_from(folder, service, at, **source):
    """The line of a service's table, and its rows as its contract and repair make them."""
    root = project(folder)
    with serving(service) as host:
        named = {"site": "Plant", "time": "At", "source": {"access": TRUSTED, **source}}
        written(root, "melts", at.format(host.address), "Reject", **named)
        with importable(root):
            line, tables = loaded(root, "melts")
            return tables, cleaned(line, tables, BEGIN + timedelta(days=30)).accepted


def require_all(rows):
    """Every row came once, its number exactly."""
    assert sorted(rows["Batch"]) == [row["Batch"] for row in ROWS]
    assert sorted(rows["Carbon"]) == sorted(float(row["Carbon"]) for row in ROWS)


@pytest.mark.parametrize("by", ["next", "token"])
def test_a_line_is_made_from_a_rest_service_with_what_must_be_said_beside_its_address(tmp_path, by):
    said = {} if by == "next" else {"paging": PAGING[by]}
    tables, rows = made_from(tmp_path, Orders(RECORDS, by=by, size=60), "rest+{}/api/melts", **said)
    require_all(rows)
    (at,) = tables.tables.values()
    assert (at.records, at.paging.at) == ("data", PAGING[by]["at"] if said else "")
    assert at.access.certificate_authority == TRUSTED["certificate_authority"]


@pytest.mark.parametrize("version", ["V2", "V4"])
def test_a_line_is_made_from_an_entity_set(tmp_path, version):
    if version == "V2":
        service, root = V2Service({"Melts": Entities(FIELDS_V2, ("Batch",), ROWS)}, page_size=60, client="100"), ROOT
    else:
        service, root = v4_service("Melts", FIELDS_V4, ["Batch"], ROWS, 60), "/odata"
    query = "?sap-client=100" if version == "V2" else ""
    _, rows = made_from(tmp_path, service, f"odata+{{}}{root}{query}::Melts")
    require_all(rows)


def test_paging_that_nobody_said_is_asked_for_before_anything_is_written(tmp_path):
    with pytest.raises(SourceError, match=r"there are more.*paging"):
        made_from(tmp_path, Orders(RECORDS, by="token", size=60), "rest+{}/api/melts")
    assert not (tmp_path / "lines" / "melts").exists()
