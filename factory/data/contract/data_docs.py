"""Contract results as Great Expectations results, shown in Great Expectations Data Docs.

What comes in was judged by our own compiled contract; what goes out is, for each site, a real
`ExpectationSuiteValidationResult`, stored by Great Expectations' own store and rendered by its own site builder. No
execution engine of theirs runs, nothing is sent anywhere, nothing is written outside `root`, and the pages need no web.
Great Expectations is imported when first needed: its import takes seconds.
"""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from factory.data.contract.offline import detach
from factory.data.contract.result import CheckResult, ContractResult
from factory.errors import DocsError, FactoryError
from factory.errors.masking import masked_cause
from factory.line.expectation import Expectation
from factory.names import checked_name
from factory.storage.faults import storage_faults

RUN_NAME = "latest"
RENAMED = {"expect_multicolumn_values_to_be_unique": "expect_select_column_values_to_be_unique_within_record"}
"""Types of 0.18 that Great Expectations 1.x writes no page about, and what it calls them."""


@dataclass(frozen=True, kw_only=True)
class DataDocs:
    """A folder of Data Docs: one page for each line, table and site, and one index over all of them."""

    root: Path
    """The folder that holds the pages (`site/index.html`) and the stored results (`results`)."""

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.root.resolve() / "site" / "index.html"

    def publish(
        self, line: str, table: str, results: Mapping[str, ContractResult], *, at: datetime | None = None
    ) -> Path:
        """Put the sites' results in the place of their earlier ones and return the index page.

        `at` is when the rows were judged, now by default. Pages of other sites, tables and lines stay. Raises
        DocsError, and StorageError where the folder or its disk refuses.
        """
        root = self.root.resolve()
        try:
            with storage_faults(root):
                self._publish(root, line, table, results, at or datetime.now(UTC))
        except FactoryError:
            raise
        except Exception as error:  # noqa: BLE001  the boundary of Great Expectations, which raises what lies below it
            why = " ".join(str(error).split())[:300] or type(error).__name__
            raise DocsError(
                f"line {line}, table {table}: Great Expectations could not write its pages into {root}: {why}; rows "
                "were judged all the same. Move that folder away and run the line again: its pages are made anew"
            ) from masked_cause(error)
        return self.index

    def _publish(
        self, root: Path, line: str, table: str, results: Mapping[str, ContractResult], moment: datetime
    ) -> None:
        gx = _great_expectations()
        context = gx.get_context(mode="ephemeral", project_config=_project(root))
        for site, result in results.items():
            _remove_earlier(root, line, table, site)
            suite = gx_result(line, table, result, at=moment)
            context.validation_results_store.store_validation_results(suite, _key(line, table, site, moment))
        keys = [_key(line, table, site, moment) for site in results]
        context.build_data_docs(site_names=["docs"], resource_identifiers=keys)
        pages = root / "site"
        made = (page for name in results for page in _folder(pages / "validations", line, table, name).rglob("*.html"))
        detach(pages, [self.index, *made])


def gx_result(line: str, table: str, result: ContractResult, *, at: datetime) -> Any:
    """Return one site's result as Great Expectations' `ExpectationSuiteValidationResult`."""
    gx = _great_expectations()
    met = sum(check.success for check in result.checks)
    total = len(result.checks)
    return gx.core.ExpectationSuiteValidationResult(
        success=result.success,
        results=[_gx_check(check) for check in result.checks],
        suite_name=suite_name(line, table, result.site),
        statistics={
            "evaluated_expectations": total,
            "successful_expectations": met,
            "unsuccessful_expectations": total - met,
            "success_percent": 100 * met / total if total else None,
        },
        meta={
            "great_expectations_version": gx.__version__,
            "run_id": {"run_name": RUN_NAME, "run_time": at.isoformat()},
            "validation_time": at.isoformat(),
            "batch_spec": {"data_asset_name": table},  # the page's heading looks here, the index below
            "active_batch_definition": {
                "datasource_name": line,
                "data_connector_name": "lake",
                "data_asset_name": table,
                "batch_identifiers": {"site": result.site},
            },
        },
    )


