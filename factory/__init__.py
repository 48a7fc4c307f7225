"""A factory for models: raw enterprise data in, a gated model at every site out.

For a notebook or a program, what the factory knows as frames and arrays (factory/reports/notebook.py):

    import factory

    home = factory.open_home()                      # the project's around the working folder, or a path
    home.status()                                   # a row a site: rows, verdict, what it serves
    line = home.line("departure_delay")
    line.features(["UA"])                           # what the models see, and the label
    line.verdicts(), line.checks("UA"), line.history("UA")
    model = line.model("UA")                        # what the site serves, checked as the gateway checks it
    model.answers(line.features(["UA"]))            # a frame with the rows' answers and decisions

What would the gates say with other limits? The line's file says what they are now:

    now = factory.load_lines()["departure_delay"]   # needs the orchestrator's package, for it loads `lines/`
    line.what_if("UA", dataclasses.replace(now.gates, min_rows=5000), now.task)

Everything here only reads. Commands, the orchestrator and `lines/` are how things are changed.
"""

from typing import TYPE_CHECKING, Any

from factory.errors import FactoryError

if TYPE_CHECKING:
    from factory.orchestration.project import load_lines
    from factory.reports.notebook import HomeView, LineView, ServedModel, open_home

__all__ = ["FactoryError", "HomeView", "LineView", "ServedModel", "load_lines", "open_home"]


def __getattr__(name: str) -> Any:
    """Load what a notebook uses when it is first asked for: a command must not wait for it."""
    if name == "load_lines":
        from factory.orchestration.project import load_lines

        return load_lines
    if name in __all__:
        from factory.reports import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
