"""The reader for each kind of table."""

from collections.abc import Collection

from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.columnar_files import ArrowFormat, ParquetFormat
from factory.connectors.tables.csv_files import CsvFormat
from factory.connectors.tables.json_files import JsonFormat
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Reader
from factory.connectors.tables.spreadsheets import SheetFormat
from factory.connectors.tables.table_files import FilesReader, Format

SERVICES = ("rest", "odata", "salesforce", "mqtt")


def reader_of(place: Place, at: TableAt, declared: Collection[str] = ()) -> Reader:
    """Return the reader for a place; `declared` are the columns, by their names there, that the line knows."""
    if place.kind == "sql":
        from factory.connectors.tables.databases.reader import DatabaseReader

        return DatabaseReader(place)
    if place.kind == "delta":
        from factory.connectors.tables.delta_tables import DeltaReader

        return DeltaReader(place, at)
    if place.kind in SERVICES:
        return _service_reader(place, at, declared)
    return FilesReader(place, at, format_of(place, at))


def _service_reader(place: Place, at: TableAt, declared: Collection[str]) -> Reader:
    """Return the reader for a table of a service."""
    if place.kind == "rest":
        from factory.connectors.rest.reader import RestReader

        return RestReader(place, at)
    if place.kind == "odata":
        from factory.connectors.odata.reader import ODataReader

        return ODataReader(place, at)
    if place.kind == "salesforce":
        from factory.connectors.salesforce.reader import SalesforceReader

        return SalesforceReader(place, at.access, declared)
    from factory.connectors.mqtt.reader import MqttReader

    return MqttReader(place, at)


def format_of(place: Place, at: TableAt) -> Format:
    """Return how the files of a place are read."""
    formats: dict[str, Format] = {
        "csv": CsvFormat(at=at),
        "json": JsonFormat(at=at),
        "excel": SheetFormat(at=at),
        "parquet": ParquetFormat(),
        "arrow": ArrowFormat(),
    }
    return formats[place.kind]
