"""Our service of OData V2 is one that SAP's own public client speaks with: reading, paging, changing, batches.

`make pyodata` installs that client in a folder of its own.
"""

import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from tests.connectors.https import certificates, serving
from tests.connectors.odata_v2_server import ROOT, Entities, Field, V2Service

CLIENT = Path(__file__).resolve().parents[2] / ".pyodata"
sys.path.append(str(CLIENT))
try:
    pyodata = pytest.importorskip("pyodata", reason="SAP's public client is not here: `make pyodata` installs it")
finally:
    sys.path.remove(str(CLIENT))  # it has a package `tests` beside the client, which processes would take for ours

FIELDS = {
    "Number": Field("Edm.String", {"MaxLength": "12"}, {"creatable": "false", "updatable": "false"}),
    "Text": Field("Edm.String", {"MaxLength": "40"}),
    "Hours": Field("Edm.Decimal", {"Precision": "7", "Scale": "2"}),
    "At": Field("Edm.DateTimeOffset"),
}


@contextmanager
def client(service):
    """Pyodata's client of a service, and the session it speaks over."""
    with serving(service) as host, requests.Session() as session:
        session.trust_env, session.verify = False, str(certificates().authority)
        yield pyodata.Client(f"{host.address}{ROOT}", session), session, f"{host.address}{ROOT}"


def orders(number, **more):
    rows = [
        {
            "Number": f"{one:012d}",
            "Text": f"it's {one}",
            "Hours": Decimal("1.50"),
            "At": datetime(2026, 3, 1, one, tzinfo=UTC),
        }
        for one in range(number)
    ]
    return V2Service({"Orders": Entities(FIELDS, ("Number",), rows, numbered="Number")}, **more)


def with_token(session, address):
    reply = session.get(f"{address}/", headers={"X-CSRF-Token": "Fetch"})
    session.headers["X-CSRF-Token"] = reply.headers["x-csrf-token"]


def test_the_client_reads_metadata_values_filters_counts_and_pages():
    with client(orders(10, page_size=4)) as (shop, *_):
        (key,) = shop.schema.entity_set("Orders").entity_type.key_proprties
        assert key.name == "Number"
        assert shop.entity_sets.Orders.get_entities().count().execute() == 10
        found = shop.entity_sets.Orders.get_entities().filter("Text eq 'it''s 3' or Hours gt 2M").execute()
        assert [(one.Number, one.Text, one.Hours, one.At) for one in found] == [
            (f"{3:012d}", "it's 3", "1.50", datetime(2026, 3, 1, 3, tzinfo=UTC))
        ]
        first = shop.entity_sets.Orders.get_entities().execute()
        assert (len(first), "skiptoken" in first.next_url) == (4, True)
        assert shop.entity_sets.Orders.get_entity(f"{7:012d}").execute().Text == "it's 7"


def test_the_client_creates_and_changes_only_with_the_token_of_its_session():
    service = orders(1)
    with client(service) as (shop, session, address):
        create = shop.entity_sets.Orders.create_entity().set(Text="new", Hours="2.25")
        with pytest.raises(pyodata.exceptions.HttpError) as told:
            create.execute()
        assert told.value.response.status_code == 403
        assert told.value.response.headers["x-csrf-token"] == "Required"
        with_token(session, address)
        made = create.execute()
        session.headers["If-Match"] = "*"
        shop.entity_sets.Orders.update_entity(made.Number).set(Text="changed").execute()
        service.expire_sessions()
        with pytest.raises(pyodata.exceptions.HttpError):
            shop.entity_sets.Orders.update_entity(made.Number).set(Text="again").execute()
    assert [row["Text"] for row in service.sets["Orders"].rows] == ["it's 0", "changed"]


def test_the_clients_batches_are_done_change_set_by_change_set():
    service = orders(0)
    with client(service) as (shop, session, address):
        with_token(session, address)
        batch, changes = shop.create_batch(), shop.create_changeset()
        changes.add_request(shop.entity_sets.Orders.create_entity().set(Text="a"))
        changes.add_request(shop.entity_sets.Orders.create_entity().set(Text="b"))
        batch.add_request(changes)
        batch.execute()
        broken, changes = shop.create_batch(), shop.create_changeset()
        changes.add_request(shop.entity_sets.Orders.create_entity().set(Text="c"))
        changes.add_request(shop.entity_sets.Orders.create_entity().set(Text="d" * 41))
        broken.add_request(changes)
        with pytest.raises(pyodata.exceptions.HttpError):
            broken.execute()
    assert [row["Text"] for row in service.sets["Orders"].rows] == ["a", "b"]
