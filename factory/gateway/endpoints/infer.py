"""`POST /v2/models/{m}/infer`: a body to the model's batch, and its answer back."""

from collections.abc import Callable

from factory.gateway.access.keys import Grant
from factory.gateway.endpoints.open_inference import HEADER_LENGTH, answer, asked
from factory.gateway.http.fields import require_acceptable
from factory.gateway.http.messages import BINARY, JSON, Answer, Request
from factory.gateway.models.entry import Entry
from factory.gateway.models.question import Answered, Question
from factory.gateway.refusal import RequestRefused


def infer(
    entry: Entry,
    request: Request,
    grant: Grant,
    refused: Callable[[RequestRefused], Answer],
    *,
    version: str | None = None,
) -> None:
    """Answer the request within this turn of the event loop or later; raises RequestRefused if it cannot be asked.

    `version` is the one that the client named, None for any.
    """
    try:
        grant.require_left()
        wanted = asked(request.body, request.headers.get(HEADER_LENGTH), entry.model.signature)
        if b"accept" in request.headers:
            require_acceptable(request.headers, BINARY if wanted.binary else JSON)
        grant.spend(wanted.rows)

        def done(result: Answered | RequestRefused) -> None:
            if isinstance(result, Answered):
                request.reply(answer(wanted, result))
            else:
                entry.series.failed()
                request.reply(refused(result))

        question = Question(wanted.values, wanted.rows, done, grant.name, wanted.id or "", trace=request.trace)
        question.answer_within(wanted.timeout_s)
        entry.asker(version)(question)
    except Exception as error:
        entry.series.failed()
        grant.charge(error)
        raise
