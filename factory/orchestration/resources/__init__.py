"""Dagster resources over what the other rooms do: lake, compute, registry, model store, alerts and more."""
