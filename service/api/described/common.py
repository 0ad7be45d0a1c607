"""Parameters and answers that several operations share."""

from typing import Any

from service.api.describe import Answer, Parameter
from service.kit.paging import MAX_LIMIT

BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
NOTHING = Answer(text="Done. There is nothing to say.")

LIMIT = Parameter(
    name="limit",
    text="How many at most.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
)
CURSOR = Parameter(
    name="cursor", text="`next_cursor` of the page before, unchanged.", schema={"type": "string", "maxLength": 2000}
)
EVENT_TYPE = Parameter(
    name="type",
    text="An event type, or a family such as `detection.*`.",
    schema={"type": "string", "minLength": 1, "maxLength": 100},
)
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    place="header",
    text="The id of the last event this reader has had: it goes on after it.",
    schema={"type": "string"},
)


def stream_of(text: str) -> Answer:
    """Server-sent events."""
    return Answer(text=text, content={"text/event-stream": {"type": "string"}})
