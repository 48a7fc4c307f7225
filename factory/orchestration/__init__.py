"""Lines as Dagster assets, jobs, checks, sensors and runs: the only room that imports Dagster."""
