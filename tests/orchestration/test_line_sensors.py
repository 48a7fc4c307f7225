"""What starts a line by itself, without a daemon: new rows and sites, drift, the calendar; the job they ask for."""

import dataclasses
from datetime import datetime

import dagster as dg
import pytest

from factory.orchestration.attempts import MAX_ATTEMPTS
from factory.orchestration.line_job import CAUSE, job_name, request_of, run_config
from factory.orchestration.resources import Calendar
from factory.orchestration.sensors import line_schedule
from factory.pipeline.events import LineRequest
from factory.pipeline.stages import OPERATING
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
    return request_of(NAME, request.run_config)


def wanted(*sites, until, stages=()):
    return LineRequest(line=NAME, sites=sites, until=until, stages=stages)


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
    assert first == wanted("east", "north", "south", until="2024-02-01", stages=OPERATING)
    assert watcher.tick("2024-02-01") == {}
    (later,) = watcher.tick("2024-02-02").values()  # the small plant made no part on that day
    assert (later.sites, later.until) == (("north", "south"), "2024-02-02")


def test_a_site_that_the_source_has_and_the_line_has_not_is_added_and_gets_its_first_model(tmp_path, instance):
    known(instance, "north", "south", "east")
    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    watcher.tick()
    found = watcher.tick(**{f"{NAME}_source": PressesWith("west")})
    assert list(found.values()) == [wanted("west", until="2024-02-01")]
    (added,) = watcher.found.dynamic_partitions_requests
    assert (added.partitions_def_name, list(added.partition_keys)) == (f"{NAME}_sites", ["west"])


def removed(toy, site):
    """Somebody took the site out of the line."""
    toy.repository.retire(f"{NAME}.{site}", by="lena", reason="the plant is sold", key=toy.store.key())


def test_a_removed_site_is_neither_added_nor_run_again_by_any_sensor(tmp_path, instance):
    known(instance, "north", "south")
    toy = ToyFactory(tmp_path)
    removed(toy, "east")
    rows = Watcher(toy, "new_rows", instance)
    assert list(rows.tick().values()) == [wanted("north", "south", until="2024-02-01", stages=OPERATING)]
    assert not rows.found.dynamic_partitions_requests
    for site in ("east", "north"):
        drifted(toy, site, "2024-01-31")
    assert [request.sites for request in Watcher(toy, "drifted", instance).tick().values()] == [("north",)]


@pytest.mark.parametrize("sign", ["version", "counts"])
def test_a_correction_or_a_deletion_that_moves_no_newest_row_is_noticed_where_the_source_can_tell(
    tmp_path, instance, sign
):
    class Telling(Presses):
        told = "first"

        def version(self, table):
            return self.told if sign == "version" else None

        def counts(self, table, until):
            return {"north": len(self.told), "south": 7} if sign == "counts" else None

    known(instance, "north", "south", "east")
    watcher, source = Watcher(ToyFactory(tmp_path), "new_rows", instance), Telling()
    assert watcher.tick(**{f"{NAME}_source": source})
    assert watcher.tick(**{f"{NAME}_source": source}) == {}
    source.told = "another"
    (asked,) = watcher.tick(**{f"{NAME}_source": source}).values()
    assert asked.sites == (("east", "north", "south") if sign == "version" else ("north",))


def test_a_site_whose_name_is_no_name_harms_no_other(tmp_path, instance):
    known(instance, "north", "south", "east")
    watcher = Watcher(ToyFactory(tmp_path), "new_rows", instance)
    (found,) = watcher.tick(**{f"{NAME}_source": PressesWith("../etc")}).values()
    assert found.sites == ("east", "north", "south")


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
    assert found == wanted("north", "south", until="2024-02-15")
    assert watcher.found.run_requests[0].tags[CAUSE] == "drift+performance"
    assert watcher.tick() == {}
    drifted(toy, "south", "2024-02-26")
    (again,) = watcher.tick().values()
    assert again.sites == ("south",)


def run_line(home, request, instance, key="", **source):
    """Run the job as the daemon would, on a source that may be broken; raw rows are brought in and no more."""
    job = ToyFactory(home).definitions(source).resolve_job_def(job_name(NAME))
    return job.execute_in_process(
        run_config=run_config(dataclasses.replace(request, stages=("raw",))),
        instance=instance,
        tags={"dagster/run_key": key} if key else {},
        raise_on_error=False,
    )


def why(done):
    """What the one failed step of a run says."""
    (event,) = done.get_step_failure_events()
    return event.step_failure_data.user_failure_data


def test_the_job_takes_the_sites_that_can_go_through_and_its_last_step_names_the_others(tmp_path, instance):
    request = wanted("north", "south", until="2024-02-01")
    done = run_line(tmp_path, request, instance, broken=["north"])
    assert not done.success
    assert why(done).description.startswith("line press_faults: 1 failed: north; the others went through")
    assert "the line to the plant was cut" in why(done).metadata["north"].value
    assert set(ToyFactory(tmp_path).journal.latest("raw/parts")) == {"south"}
    assert run_line(tmp_path, request, instance).success
    assert set(ToyFactory(tmp_path).journal.latest("raw/parts")) == {"north", "south"}


def test_a_site_whose_name_is_no_name_fails_alone(tmp_path, instance):
    done = run_line(tmp_path, wanted("--home=/", "north", until="2024-02-01"), instance)
    assert list(why(done).metadata) == ["--home=/"]
    assert "is refused: use 1 to 63 letters" in why(done).metadata["--home=/"].value
    assert instance.get_dynamic_partitions(f"{NAME}_sites") == ["north"]


def test_a_run_that_fails_is_asked_for_again_under_another_key_and_not_for_ever(tmp_path, instance):
    toy = ToyFactory(tmp_path)
    drifted(toy, "north", "2024-02-12")
    watcher, keys = Watcher(toy, "drifted", instance), []
    for _ in range(MAX_ATTEMPTS + 3):
        for key, request in watcher.tick().items():
            keys.append(key)
            assert not run_line(tmp_path, request, instance, key, broken=["north"]).success
    assert len(keys) == len(set(keys)) == MAX_ATTEMPTS


def test_the_calendar_runs_the_whole_line_once_for_each_date_and_twice_more_if_it_fails():
    schedule = line_schedule(toy_line(), "0 4 1 * *")
    when = datetime(2024, 3, 1, 4)
    context = dg.build_schedule_context(scheduled_execution_time=when, resources={"calendar": Calendar()})
    request = schedule(context)
    assert asked(request) == wanted(until="2024-03-01")
    assert request.run_key == f"{NAME}-calendar-2024-03-01T04:00"
    assert request.tags["dagster/max_retries"] == "2"
