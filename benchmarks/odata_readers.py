"""Reading an entity set of OData V2 and V4: ours against the public clients, pyodata and odatapy.

    make pyodata
    python benchmarks/odata_readers.py [--rows 50000] [--rounds 3]

A service over TLS on this machine gives the same pages to all: 1,000 rows of eleven properties, made before, so that
what is measured is the reader. Each reading is a process of its own; time and CPU time are taken without its start.
Rounds are interleaved, and the least is shown. The clients make objects of Python; ours makes a frame of exact texts,
counted by the service before and after.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.connectors.https import Answer, Asked, certificates, serving  # noqa: E402  found through the line above
from tests.connectors.odata_v2_server import ROOT as SERVICE  # noqa: E402
from tests.connectors.odata_v2_server import Entities, Field, V2Service  # noqa: E402

PAGE = 1_000
FIELDS = {
    "Number": Field("Edm.String", {"MaxLength": "12"}),
    "Plant": Field("Edm.String", {"MaxLength": "4"}),
    "Equipment": Field("Edm.String", {"MaxLength": "18"}),
    "Text": Field("Edm.String"),
    "Hours": Field("Edm.Decimal", {"Precision": "15", "Scale": "3"}),
    "Counter": Field("Edm.Int64"),
    "Priority": Field("Edm.Int32"),
    "Done": Field("Edm.Boolean"),
    "CreatedAt": Field("Edm.DateTimeOffset"),
    "ChangedAt": Field("Edm.DateTimeOffset"),
    "Day": Field("Edm.DateTime"),
}
NULLABLE = {name: str(name != "Number").lower() for name in FIELDS}
METADATA_V4 = (
    '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
    '<Schema Namespace="TEST" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="OrdersType"><Key>'
    '<PropertyRef Name="Number"/></Key>{}</EntityType><EntityContainer Name="C"><EntitySet Name="Orders" '
    'EntityType="TEST.OrdersType"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
)


def order(number: int) -> dict[str, object]:
    """A made-up order."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "Number": f"{number:012d}",
        "Plant": f"{1000 + number % 16}",
        "Equipment": f"PUMP-{number % 977:05d}",
        "Text": f"Bearing of pump {number % 977} runs hot",
        "Hours": Decimal(number % 4000) / 8,
        "Counter": 2**53 + number,
        "Priority": number % 4,
        "Done": bool(number % 3),
        "CreatedAt": moment,
        "ChangedAt": moment + timedelta(hours=5),
        "Day": datetime(2026, 1, 1),
    }


