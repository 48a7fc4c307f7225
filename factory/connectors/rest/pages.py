"""The pages of a service one after the other: a section `paging` in, the records of each page out.

Where the section says nothing, a page's own header `Link` or one of the keys that services use for the next address is
followed; an answer that shows in another way that it is not all is refused, for rows would be lost without a word.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpx

from factory.connectors.tables.json_text import Literal
from factory.connectors.web.paging import Paging
from factory.connectors.web.reading import ChangedError
from factory.connectors.web.session import Reply, Service
from factory.errors import SourceError
from factory.errors.masking import masked

_EXACT = json.JSONDecoder(parse_float=Literal, parse_int=Literal, parse_constant=Literal, strict=False)
_WAYS = ("auto", "link", "next", "token", "page", "offset", "none")
_DEEPEST = 3
_MOST_SAME, _MOST_EMPTY = 3, 100
_NEXT = (
    "next",
    "next_url",
    "next_page_url",
    "nextLink",
    "@odata.nextLink",
    "links.next",
    "links.next.href",
    "_links.next",
    "_links.next.href",
    "paging.next",
    "pagination.next",
    "pagination.next_url",
    "meta.next",
    "page.next",
)
_TOKENS = (
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "next_token",
    "nextToken",
    "meta.next_cursor",
    "meta.next_token",
    "meta.cursor",
    "pagination.next_cursor",
    "pagination.cursor",
    "paging.cursors.after",
    "response_metadata.next_cursor",
)
_MORE = ("has_more", "hasMore", "more", "meta.has_more", "pagination.has_more", "paging.has_more", "pagination.hasNext")
_TOTALS = (
    "total",
    "total_count",
    "totalCount",
    "count",
    "meta.total",
    "meta.total_count",
    "pagination.total",
    "paging.total",
    "page.totalElements",
    "totalElements",
)


@dataclass(frozen=True)
class Page:
    """One answer: its document, and the records in it."""

    reply: Reply
    document: Any
    records: list[Any]


@dataclass(frozen=True)
class _Request:
    path: str
    params: Mapping[str, str]


class Pages:
    """The pages of a table that a service has.

    `records` is the key of the list in an answer; empty where the answer is the list, or has only one.
    """

    def __init__(self, service: Service, paging: Paging, records: str, params: Mapping[str, str]) -> None:
        self._service, self._paging, self._records = service, paging, records
        self._params = dict(params)
        paging.require(_WAYS, "a REST service")
        if paging.size and paging.size_parameter:
            self._params[paging.size_parameter] = str(paging.size)

    def __iter__(self) -> Iterator[Page]:
        """Yield page after page; raises SourceError, ServiceError, and ChangedError where the total is another."""
        request: _Request | None = self._first()
        asked, seen, rows, empty = set[str](), Counter[bytes](), 0, 0
        totals = set[int]()
        while request:
            mark = json.dumps([request.path, sorted(request.params.items())])
            if mark in asked:
                raise self._endless(f"page {len(asked) + 1} is one that was asked for before")
            asked.add(mark)
            page = self._page(request)
            rows, empty = rows + len(page.records), 0 if page.records else empty + 1
            self._require_progress(page, seen, len(asked), empty)
            yield page
            request = self._following(request, page, rows)
            if (total := self._total(page)) is not None:
                totals.add(total)
                _require_total(totals, rows, last=request is None)

    def first(self) -> Page:
        """Return the first page."""
        return self._page(self._first())

    def _first(self) -> _Request:
        paging, start = self._paging, {}
        if paging.by in ("page", "offset"):
            start = {paging.asks_with: str(paging.first if paging.by == "page" else 0)}
        return _Request("", {**self._params, **start})

    def _page(self, request: _Request) -> Page:
        reply = self._service.call("GET", request.path, params=request.params, headers={"Accept": "application/json"})
        if reply.status == 204:
            return Page(reply, {}, [])
        document = reply.json(_EXACT)
        return Page(reply, document, self._records_of(document, reply))

    def _records_of(self, document: Any, reply: Reply) -> list[Any]:
        if isinstance(document, list):
            return document
        if document == {}:
            return []
        where = masked(reply.url)
        key = self._records or records_key(document)
        if not key:
            raise SourceError(
                f"the answer of {where} is no list and has none, or many: {_shape(document)}; say under which key its "
                "records are, as in `records: data`"
            )
        records = value_at(document, key)
        if records is None and key.rpartition(".")[2] in (value_at(document, key.rpartition(".")[0]) or {}):
            return []
        if not isinstance(records, list):
            raise SourceError(f"the answer of {where} has no list {key!r}: {_shape(document)}; mend `records`")
        return records

    def _following(self, request: _Request, page: Page, rows: int) -> _Request | None:
        paging = self._paging
        match paging.by:
            case "none":
                return None
            case "link":
                return self._linked(page, _link_of(page))
            case "next":
                return self._linked(page, value_at(page.document, paging.at))
            case "token":
                token = value_at(page.document, paging.at)
                return self._asked(request, str(token)) if token not in (None, "", False) else None
            case "page":
                following = str(int(request.params[paging.asks_with]) + 1)
            case "offset":
                following = str(rows)
            case _:
                return self._linked(page, self._found_next(page, rows))
        total = self._total(page)
        done = not page.records if total is None else rows >= total or not page.records
        return None if done else self._asked(request, following)

    def _asked(self, request: _Request, value: str) -> _Request:
        return _Request(request.path, {**request.params, self._paging.asks_with: value})

    def _linked(self, page: Page, link: Any) -> _Request | None:
        if link in (None, "", False):
            return None
        if not isinstance(link, str) or isinstance(link, Literal):
            raise SourceError(
                f"the next page's address in {masked(page.reply.url)} is {link!r}, no address: mend `paging`"
            )
        return _Request(urljoin(page.reply.url, link), {})

    def _found_next(self, page: Page, rows: int) -> Any:
        """Return the address that a page itself names; raises SourceError where it shows otherwise that more follow."""
        if link := _link_of(page):
            return link
        for key in _NEXT:
            link = value_at(page.document, key)
            if isinstance(link, str) and not isinstance(link, Literal) and any(sign in link for sign in "/?"):
                return link
        more = {key: value_at(page.document, key) for key in (*_TOKENS, *_MORE, *_NEXT)}
        signs = [key for key, value in more.items() if value not in (None, "", False) and not isinstance(value, dict)]
        totals = [key for key in _TOTALS if (total := _number(value_at(page.document, key))) and total > rows]
        if signs or totals:
            key = (signs or totals)[0]
            raise SourceError(
                f"the answer of {masked(page.reply.url)} has {len(page.records)} records, and by {key!r} = "
                f"{value_at(page.document, key)!r} there are more: say how to ask for them, as in "
                f"`paging: {{by: token, at: {key}, parameter: cursor}}` or `paging: {{by: page, parameter: page}}`"
            )
        return None

    def _total(self, page: Page) -> int | None:
        if not self._paging.total or page.document == {}:
            return None
        value = value_at(page.document, self._paging.total)
        total = _number(value)
        if total is None:
            raise SourceError(
                f"the answer of {masked(page.reply.url)} has {value!r} in {self._paging.total!r}, no number of rows; "
                "mend `paging: {total: …}`"
            )
        return total

    def _require_progress(self, page: Page, seen: Counter[bytes], number: int, empty: int) -> None:
        if empty > _MOST_EMPTY:
            raise self._endless(f"{empty} pages in a row are empty")
        if page.records:
            content = hashlib.sha256(json.dumps(page.records).encode()).digest()
            seen[content] += 1
            most = 1 if self._paging.by in ("page", "offset", "token") else _MOST_SAME
            if seen[content] > most:
                raise self._endless(f"page {number} has the very records of an earlier one")

    def _endless(self, why: str) -> SourceError:
        return SourceError(
            f"{masked(self._service.address)} gives its pages again and again: {why}. Nothing was written; is `paging` "
            "right, and does the service heed its parameter?"
        )


def _require_total(totals: set[int], rows: int, *, last: bool) -> None:
    """Raise ChangedError where pages say different numbers of rows, or the last one another than came."""
    if len(totals) > 1 or (last and totals != {rows}):
        said = " and then ".join(f"{total:,}" for total in sorted(totals))
        raise ChangedError(f"the service says that it has {said} rows, and {rows:,} came")


def records_key(document: Any) -> str:
    """Return the key of the only list of objects in an answer, `a.b` where it is within another; empty if not one."""
    if not isinstance(document, dict):
        return ""
    keys = list(_lists(document, "", _DEEPEST))
    full = [key for key in keys if value_at(document, key)]
    return (full or keys)[0] if len(full or keys) == 1 else ""


def _lists(document: Mapping[str, Any], before: str, deepest: int) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            yield f"{before}{key}"
        elif isinstance(value, dict) and deepest:
            yield from _lists(value, f"{before}{key}.", deepest - 1)


def value_at(document: Any, key: str) -> Any:
    """Return what a document has under a key; `a.b` is within another, unless it is itself a key. None if nothing."""
    if not key:
        return document
    if not isinstance(document, dict):
        return None
    if key in document:
        return document[key]
    first, _, rest = key.partition(".")
    return value_at(document.get(first), rest) if rest else None


def _link_of(page: Page) -> str | None:
    """Return the next page's address in the header Link (RFC 8288)."""
    links = httpx.Response(200, headers={"Link": page.reply.headers.get("link", "")}).links
    return links.get("next", {}).get("url")


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _shape(document: Any) -> str:
    return (
        f"it has {', '.join(map(repr, list(document)[:8]))}"
        if isinstance(document, dict)
        else f"it is {document!r}"[:80]
    )
