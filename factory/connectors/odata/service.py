"""One OData service: its metadata, counts and pages, as V2 and V4 say them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from json import JSONDecoder
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from factory.connectors.odata.batches import Change
from factory.connectors.odata.metadata import EntitySet, Metadata, metadata_of
from factory.connectors.tables.json_text import Literal
from factory.connectors.web.access import value_of
from factory.connectors.web.session import Reply, Service
from factory.errors import ServiceGarbled, ServiceRefused, SourceError
from factory.errors.masking import masked

EXACT = JSONDecoder(parse_float=Literal, parse_int=Literal, parse_constant=Literal, strict=False)
NOT_DONE = (400, 404, 405, 406, 501)
"""Answers of a service that does not know, or does not like, what it is asked."""
_SAID_NO = tuple(status for status in range(400, 500) if status != 429)
_HEADERS = {
    "V2": {"Accept": "application/json", "DataServiceVersion": "2.0", "MaxDataServiceVersion": "2.0"},
    "V4": {"Accept": "application/json;odata.metadata=minimal", "OData-Version": "4.0", "OData-MaxVersion": "4.01"},
}


@dataclass(frozen=True)
class EntityPage:
    """One answer: entities, and the address of the next page, empty where there is none."""

    entities: list[dict[str, Any]]
    following: str


class ODataService:
    """A service at its root's address; `query` are parameters of every call, such as `sap-client`."""

    def __init__(self, service: Service, query: Mapping[str, str]) -> None:
        self.service = service
        self.query = {name: value_of(text) for name, text in query.items()}
        self._token: str | None = None

    def __enter__(self) -> "ODataService":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.service.close()

    @cached_property
    def metadata(self) -> Metadata:
        """What the service says of itself; raises ServiceError."""
        of_all = {name: text for name, text in self.query.items() if not name.startswith("$")}
        reply = self.service.call("GET", "$metadata", params=of_all, headers={"Accept": "application/xml"})
        return metadata_of(reply.body, masked(self.service.address))

    def entity_set(self, name: str) -> EntitySet:
        """Return a set by its name; raises SourceError with the names that there are."""
        sets = self.metadata.sets
        if name not in sets:
            shown = ", ".join(sorted(sets)[:20]) or "none"
            raise SourceError(f"{masked(self.service.address)} has no entity set {name!r}; it has {shown}")
        return sets[name]

    @property
    def headers(self) -> dict[str, str]:
        """What says the version that is spoken."""
        return dict(_HEADERS[self.metadata.version])

    def count(self, entities: EntitySet, conditions: str) -> int | None:
        """Return how many entities fulfil conditions, as the service counts them; None where it does not count."""
        params = self._params(conditions, {})
        headers = {**self.headers, "Accept": "text/plain, */*"}
        reply = self._asked(f"{entities.name}/$count", params, headers)
        if reply is not None and (text := reply.text.strip("\ufeff \r\n")).isdigit():
            return int(text)
        inline = {"$inlinecount": "allpages"} if self.metadata.version == "V2" else {"$count": "true"}
        reply = self._asked(entities.name, self._params(conditions, {**inline, "$top": "1"}), self.headers)
        document = reply.json(EXACT) if reply is not None else None
        counted = _inner(document).get("__count", _inner(document).get("@odata.count", _inner(document).get("@count")))
        return int(counted) if counted is not None and str(counted).isdigit() else None

    def page(self, entities: EntitySet, conditions: str, options: Mapping[str, str], size: int = 0) -> EntityPage:
        """Return entities that fulfil conditions; raises ServiceError."""
        return self._page(entities.name, self._params(conditions, options), size)

    def following(self, page: EntityPage, size: int = 0) -> EntityPage:
        """Return the page after one, by the address that the service gave, with our parameters where it lacks them."""
        there = dict(parse_qsl(urlsplit(page.following).query, keep_blank_values=True))
        mine = {name: text for name, text in self.query.items() if name not in there and not name.startswith("$")}
        return self._page(page.following, mine, size)

    def change(self, change: Change) -> Reply:
        """Return the answer to a change, one that says no too; raises ServiceError where there is none.

        It goes with the token against forged requests that the service gives, if it gives any; where the token is not
        accepted, nothing was done, and the change goes once more with a new one.
        """
        for _ in range(2):
            if self._token is None:
                self._token = self._fetched_token()
            token = {"x-csrf-token": self._token} if self._token else {}
            params = {name: text for name, text in self.query.items() if not name.startswith("$")}
            headers = {**change.headers, **token}
            reply = self.service.call(
                change.method, change.path, params=params, content=change.body, headers=headers, expect=_SAID_NO
            )
            if reply.status != 403 or reply.headers.get("x-csrf-token", "").lower() != "required":
                break
            self._token = None
        return reply

    def _fetched_token(self) -> str:
        """Return the token of our session, whose cookie comes with it; empty where the service has none."""
        of_all = {name: text for name, text in self.query.items() if not name.startswith("$")}
        headers = {**self.headers, "x-csrf-token": "Fetch"}
        reply = self._asked("", of_all, headers) or self._asked("$metadata", of_all, {**headers, "Accept": "*/*"})
        return reply.headers.get("x-csrf-token", "") if reply else ""

    def _page(self, path: str, params: Mapping[str, str], size: int) -> EntityPage:
        headers = self.headers
        if size and self.metadata.version == "V4":
            headers["Prefer"] = f"odata.maxpagesize={size}"
        reply = self.service.call("GET", path, params=params, headers=headers)
        document = reply.json(EXACT)
        inner = _inner(document)
        name = "results" if self.metadata.version == "V2" else "value"
        found = inner.get(name) if isinstance(inner, dict) else None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise ServiceGarbled(
                f"the answer of {masked(reply.url)} has no list of entities in {name!r}: {reply.text[:200]}"
            )
        link = inner.get("__next") or inner.get("@odata.nextLink") or inner.get("@nextLink") or ""
        return EntityPage(found, urljoin(reply.url, link) if link else "")

    def _asked(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Reply | None:
        """Return an answer; None where the service does not do what it is asked."""
        try:
            return self.service.call("GET", path, params=params, headers=headers)
        except ServiceRefused as refusal:
            if refusal.status in NOT_DONE:
                return None
            raise

    def _params(self, conditions: str, options: Mapping[str, str]) -> dict[str, str]:
        """Return the parameters of a call: those of the table, its filter and ours as one."""
        own = self.query.get("$filter", "")
        both = f"({own}) and ({conditions})" if own and conditions else own or conditions
        return {**self.query, **options, **({"$filter": both} if both else {})}


def _inner(document: Any) -> dict[str, Any]:
    """Return what has the entities in an answer: V2's `d`, which may itself be the list, or V4's whole."""
    if not isinstance(document, dict):
        return {}
    inner = document.get("d", document)
    return {"results": inner} if isinstance(inner, list) else inner if isinstance(inner, dict) else {}
