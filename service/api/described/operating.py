"""What is said of the doors that no customer needs: probes, this document, and its page."""

from typing import Any

from service.api.describe import Answer, Described, Operation, Parameter, Tag
from service.api.schemas.operating import Live, Ready

_OBJECT: dict[str, Any] = {"type": "object"}
_TEXT: dict[str, Any] = {"type": "string"}


def _front_page(name: str) -> Operation:
    return Operation(
        id=name,
        tag=Tag.OPERATING,
        summary="Links to everything else",
        answers={200: Answer(text="The page.", content={"text/html": _TEXT})},
    )


OPERATIONS: Described = {
    ("GET", "/"): _front_page("readFrontPage"),
    ("GET", "/v1"): _front_page("readApiRoot"),
    ("GET", "/livez"): Operation(
        id="isLive",
        tag=Tag.OPERATING,
        summary="Whether the process turns",
        parameters=(
            Parameter(
                name="X-Relay-Nonce",
                place="header",
                text="Comes back signed in `X-Relay-Proof`: so `relay doctor` knows that it reached us. 1 to 64 "
                "letters, digits, `-` and `_`; any other is not signed.",
                schema={"type": "string"},
            ),
        ),
        answers={200: Answer(text="It does.", model=Live, headers=("X-Relay-Proof",))},
    ),
    ("GET", "/readyz"): Operation(
        id="isReady",
        tag=Tag.OPERATING,
        summary="Whether the process can do its work",
        answers={
            200: Answer(text="It can.", model=Ready),
            503: Answer(
                text="It cannot: its database does not answer, takes no writes, or is behind this code.", model=Ready
            ),
        },
    ),
    ("GET", "/metrics"): Operation(
        id="readMetrics",
        tag=Tag.OPERATING,
        summary="Figures for Prometheus",
        text="The bearer is `METRICS_TOKEN`; without that setting, this machine alone is answered.",
        answers={200: Answer(text="Counters, and what waits and how long.", content={"text/plain": _TEXT})},
        refusals=(401, 403, 503),
    ),
    ("GET", "/openapi.json"): Operation(
        id="readDescription",
        tag=Tag.OPERATING,
        summary="This document",
        answers={200: Answer(text="OpenAPI 3.1.", content={"application/json": _OBJECT})},
    ),
    ("GET", "/docs"): Operation(
        id="readDocs",
        tag=Tag.OPERATING,
        summary="This document as a page",
        answers={200: Answer(text="The page. It asks nobody else for anything.", content={"text/html": _TEXT})},
    ),
    ("GET", "/docs/{asset}"): Operation(
        id="readDocsAsset",
        tag=Tag.OPERATING,
        summary="A part of the page",
        answers={200: Answer(text="Script, style or picture.", content={"text/*": _TEXT, "image/*": _TEXT})},
    ),
}
