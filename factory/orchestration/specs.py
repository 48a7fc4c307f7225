"""What each asset is, for people: description, kinds, owner, and what it reads."""

from collections.abc import Sequence

import dagster as dg

from factory.line.line import Line
from factory.monitoring.prediction_log.rows import columns


def asset_key(line: Line, name: str) -> dg.AssetKey:
    """Return the key `<line>/<name>`."""
    return dg.AssetKey([line.name, *name.split("/")])


def _spec(
    line: Line,
    name: str,
    description: str,
    kinds: set[str],
    reads: Sequence[str],
    sites: dg.PartitionsDefinition[str] | None = None,
    metadata: dict[str, object] | None = None,
) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset_key(line, name),
        description=description,
        deps=[asset_key(line, read) for read in reads],
        kinds=kinds,
        owners=[line.owner],
        group_name=line.name,
        partitions_def=sites,
        skippable=True,
        metadata=metadata,
    )


def reference_specs(line: Line) -> list[dg.AssetSpec]:
    """Return the raw and clean assets of the tables that all sites share."""
    specs = []
    for table in line.shared_tables:
        raw = f"raw/{table.name}"
        specs.append(
            _spec(
                line, raw, f"{table.name} exactly as its source delivered it; shared by all sites.", {"deltalake"}, []
            )
        )
        specs.append(
            _spec(
                line,
                line.lake_table("clean", table),
                f"{table.name} after contract, deduplication and repair; shared by all sites.",
                {"polars", "deltalake", "greatexpectations"},
                [raw],
            )
        )
    return specs


def site_specs(line: Line, sites: dg.PartitionsDefinition[str]) -> list[dg.AssetSpec]:
    """Return the data assets of a site: raw, clean, quarantine, features."""
    raw = f"raw/{line.decision_table}"
    shared = [line.lake_table("clean", table) for table in line.shared_tables]
    schema = dg.TableSchema(
        columns=[dg.TableColumn(name, "float", description=text) for name, text in line.features.columns.items()]
    )
    judged = {"polars", "deltalake", "greatexpectations"}
    return [
        _spec(
            line, raw, f"{line.decision_table} of the site, exactly as they came, each once.", {"deltalake"}, [], sites
        ),
        _spec(
            line,
            "clean",
            "The newest version of each row that keeps the contract, in right types, units and UTC.",
            judged,
            [raw],
            sites,
        ),
        _spec(
            line,
            "quarantine",
            "Rows that broke the contract, unchanged, each with the rules it broke.",
            judged,
            [raw],
            sites,
        ),
        _spec(
            line,
            "features",
            "What is known at the moment of each decision, and the label once the outcome is known.",
            {"polars", "deltalake"},
            ["clean", *shared],
            sites,
            {"dagster/column_schema": schema},
        ),
    ]


def operation_specs(line: Line, sites: dg.PartitionsDefinition[str]) -> list[dg.AssetSpec]:
    """Return the assets of a site's decisions, and before them the context, if the line has one."""
    answered = columns(line.task.answers).items()
    schema = dg.TableSchema(
        columns=[dg.TableColumn(name, str(kind), description=text) for name, (kind, text) in answered]
    )
    context = _spec(
        line,
        "context",
        "What the gateway keeps beside the models to build features of a row that just came, checked against training.",
        {"polars"},
        ["features", *(line.lake_table("clean", table) for table in line.tables.values())],
        sites,
    )
    return [
        *([context] if line.context else []),
        _spec(
            line,
            "served",
            "What the gateway was asked and answered, row by row, by which file, and who was told.",
            {"polars", "deltalake"},
            ["release"],
            sites,
            {"dagster/column_schema": schema},
        ),
        _spec(
            line,
            "predictions",
            "What the site's release answered to each decision since it is served, and which file it was.",
            {"polars", "onnx", "deltalake"},
            ["features", "release"],
            sites,
        ),
        _spec(
            line,
            "outcomes",
            "What really happened: predictions whose label is known by now, and what each decision was worth.",
            {"polars", "deltalake"},
            ["predictions", "features"],
            sites,
        ),
        _spec(
            line,
            "drift",
            "How far each feature, the answers and their worth moved, week by week, and what is more than noise.",
            {"polars", "deltalake"},
            ["outcomes", "features"],
            sites,
        ),
        _spec(
            line,
            "served_outcomes",
            "What really happened to what the gateway told, where its door knew the row, and what it was worth.",
            {"polars", "deltalake"},
            ["served", "features"],
            sites,
        ),
    ]


def base_spec(line: Line) -> dg.AssetSpec:
    """Return the one asset of the pooled sites."""
    return _spec(
        line,
        "base_model",
        "One network trained on the pooled features of all sites, and the baseline it must beat.",
        {"pytorch", "scikitlearn", "mlflow"},
        ["features"],
    )


def model_specs(line: Line, sites: dg.PartitionsDefinition[str]) -> list[dg.AssetSpec]:
    """Return the model assets of a site: site_model, verdict, release, report."""
    return [
        _spec(
            line,
            "site_model",
            "The base model fine-tuned on the site's own rows: a candidate in the registry, not yet trusted.",
            {"pytorch", "mlflow"},
            ["base_model", "features"],
            sites,
        ),
        _spec(
            line,
            "verdict",
            "Whether the candidate may serve: every reason against it and every figure, bound to its digest.",
            {"python", "mlflow", "deltalake"},
            ["site_model", "features"],
            sites,
        ),
        _spec(
            line,
            "release",
            "What the site serves: the model whose digest has a passing verdict, in the model repository.",
            {"mlflow", "onnx"},
            ["verdict"],
            sites,
        ),
        _spec(
            line,
            "report",
            "A page to look at: data, contract, training, figures, money, weak spots, verdict; and the line's page.",
            {"html", "onnx"},
            ["release", "features", "quarantine"],
            sites,
        ),
    ]
