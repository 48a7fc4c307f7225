"""Builds features of business rows, line by line, beside the event loop.

How that is done is not the gateway's to know: whoever starts it hands it a `SnapshotSource`. Snapshots are followed as
they change in the model repository; one that is refused leaves the one before it in use.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple, Protocol

from factory.errors import RecordRefused, SnapshotRefused
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.refusal import RequestRefused, come_again
from factory.model.session import Rows
from factory.names import model_name

log = logging.getLogger(__name__)

Field = str | int | float | bool | None
Fields = Mapping[str, Field]
MAX_WAITING, MAX_WAITING_ROWS = 64, 16_384
"""Requests, and rows of them, that are being built or wait for it, of all lines together."""


class BuiltRows(Protocol):
    """What became of a request's rows: see `factory.features.online.builder.Built`."""

    @property
    def features(self) -> Rows: ...  # noqa: D102
    @property
    def places(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def subjects(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def refused(self) -> Mapping[int, str]: ...  # noqa: D102
    @property
    def known_until(self) -> str | None: ...  # noqa: D102


class BusinessRows(NamedTuple):
    """The rows of a request: those to decide, those to look at alone, and until when the latter say what happened."""

    records: Sequence[Fields]
    context: Sequence[Fields] = ()
    known_until: str | None = None


OnBuilt = Callable[[BuiltRows | BaseException], None]
"""Is given what was built of a request's rows, or what went wrong."""


class RowBuilder(Protocol):
    """Turns one line's business rows into features: see `factory.features.online.builder.Builder`."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that it builds, in order."""
        ...

    @property
    def known_until(self) -> str | None:
        """The moment of the newest row it looks back on, ISO in UTC."""
        ...

    @property
    def shut(self) -> Mapping[str, str]:
        """The sites whose rows it does not build, and why: which feature cannot be told here as training has it."""
        ...

    def build(
        self, site: str, records: Sequence[Fields], context: Sequence[Fields] = (), known_until: str | None = None
    ) -> BuiltRows:
        """Return the records' features, the other arguments as in `BusinessRows`; raises RecordRefused. In threads."""
        ...


class SnapshotSource(Protocol):
    """Where snapshots come from."""

    def marks(self) -> Mapping[str, str] | None:
        """Return, for each line with a snapshot, a token that changes with it; None where the folder is away."""
        ...

    def builder(self, line: str) -> RowBuilder:
        """Return what builds rows on the line's snapshot; raises SnapshotRefused where it must not be used."""
        ...


class NoSnapshots:
    """Keeps SnapshotSource's promise where there are none."""

    def marks(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def builder(self, line: str) -> RowBuilder:
        """Refuse."""
        raise SnapshotRefused(f"line {line} has no snapshot here")


class RowBuilders:
    """The lines whose business rows can be asked about; used on one event loop."""

    def __init__(self, source: SnapshotSource, telemetry: Telemetry) -> None:
        self.refused: dict[str, str] = {}
        self._telemetry = telemetry
        telemetry.snapshots = self._known_until
        self._source = source
        self._builders: dict[str, RowBuilder] = {}
        self._seen: dict[str, str] = {}
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="rows")  # a build uses all processors by itself
        self._waiting = self._waiting_rows = 0
        self._looked = False
        self.settled = isinstance(source, NoSnapshots)
        """Whether a first look at the snapshots is over: what they say of business rows is the case then."""

    def _known_until(self) -> Mapping[str, float]:
        moments = {line: builder.known_until for line, builder in self._builders.items()}
        return {line: datetime.fromisoformat(at).timestamp() if at else 0.0 for line, at in moments.items()}

    async def watch(self, every_s: float) -> None:
        """Follow the snapshots until cancelled; the first look is at once."""
        while True:
            try:
                await self.refresh()
            except Exception:  # the task must outlive a disk that is away for a moment
                log.exception("the snapshots could not be read; what is in use stays")
            self.settled = True
            await asyncio.sleep(every_s)

    async def refresh(self) -> None:
        """Take over snapshots that are new or changed, and forget those that are gone."""
        marks = await asyncio.to_thread(self._source.marks)
        if marks is None:
            return
        for line in set(self._seen) - set(marks):
            for known in (self._seen, self._builders, self.refused):
                known.pop(line, None)
        for line, mark in marks.items():
            if self._seen.get(line) != mark:
                await self._load(line, mark)
        self._looked = True

    async def _load(self, line: str, mark: str) -> None:
        try:
            self._builders[line] = await asyncio.to_thread(self._source.builder, line)
        except OSError as error:  # a disk that is away for a moment: not seen yet, so it is tried again
            if self.refused.get(line) != str(error):
                self._refuse(line, str(error))
            return
        except SnapshotRefused as error:
            self._refuse(line, str(error))
        except Exception as error:  # the boundary of a line: what is wrong with one keeps no other from its snapshot
            log.exception("the snapshot of %s could not be loaded", line)
            self._refuse(line, f"it failed while it was loaded: {type(error).__name__}; the log says where")
        else:
            self.refused.pop(line, None)
            until = self._builders[line].known_until
            log.info(
                "features of %s are built on %s", line, f"rows until {until}" if until else "a request's rows alone"
            )
        self._seen[line] = mark

    def _refuse(self, line: str, reason: str) -> None:
        self.refused[line] = reason
        self._telemetry.refused_snapshots[line] += 1
        log.error("snapshot refused, %s: %s", self._what_stays(line), reason)

    def _what_stays(self, line: str) -> str:
        return "the one before it stays in use" if line in self._builders else "only features can be asked of it"

    def shut(self) -> Mapping[str, str]:
        """Return by model whose business rows are not answered, and why."""
        shut = ((line, site, why) for line, builder in self._builders.items() for site, why in builder.shut.items())
        return {model_name(line, site): why for line, site, why in shut}

    def of(self, line: str, site: str, features: tuple[str, ...]) -> RowBuilder:
        """Return what builds the site's rows; raises RequestRefused where nothing does, or other features."""
        builder = self._builders.get(line)
        if builder is None:
            raise self._missing(line)
        if site in builder.shut:
            raise RequestRefused(
                409, f"business rows are not answered here: {builder.shut[site]}; send `rows` of features"
            )
        if builder.feature_names != features:
            raise RequestRefused(
                409, "this site serves a model of other features than its line builds now; send `rows` of features"
            )
        return builder

    def _missing(self, line: str) -> RequestRefused:
        if line in self.refused:
            return RequestRefused(409, f"line {line}: its snapshot was refused, see the log; send `rows` of features")
        if not self._looked:
            return come_again(503, "the snapshots are being loaded, which takes a second", 1)
        return RequestRefused(409, f"line {line} has no snapshot, so its features are not built here; send `rows`")

    def build(self, builder: RowBuilder, site: str, asked: BusinessRows, done: OnBuilt) -> None:
        """Build a request's rows in a thread, and tell on the event loop; raises RequestRefused (503) when full."""
        rows = len(asked.records) + len(asked.context)
        if self._waiting >= MAX_WAITING or self._waiting_rows + rows > MAX_WAITING_ROWS:
            said = f"{self._waiting} requests of {self._waiting_rows} rows wait for their features"
            raise come_again(503, f"{said}; the limits are {MAX_WAITING} and {MAX_WAITING_ROWS}", 1)
        self._waiting += 1
        self._waiting_rows += rows
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._workers, _built, builder, site, asked).add_done_callback(
            lambda built: self._done(done, rows, built)
        )

    def _done(self, done: OnBuilt, rows: int, built: "asyncio.Future[BuiltRows | BaseException]") -> None:
        self._waiting -= 1
        self._waiting_rows -= rows
        if not built.cancelled():  # at the end, when nobody waits any more
            done(built.result())

    async def end(self) -> None:
        """Wait for what is being built, and forget what waits: whoever asked was given time to hear it."""
        await asyncio.to_thread(self._workers.shutdown, cancel_futures=True)


def _built(builder: RowBuilder, site: str, asked: BusinessRows) -> BuiltRows | BaseException:
    """Return what was built, or why it was not, as the client is told."""
    try:
        return builder.build(site, *asked)
    except RecordRefused as error:
        return RequestRefused(400, str(error))
    except BaseException as error:  # the boundary of a request: a panic in the frame engine is no Exception
        log.exception("features of %s could not be built", site)
        return error
