"""What starts a line by itself, without a daemon: new rows and sites, drift, the calendar; the job they ask for."""

from collections.abc import Mapping
from datetime import datetime

import dagster as dg
import pytest

from factory.errors import NameRefused
from factory.orchestration.attempts import MAX_ATTEMPTS
from factory.orchestration.line_job import CAUSE, line_job
from factory.orchestration.resources.calendar import Calendar
from factory.orchestration.resources.launcher import Launcher
from factory.orchestration.sensors import line_schedule
from tests.toy.line import NAME, ToyFactory, toy_line
from tests.toy.press_faults.presses import Presses


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


class Watcher:
    """One sensor of the toy line, tick after tick."""

    def __init__(self, toy, name, instance):
        self.toy, self.name, self.instance, self.cursor = toy, f"{NAME}_{name}", instance, None

    def tick(self, day="2024-02-01", **swapped):
        definitions = self.toy.definitions()
        names = ("lake", f"{NAME}_source", "registry", "store")
        resources = {**{one: definitions.resources[one] for one in names}, "calendar": Calendar(as_of=day), **swapped}
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, resources=resources)
        self.found = definitions.resolve_sensor_def(self.name).evaluate_tick(context)
        self.cursor = self.found.cursor or self.cursor
        return {request.run_key: asked(request) for request in self.found.run_requests or ()}


def asked(request):
    """What a request asks the line's job for."""
    return request.run_config["ops"][f"{NAME}_line"]["config"]


def known(instance, *sites):
    instance.add_dynamic_partitions(f"{NAME}_sites", list(sites))


class PressesWith(Presses):
    """The toy's source, which has a plant more, or one whose name is no name."""

    def __init__(self, *more):
        super().__init__()
        self.more = more

    def newest(self, table, until):
        return super().newest(table, until) | dict.fromkeys(self.more, datetime(2024, 1, 31))


def test_rows_that_arrived_are_asked_for_once_and_only_at_the_sites_that_have_some(tmp_path, instance):
    known(instance, "north", "south", "east")
    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    (first,) = watcher.tick("2024-02-01").values()
    assert first == {"sites": ["east", "north", "south"], "until": "2024-02-01", "operate_only": True}
    assert watcher.tick("2024-02-01") == {}
    (later,) = watcher.tick("2024-02-02").values()  # the small plant made no part on that day
    assert (later["sites"], later["until"]) == (["north", "south"], "2024-02-02")


def test_a_site_that_the_source_has_and_the_line_has_not_is_added_and_gets_its_first_model(tmp_path, instance):
    known(instance, "north", "south", "east")
    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    watcher.tick()
    found = watcher.tick(**{f"{NAME}_source": PressesWith("west")})
    assert list(found.values()) == [{"sites": ["west"], "until": "2024-02-01", "operate_only": False}]
    (added,) = watcher.found.dynamic_partitions_requests
    assert (added.partitions_def_name, list(added.partition_keys)) == (f"{NAME}_sites", ["west"])


def test_a_site_whose_name_is_no_name_harms_no_other(tmp_path, instance):
    known(instance, "north", "south", "east")
    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    (found,) = watcher.tick(**{f"{NAME}_source": PressesWith("../etc")}).values()
    assert found["sites"] == ["east", "north", "south"]


def test_a_source_that_cannot_tell_what_is_new_says_so_and_starts_nothing(tmp_path, instance):
    class Mute(Presses):
        def newest(self, table, until):
            return None

    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    assert watcher.tick(**{f"{NAME}_source": Mute()}) == {}
    assert "cannot tell what is new" in watcher.found.skip_message


def drifted(toy, site, at, *, digest="d" * 64, acts=True, cause="drift"):
    figures = {"as_of": "2024-02-15", "digest": digest, "alert": {"at": at, "acts": acts, "cause": cause, "text": ""}}
    toy.journal.record("drift", {site: figures}, {site: at}, run="r", seconds=0.0)


def test_sites_that_drifted_are_trained_anew_in_one_run_and_asked_for_once(tmp_path, instance):
    toy = ToyFactory(tmp_path)
    drifted(toy, "north", "2024-02-12")
    drifted(toy, "south", "2024-02-12", cause="performance")
    drifted(toy, "east", "2024-02-12", acts=False)
    watcher = Watcher(toy, "drifted", instance)
    (found,) = watcher.tick().values()
    assert found == {"sites": ["north", "south"], "until": "2024-02-15", "operate_only": False}
    assert watcher.found.run_requests[0].tags[CAUSE] == "drift+performance"
    assert watcher.tick() == {}
    drifted(toy, "south", "2024-02-26")
    (again,) = watcher.tick().values()
    assert again["sites"] == ["south"]


class FakeLauncher(Launcher):
    """Launches nothing, says what a launch would, and ends with the code that it was given."""

    code: int = 0

    def launch(self, words, show):
        show({"event": "run", "name": "a", "run": "b"})
        show({"event": "stage", "stage": "clean", "todo": ["north"], "unchanged": 2})
        if self.code:
            show({"event": "site_failed", "text": f"clean of north failed: {' '.join(words)}"})
        return self.code


def run_line(config: Mapping[str, object], instance, key="", code=0):
    return line_job(toy_line()).execute_in_process(
        {"ops": {f"{NAME}_line": {"config": dict(config)}}},
        instance=instance,
        resources={"launcher": FakeLauncher(root="", home="", code=code)},
        tags={"dagster/run_key": key} if key else {},
        raise_on_error=False,
    )


def test_the_job_does_what_the_command_line_does(instance):
    done = run_line({"sites": ["north"], "until": "2024-02-01"}, instance, code=1)
    assert not done.success
    told = done.get_step_failure_events()[0].step_failure_data.user_failure_data.description
    assert "clean of north failed: run press_faults --sites north --until 2024-02-01" in told
    assert run_line({"operate_only": True}, instance).success


def test_a_site_whose_name_is_no_name_never_gets_into_the_words(instance):
    done = run_line({"sites": ["--home=/"]}, instance)
    assert NameRefused.__name__ in str(done.get_step_failure_events()[0].step_failure_data.error)


def test_a_run_that_fails_is_asked_for_again_under_another_key_and_not_for_ever(tmp_path, instance):
    toy = ToyFactory(tmp_path)
    drifted(toy, "north", "2024-02-12")
    watcher, keys = Watcher(toy, "drifted", instance), []
    for _ in range(MAX_ATTEMPTS + 3):
        for key, config in watcher.tick().items():
            keys.append(key)
            assert not run_line(config, instance, key, code=1).success
    assert len(keys) == len(set(keys)) == MAX_ATTEMPTS


def test_the_calendar_runs_the_whole_line_once_for_each_date_and_twice_more_if_it_fails():
    schedule = line_schedule(toy_line(), "0 4 1 * *")
    when = datetime(2024, 3, 1, 4)
    context = dg.build_schedule_context(scheduled_execution_time=when, resources={"calendar": Calendar()})
    request = schedule(context)
    assert asked(request) == {"sites": [], "until": "2024-03-01", "operate_only": False}
    assert request.run_key == f"{NAME}-calendar-2024-03-01T04:00"
    assert request.tags["dagster/max_retries"] == "2"
