"""Alerts: they reach a real mail server and a real webhook, and their addresses reach nobody else."""

import base64
import logging

import pytest

from factory.monitoring.alerts import Alerts
from tests.orchestration.mail import mail_server
from tests.orchestration.webhook import webhook

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>größer</title></svg>'
PNG = b"\x89PNG\r\n\x1a\n and what follows"
SECRETS = (
    "slack://secret-token-a/secret-token-b/secret-token-c",
    "mailto://lena:secret-word@127.0.0.1:1/?from=lena@example.com&to=secret-person@example.com&mode=insecure",
    "json://127.0.0.1:1/secret-path",
    "secret-words-without-a-service",
)


def test_a_mail_has_a_subject_the_text_the_facts_and_the_picture():
    with mail_server() as (address, came):
        told = Alerts(addresses=address).tell(
            "drift", "<b>force</b> fell at north", picture=SVG, line="press", site="north", share=0.25, run=None
        )
    assert told
    (mail,) = came
    assert mail["Subject"] == "AI factory: drift (press north)"
    assert mail["To"] == "ops@example.com"
    assert mail.get_body(("html",)) is None  # nothing in a text is taken for HTML
    assert mail.get_body(("plain",)).get_content().splitlines() == [
        "<b>force</b> fell at north",
        "",
        "line: press",
        "site: north",
        "share: 0.25",
    ]
    (picture,) = mail.iter_attachments()
    assert (picture.get_filename(), picture.get_content_type()) == ("alert.svg", "image/svg+xml")
    assert picture.get_content() == SVG.encode()


def test_everybody_is_told_although_one_address_fails():
    with mail_server() as (address, came), webhook() as (hook, posted):
        told = Alerts(webhook=hook, addresses=f"json://127.0.0.1:1/nobody {address}").tell("drift", "it fell")
    assert not told
    assert [mail["Subject"] for mail in came] == ["AI factory: drift"]
    assert [alert["text"] for alert in posted] == ["it fell"]


@pytest.mark.parametrize(
    ("picture", "media", "content"), [(SVG, "image/svg+xml", SVG.encode()), (PNG, "image/png", PNG)]
)
def test_the_webhook_gets_the_picture_as_an_address_that_fetches_nothing(picture, media, content):
    with webhook() as (address, came):
        assert Alerts(webhook=address).tell("drift", "it fell", picture=picture, site="north")
        assert Alerts(webhook=address).tell("drift", "it fell again")
    drawn, plain = came
    start, _, data = drawn["picture"].partition(",")
    assert start == f"data:{media};base64"
    assert base64.b64decode(data) == content
    assert (drawn["kind"], drawn["site"]) == ("drift", "north")
    assert "picture" not in plain


def test_what_is_no_picture_keeps_no_alert_back(caplog):
    with mail_server() as (address, came):
        assert Alerts(addresses=address).tell("drift", "it fell", picture=b"GIF89a")
    assert list(came[0].iter_attachments()) == []
    assert "goes without its picture" in caplog.text


def test_an_address_that_fails_is_told_of_by_its_number_and_never_itself(caplog):
    """Also with every logger of the process at its most talkative."""
    caplog.set_level(logging.DEBUG)
    assert not Alerts(addresses=" ".join(SECRETS[1:]), timeout_s=5).tell("drift", "it fell")
    told = [record.getMessage() for record in caplog.records if record.name == "factory.monitoring.alerts"]
    assert told == [
        "drift: it fell",
        "the alert 'drift' could not be delivered to address 1 (mailto): it did not take the alert",
        "the alert 'drift' could not be delivered to address 2 (json): it did not take the alert",
        "the alert 'drift' could not be delivered to address 3: Apprise knows no such address",
    ]
    assert "secret" not in caplog.text


def test_what_takes_an_alert_is_not_logged_either(caplog):
    caplog.set_level(logging.DEBUG)
    with webhook() as (address, came):
        assert Alerts(addresses=address.replace("http://", "json://")).tell("drift", "it fell")
    assert came
    assert "secret-path" not in caplog.text