def suite_name(line: str, table: str, site: str) -> str:
    """Return `<line>.<table>.<site>`."""
    shared = site.removeprefix("_")  # the name LINE_SITE, for what all sites share, begins with one
    return f"{checked_name(line, 'line')}.{checked_name(table, 'table')}.{checked_name(shared) and site}"


def _gx_check(check: CheckResult) -> Any:
    _great_expectations()
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    wanted = check.expectation
    return ExpectationValidationResult(
        success=check.success,
        expectation_config=ExpectationConfiguration(
            type=RENAMED.get(wanted.type, wanted.type),
            kwargs=_jsonable(_shown_kwargs(wanted.kwargs)),
            meta=_jsonable(dict(wanted.meta)),
            description=None if wanted.critical else _told_alone(wanted),
            severity=FailureSeverity(wanted.severity),
        ),
        result=_table_figures(check) if check.unexpected_count is None else _row_figures(check),
    )


def _shown_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return kwargs as Great Expectations takes them: of the language of Polars it knows nothing."""
    if kwargs.get("condition_parser") != "polars":
        return dict(kwargs)
    condition = {"type": "pass_through", "pass_through_filter": kwargs.get("row_condition")}
    return {**kwargs, "row_condition": condition, "condition_parser": None}


def _told_alone(wanted: Expectation) -> str:
    """Return the sentence that a page shows of an expectation from which nothing follows: it has no other place."""
    kwargs = ", ".join(f"{name} {value}" for name, value in wanted.kwargs.items())
    what = wanted.type.removeprefix("expect_").replace("_", " ")
    return f"{wanted.severity}, no row goes to quarantine for it: {what}: {kwargs}"


def _table_figures(check: CheckResult) -> dict[str, Any]:
    figures = {"observed_value": _jsonable(check.observed)}
    return figures if check.details is None else {**figures, "details": _jsonable(dict(check.details))}


def _row_figures(check: CheckResult) -> dict[str, Any]:
    """Return the figures under the names Great Expectations gives them."""
    figures = {
        "element_count": check.element_count,
        "unexpected_count": check.unexpected_count,
        "unexpected_percent": check.unexpected_percent,
        "partial_unexpected_list": _jsonable(list(check.examples)),
    }
    if check.missing_count is None:
        return figures
    rows = check.element_count or 0
    return {
        **figures,
        "missing_count": check.missing_count,
        "missing_percent": 100 * check.missing_count / rows if rows else None,
        "unexpected_percent_total": 100 * (check.unexpected_count or 0) / rows if rows else None,
        "unexpected_percent_nonmissing": check.unexpected_percent,
    }


def _jsonable(value: Any) -> Any:
    from great_expectations.util import convert_to_json_serializable

    return convert_to_json_serializable(value)


def _remove_earlier(root: Path, line: str, table: str, site: str) -> None:
    """Remove a site's earlier result and page, so that there is one of each; the index would list them all."""
    for store in ("results", "site/validations"):
        shutil.rmtree(_folder(root / store, line, table, site), ignore_errors=True)


def _folder(store: Path, line: str, table: str, site: str) -> Path:
    """Return where a store keeps a site's files."""
    return store.joinpath(*suite_name(line, table, site).split("."))


def _key(line: str, table: str, site: str, at: datetime) -> Any:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    return ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(suite_name(line, table, site)),
        run_id=RunIdentifier(run_name=RUN_NAME, run_time=at),
        batch_identifier=f"{table}-{site}",
    )


def _project(root: Path) -> Any:
    """Return the project's configuration: results and pages in folders, all else in memory, no analytics."""
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    def folder(name: str, **more: Any) -> dict[str, Any]:
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(root / name), **more}

    in_memory = InMemoryStoreBackendDefaults()
    results = {"class_name": "ValidationResultsStore", "store_backend": folder("results", filepath_suffix=".json")}
    return DataContextConfig(
        analytics_enabled=False,
        stores={**in_memory.stores, in_memory.validation_results_store_name: results},
        store_backend_defaults=in_memory,
        data_docs_sites={
            "docs": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": folder("site"),
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
    )


def _great_expectations() -> ModuleType:
    """Import the library without the warnings about deprecated modules that it uses itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations
        import great_expectations.core
    return great_expectations  # type: ignore[no-any-return]  # mypy does not follow the package
