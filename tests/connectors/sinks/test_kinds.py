"""Each kind of sink keeps the whole protocol, whoever wrote it; a place that is none is told with those there are."""

from importlib import import_module

import pytest

from factory.connectors.sinks.kinds import _SQL, DELIVERIES, KINDS, sends_decisions, sink_of
from factory.connectors.sinks.screen import ScreenSink
from factory.connectors.sinks.sink import Sink
from factory.errors import EnvironmentRefused, LineError
from tests.connectors.sinks.targets import target

PROMISED = {name for name in vars(Sink) if not name.startswith("_")}


def sink_class(place):
    """Return the class that a kind's function says it returns."""
    module, _, function = place.partition(":")
    loaded = import_module(module)
    said = getattr(loaded, function).__annotations__["return"]
    return getattr(loaded, said) if isinstance(said, str) else said


@pytest.mark.parametrize("place", sorted({*KINDS.values(), _SQL}))
def test_a_kind_of_sink_keeps_the_protocol(place):
    assert {"check", "deliver", "present", "close", "repeatable", "batch_size"} <= PROMISED
    assert PROMISED - set(dir(sink_class(place))) == set()


def test_screens_keep_it_too():
    assert PROMISED - set(dir(ScreenSink)) == set()


def test_a_place_that_is_none_is_told_with_those_there_are():
    with pytest.raises(LineError, match=r"ftp://host/x is no place that a sink writes to; there are .*https:"):
        sink_of(target("ftp://host/x"))


def test_a_switch_that_is_misspelt_sends_nothing_and_says_what_to_write():
    assert sends_decisions({})
    assert not sends_decisions({DELIVERIES: "dry_run"})
    with pytest.raises(EnvironmentRefused, match="FACTORY_DELIVERIES is 'dry-run': write dry_run"):
        sends_decisions({DELIVERIES: "dry-run"})