class Pages:
    """The pages of both versions, made once; whoever asks for keys after one, or follows a link, gets the next."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.v2 = V2Service({"Orders": Entities(FIELDS, ("Number",), [order(number) for number in range(rows)])})
        kinds = {"Edm.DateTime": "Edm.DateTimeOffset"}
        properties = "".join(
            f'<Property Name="{name}" Type="{kinds.get(one.kind, one.kind)}" Nullable="{NULLABLE[name]}"/>'
            for name, one in FIELDS.items()
        )
        self.metadata_v4 = METADATA_V4.format(properties)
        self.made: dict[tuple[str, int], bytes] = {}
        for first in range(0, rows, PAGE):
            answer = self.v2(Asked("GET", f"{SERVICE}/Orders", f"$skip={first}&$top={PAGE}", {}, b""))
            self.made["v2", first] = answer.body
            self.made["v4", first] = json.dumps(
                {"value": list(map(plain, self.v2.sets["Orders"].rows[first : first + PAGE]))}
            ).encode()

    def __call__(self, asked: Asked) -> Answer:
        """Answer metadata, the count, or a page."""
        version = "v2" if asked.path.startswith("/v2") else "v4"
        path = unquote(asked.path)
        if path.endswith("$metadata"):
            text = self.v2.metadata() if version == "v2" else self.metadata_v4
            return Answer(200, text.encode(), {"Content-Type": "application/xml"})
        if path.endswith("$count"):
            return Answer(200, str(self.rows).encode(), {"Content-Type": "text/plain"})
        after = asked.params.get("$filter", "").partition("gt '")[2][:12]
        first = int(after) + 1 if after else int(asked.params.get("$skiptoken", 0))
        body = self.made[version, first]
        if first + PAGE < self.rows:
            link = f"https://{asked.headers['host']}/{version}/Orders?$skiptoken={first + PAGE}"
            before = b'{"d": {' if version == "v2" else b"{"
            name = b'"__next"' if version == "v2" else b'"@odata.nextLink"'
            body = body.replace(before, before + name + b": " + json.dumps(link).encode() + b", ", 1)
        return Answer(
            200, body, {"Content-Type": "application/json", "OData-Version": "4.0" if version == "v4" else "2.0"}
        )


def plain(row: dict[str, object]) -> dict[str, object]:
    """A row as JSON of V4 has it, numbers as numbers."""
    kinds = {datetime: lambda one: one.isoformat() + ("" if one.tzinfo else "Z"), Decimal: float}
    return {name: kinds.get(type(value), lambda one: one)(value) for name, value in row.items()}


def ours(address: str) -> int:
    """Read as a line does."""
    from factory.connectors.odata.reader import ODataReader
    from factory.connectors.tables.arguments import tables_of
    from factory.connectors.tables.place import place_of
    from factory.connectors.tables.reader import Narrowing

    access = {"kind": "none", "certificate_authority": str(os.environ["BENCH_CA"])}
    said = {"at": f"odata+{address}::Orders", "access": access, "paging": {"by": "auto", "size": PAGE}}
    reader = ODataReader(place_of(said["at"], Path()), tables_of({"orders": said})["orders"])
    return sum(map(len, reader.batches(list(FIELDS), Narrowing())))


def pyodata_client(address: str) -> int:
    """Read by pyodata, following its links, each value used."""
    sys.path.append(str(ROOT / ".pyodata"))  # `make pyodata` installs it there
    import pyodata
    import requests

    session = requests.Session()
    session.trust_env, session.verify = False, os.environ["BENCH_CA"]
    client, rows, link = pyodata.Client(address, session), 0, None
    while True:
        request = client.entity_sets.Orders.get_entities()
        page = (request.next_url(link) if link else request).execute()
        rows += sum(1 for one in page if [getattr(one, name) for name in FIELDS])
        link = page.next_url
        if not link:
            return rows


def odatapy_client(address: str) -> int:
    """Read by odatapy's client, each value used."""
    import httpx
    from odatapy.client import ODataClient
    from odatapy.client.transport import HttpxTransport

    with httpx.Client(verify=httpx.create_ssl_context(os.environ["BENCH_CA"])) as session:
        client = ODataClient(address, HttpxTransport(client=session))
        entities = client.iter_entities(client.entity_set_uri("Orders"))
        return sum(1 for one in entities if [one.get_value(name) for name in FIELDS])


WAYS = {"V2 ours": ours, "V2 pyodata": pyodata_client, "V4 ours": ours, "V4 odatapy": odatapy_client}


def one(way: str, address: str) -> None:
    """Read once, and print rows, seconds and CPU seconds."""
    WAYS[way](address)  # the start: imports, metadata, a connection
    begun, cpu = time.perf_counter(), time.process_time()
    rows = WAYS[way](address)
    print(json.dumps([rows, time.perf_counter() - begun, time.process_time() - cpu]))


def main() -> None:
    """Measure all ways in turns, and print a table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--one", nargs=2)
    said = options.parse_args()
    if said.one:
        one(*said.one)
        return
    environment = {**os.environ, "BENCH_CA": str(certificates().authority), "PYTHONPATH": str(ROOT)}
    figures: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    with serving(Pages(said.rows)) as host:
        for _ in range(said.rounds):
            for way in WAYS:
                address = f"{host.address}/{way[:2].lower()}"
                command = [sys.executable, __file__, "--one", way, address]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr[-2000:])
                figures[way].append(json.loads(done.stdout))
    print(f"{said.rows:,} rows, pages of {PAGE:,}, the least of {said.rounds}\n\n| | rows/s | CPU s |\n|---|---|---|")
    for way, rounds in figures.items():
        assert {rows for rows, _, _ in rounds} == {said.rows}, rounds
        fastest, least = min(seconds for _, seconds, _ in rounds), min(cpu for *_, cpu in rounds)
        print(f"| {way} | {said.rows / fastest:,.0f} | {least:.2f} |")


if __name__ == "__main__":
    main()
