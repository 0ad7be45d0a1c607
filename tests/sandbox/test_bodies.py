"""What the twins read of a request: nothing of a stranger's, and of a form no more than an honest one has."""

import base64

import pytest
from starlette.types import Message

from service.sandbox.app import create
from tests.sandbox.serving import SETTINGS, Hands

TOKENS = "/pex/oauth2/token"
DOORS = (
    TOKENS,
    "/pex/v1/ai-detector/detect",
    "/pex/v1/ai-detector/detect-url",
    "/asc/v1",
    "/aippim/api/v1/music",
    "/aippim/api/v1/ai-detection/lite",
    "/modulate/api/velma-2-ai-music-detection-batch",
)
REFUSALS = (401, 403, 404, 422)  # each vendor's own for a wrong key
FORM = "application/x-www-form-urlencoded"
PAIR = "Basic " + base64.b64encode(f"sandbox:{SETTINGS.api_key}".encode()).decode()


async def asked(path: str, authorization: str, body: bytes, most: int = 1024) -> tuple[int, int]:
    """The status of the answer, and how many bytes of `body` were read for it."""
    sandbox, statuses, read = create(SETTINGS, Hands()), [], 0
    headers = {"authorization": authorization, "content-type": FORM, "content-length": str(len(body))}

    async def receive() -> Message:
        nonlocal read
        piece = body[read : read + most]
        read += len(piece)
        return {"type": "http.request", "body": piece, "more_body": read < len(body)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": pairs}
    await sandbox.app(scope, receive, send)
    await sandbox.aclose()
    return statuses[0], read


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("given", ["", "Basic x", PAIR[:-1], "Bearer x"])
async def test_nothing_that_a_stranger_sends_is_read(path: str, given: str) -> None:
    status, read = await asked(path, given, b"grant_type=client_credentials&" + b"a" * 1_000_000)
    assert (status in REFUSALS, read) == (True, 0)


async def test_a_form_is_read_only_as_far_as_an_honest_one_reaches() -> None:
    grant = b"grant_type=client_credentials"
    assert await asked(TOKENS, PAIR, grant) == (200, len(grant))
    assert (await asked(TOKENS, PAIR, b"a=" + b"b" * 16_000 + b"&" + grant))[0] == 200
    status, read = await asked(TOKENS, PAIR, grant + b"&a=" + b"b" * 1_000_000)
    assert (status, read) == (400, 17 * 1024)


@pytest.mark.parametrize(("others", "status"), [(49, 200), (50, 400), (3_000, 400)])
async def test_a_form_has_few_fields(others: int, status: int) -> None:
    fields = "&".join([*map(str, range(others)), "grant_type=client_credentials"]).encode()
    assert (await asked(TOKENS, PAIR, fields))[0] == status
