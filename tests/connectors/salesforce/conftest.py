"""A Salesforce with orders, and how a line comes to it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from factory.connectors.web.access import OAuth
from tests.connectors.salesforce.org import Org, of_field
from tests.connectors.salesforce.server import CLIENT_ID, CLIENT_SECRET, serving

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Clock:
    """The org's clock: each record is written a minute after the one before."""

    def __init__(self):
        self.now = START

    def __call__(self):
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def salesforce():
    org = Org(Clock())
    plants = [{"value": name, "active": True} for name in ("Ulm", "Bonn")]
    fields = [
        of_field("Number__c", "string", externalId=True, idLookup=True, length=40),
        of_field("Plant__c", "picklist", picklistValues=plants, restrictedPicklist=True),
        of_field("Town__c", "string"),
        of_field("Amount__c", "double"),
        of_field("Pieces__c", "int"),
        of_field("Open__c", "boolean"),
        of_field("Due__c", "datetime"),
        of_field("Day__c", "date"),
        of_field("Note__c", "textarea", length=400),
        of_field("Address__c", "address"),
    ]
    org.add_object("Order__c", fields)
    with serving(org) as running:
        yield running


@pytest.fixture
def access(salesforce, monkeypatch):
    """The section `access` of a line's file."""
    monkeypatch.setenv("SF_CLIENT", CLIENT_ID)
    monkeypatch.setenv("SF_SECRET", CLIENT_SECRET)
    return OAuth(
        token_url=f"{salesforce.address}/services/oauth2/token",
        client_id="env:SF_CLIENT",
        client_secret="env:SF_SECRET",
        certificate_authority=str(salesforce.authority),
    )


def add_orders(salesforce, number, **values):
    """Add orders A-0, A-1, …, one a minute; their ids."""
    return [
        salesforce.org.insert(
            "Order__c",
            {
                "Number__c": f"A-{n}",
                "Plant__c": "Ulm" if n % 2 else "Bonn",
                "Town__c": "Ulm" if n % 2 else "ULM",
                "Amount__c": Decimal(f"{n}.50"),
                "Pieces__c": n,
                "Open__c": n % 3 == 0,
                "Due__c": "2026-04-01T06:30:00.000+0000",
                "Day__c": "2026-04-01",
                **values,
            },
        )
        for n in range(number)
    ]
