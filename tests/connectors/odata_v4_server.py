"""A service of OData V4, odatapy's own, behind our server with TLS."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from odatapy.data import Entity, ValueType
from odatapy.edm.csdl import (
    CsdlAbstractEdmProvider,
    CsdlEntityContainer,
    CsdlEntitySet,
    CsdlEntityType,
    CsdlProperty,
    CsdlPropertyRef,
    CsdlSchema,
)
from odatapy.server import OData
from odatapy.server.adapters import ODataWSGIApp
from odatapy.server.inmemory import InMemoryDataStore, InMemoryProcessor

from tests.connectors.https import Answer, Asked


def v4_service(
    name: str,
    kinds: Mapping[str, Mapping[str, Any]],
    key: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    page_size: int | None = None,
) -> "V4Service":
    """A service with one entity set; `kinds` says each property's type and facets."""

    class Provider(CsdlAbstractEdmProvider):
        def get_schemas(self) -> list[CsdlSchema]:
            properties = [CsdlProperty(name=one, **facets) for one, facets in kinds.items()]
            keys = [CsdlPropertyRef(name=one) for one in key]
            entity = CsdlEntityType(name=f"{name}Type", key=keys, properties=properties)
            container = CsdlEntityContainer(
                name="Container", entity_sets=[CsdlEntitySet(name=name, type=f"Test.{name}Type")]
            )
            return [CsdlSchema(namespace="Test", entity_types=[entity], entity_container=container)]

    odata = OData.new_instance()
    handler = odata.create_handler(odata.create_service_metadata(Provider()))
    store = InMemoryDataStore()
    store.set_entities(name, [_entity(row, kinds) for row in rows])
    handler.register(InMemoryProcessor(store, page_size=page_size))
    return V4Service(ODataWSGIApp(handler), store)


class V4Service:
    """Answers requests by the WSGI application."""

    def __init__(self, app: Any, store: InMemoryDataStore) -> None:
        self.app, self.store = app, store

    def __call__(self, asked: Asked) -> Answer:
        said: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            said.update(status=int(status.split(" ", maxsplit=1)[0]), headers=dict(headers))

        host, _, port = asked.headers["host"].partition(":")
        environ = {
            "REQUEST_METHOD": asked.method,
            "SCRIPT_NAME": "/odata",
            "PATH_INFO": asked.path.removeprefix("/odata"),
            "QUERY_STRING": asked.query,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "HTTP_HOST": asked.headers["host"],
            "CONTENT_TYPE": asked.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(asked.body)),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(asked.body),
            **{f"HTTP_{one.upper().replace('-', '_')}": text for one, text in asked.headers.items()},
        }
        body = b"".join(self.app(environ, start))
        headers = {one: text for one, text in said["headers"].items() if one.lower() != "content-length"}
        return Answer(said["status"], body, headers)


def _entity(row: Mapping[str, Any], kinds: Mapping[str, Mapping[str, Any]]) -> Entity:
    entity = Entity()
    for name, value in row.items():
        entity.set_property(name, value, ValueType.PRIMITIVE, kinds[name]["type"])
    return entity
