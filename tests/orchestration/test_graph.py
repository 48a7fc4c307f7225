"""The asset graph of `departure_delay` as people see it, beside a picture of it in text that a diff can be read of.

After a change that is meant: `python -m tests.orchestration.test_graph` writes the picture anew.
"""

import difflib
from pathlib import Path

import dagster as dg

import definitions

PICTURE = Path(__file__).with_name("graph_of_departure_delay.txt")
LINE = "departure_delay"


def graph():
    """The resolved graph of the real project."""
    return definitions.loaded().resolve_asset_graph()


def nodes():
    """Every asset of the line, by key."""
    found = (graph().get(key) for key in graph().get_all_asset_keys())
    return {node.key.to_user_string(): node for node in found if node.key.path[0] == LINE}


def drawn():
    """The graph as text: an asset a paragraph, then checks and jobs."""
    lines = []
    for key, node in sorted(nodes().items()):
        lines += [
            key,
            f"    {node.description}",
            f"    reads   {', '.join(sorted(dep.to_user_string() for dep in node.parent_keys)) or 'its source'}",
            f"    sites   {node.partitions_def.name if node.partitions_def else 'none, once for the line'}",
            f"    kinds   {', '.join(sorted(node.kinds))}",
            f"    group   {node.group_name}, owned by {', '.join(node.owners)}",
        ]
    checks = sorted(check for check in graph().asset_check_keys if check.asset_key.path[0] == LINE)
    lines += [f"check {check.asset_key.to_user_string()}: {check.name}" for check in checks]
    lines += [f"job {job.name}: {', '.join(assets_of(job)) or 'no assets'}" for job in jobs()]
    return [f"{line}\n" for line in lines]


def jobs():
    """The line's jobs, by name."""
    found = definitions.loaded().resolve_all_job_defs()
    return sorted((job for job in found if job.name.startswith(LINE)), key=lambda job: job.name)


def assets_of(job):
    """What a job makes."""
    return sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)


def test_the_graph_is_the_one_that_was_agreed():
    agreed = PICTURE.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = "".join(difflib.unified_diff(agreed, drawn(), PICTURE.name, "the graph now", n=1))
    assert not changed, f"\n{changed}\nif this is meant: python -m tests.orchestration.test_graph"


def test_every_asset_says_what_it_holds_whose_it_is_and_what_it_is_made_with():
    for key, node in nodes().items():
        assert node.description.endswith("."), key
        assert node.owners == ["operations@example.com"], key
        assert node.kinds, key
        assert node.group_name == LINE, key


def test_sites_are_a_dynamic_partition_so_that_adding_one_needs_no_deploy():
    per_site = {key: node.partitions_def for key, node in nodes().items() if node.partitions_def}
    assert {key.removeprefix(f"{LINE}/") for key in per_site} == {
        *(
            "raw/flights",
            "clean",
            "quarantine",
            "announced",
            "features",
            "online_snapshot",
            "prediction_log",
            "predictions",
            "outcomes",
            "drift",
        ),
        *("logged_outcomes", "site_model", "verdict", "release", "report"),
    }
    assert all(isinstance(sites, dg.DynamicPartitionsDefinition) for sites in per_site.values())
    assert {sites.name for sites in per_site.values()} == {"departure_delay_sites"}


def test_many_sites_go_in_one_run():
    per_site = [node for node in nodes().values() if node.partitions_def]
    assert all(node.backfill_policy == dg.BackfillPolicy.single_run() for node in per_site)


def test_every_asset_is_in_exactly_one_stage_job():
    made = [key for job in jobs() for key in assets_of(job)]
    assert sorted(made) == sorted(nodes())


def test_the_columns_of_the_features_are_described_in_the_graph():
    schema = nodes()[f"{LINE}/features"].metadata["dagster/column_schema"]
    columns = schema.schema.columns if isinstance(schema, dg.MetadataValue) else schema.columns
    assert len(columns) > 20
    assert all(column.description for column in columns)


def test_the_whole_project_can_be_loaded_by_the_orchestrator():
    dg.Definitions.validate_loadable(definitions.loaded())


if __name__ == "__main__":
    PICTURE.write_text("".join(drawn()), encoding="utf-8")
