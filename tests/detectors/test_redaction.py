"""A vendor that repeats our key or our addresses tells nobody: they are cut out before the answer is kept."""

import httpx
import pytest

from service.detectors.exchange import Exchange, no_redaction, redactor_for

KEY = "vendor-key-4711"
CUT = redactor_for(KEY, "https://relay.example.com")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f'{{"error": "bad key {KEY}, {KEY}"}}', '{"error": "bad key [key], [key]"}'),
        (
            '{"to": "https://relay.example.com/callbacks/asc/WyJs.x-_y"}',
            '{"to": "https://relay.example.com/callbacks/asc/[token]"}',
        ),
        (
            r'{"url": "https:\/\/relay.example.com\/media\/.eJw.x-_y\/song.wav"}',
            r'{"url": "https:\/\/relay.example.com\/media\/[token]\/song.wav"}',
        ),
        ('{"url": "https://cdn.vendor.example/media/WyJs.x"}', '{"url": "https://cdn.vendor.example/media/WyJs.x"}'),
        ('{"url": "https://relay-example.com/media/WyJs.x"}', '{"url": "https://relay-example.com/media/WyJs.x"}'),
        ('{"verdict": "ai"}', '{"verdict": "ai"}'),
    ],
)
def test_what_is_ours_is_cut_out_and_the_rest_stays(said: str, kept: str) -> None:
    assert CUT(said.encode()).decode() == kept


@pytest.mark.parametrize("key", ["", "short"])
def test_a_key_that_is_none_spoils_no_words(key: str) -> None:
    assert redactor_for(key, "https://relay.example.com")(b"a short word") == b"a short word"


async def test_an_exchange_hands_on_what_is_left() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(401, text=request.headers["authorization"]))
    for cut, body in ((CUT, b"Bearer [key]"), (no_redaction, f"Bearer {KEY}".encode())):
        exchange = Exchange(timeout_seconds=5, transport=transport, cut=cut)
        raw = await exchange.send("GET", "http://vendor.example/", headers={"authorization": f"Bearer {KEY}"})
        assert raw.body == body
