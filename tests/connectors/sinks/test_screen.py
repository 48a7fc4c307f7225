"""Decisions onto screens: each once, the newest kept, withdrawn ones said to be."""

from factory.connectors.sinks.screen import ScreenSink
from factory.release.screen_feed import KEPT, ScreenFeeds
from tests.connectors.sinks.targets import NoJob, filled, target


class Screens(ScreenSink):
    """The screens of a line whose file names one field."""

    target = target("screen:", fields={"chance": "predicted_probability"}, withdrawn={"chance": 0})


def test_a_site_sees_each_of_its_decisions_once(tmp_path):
    sink = Screens(line="toy", models=tmp_path)
    messages = [filled(sink, number) for number in range(3)]
    for some in (messages, messages[1:]):
        assert {result.state for result in sink.deliver(some, NoJob())} == {"accepted"}
    shown = ScreenFeeds(models=tmp_path).shown("toy.ulm")
    assert [(one.number, one.message_key, one.fields) for one in shown.decisions] == [
        (number, message.key, {"chance": 0.75}) for number, message in enumerate(messages, 1)
    ]
    assert sink.present([*messages, filled(sink, 9)]) == {message.id: "" for message in messages}
    assert ScreenFeeds(models=tmp_path).shown("toy.hof").decisions == ()


def test_a_screen_gets_what_came_after_what_it_has_and_all_where_it_comes_from_elsewhere(tmp_path):
    sink = Screens(line="toy", models=tmp_path)
    list(sink.deliver([filled(sink, number) for number in range(3)], NoJob()))
    feeds = ScreenFeeds(models=tmp_path)
    assert [one.number for one in feeds.shown("toy.ulm", after=2).decisions] == [3]
    assert [one.number for one in feeds.shown("toy.ulm", after=99).decisions] == [1, 2, 3]


def test_the_newest_are_kept(tmp_path):
    sink = Screens(line="toy", models=tmp_path)
    for start in (0, KEPT):
        list(sink.deliver([filled(sink, start + number) for number in range(KEPT)], NoJob()))
    numbers = [one.number for one in ScreenFeeds(models=tmp_path).shown("toy.ulm").decisions]
    assert numbers == list(range(KEPT + 1, 2 * KEPT + 1))


def test_a_decision_taken_back_is_said_to_be(tmp_path):
    sink = Screens(line="toy", models=tmp_path)
    list(sink.deliver([filled(sink, 1)], NoJob()))
    list(sink.deliver([filled(sink, 1, action="withdraw")], NoJob()))
    shown = ScreenFeeds(models=tmp_path).shown("toy.ulm").decisions
    assert [(one.message_key, one.withdrawn) for one in shown] == [
        (filled(sink, 1).key, False),
        (filled(sink, 1).key, True),
    ]


def test_a_feed_that_is_damaged_is_busy_and_nothing_is_said_to_be_there(tmp_path):
    sink = Screens(line="toy", models=tmp_path)
    (tmp_path / ".screens").mkdir()
    (tmp_path / ".screens" / "toy.ulm.json").write_text("{")
    (result,) = sink.deliver([filled(sink, 1)], NoJob())
    assert result.state == "busy"
