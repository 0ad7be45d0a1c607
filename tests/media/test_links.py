"""Media links carry the run and its mode, and nothing else of ours is taken for one."""

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

import pytest

from service.kit.security.tokens import BadToken, Tokens
from service.media.links import MediaLinks

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TOKENS = Tokens(["secret " * 6])


def token_of(link: str) -> str:
    return urlsplit(link).path.split("/")[2]


@pytest.mark.parametrize("base", ["https://relay.example", "https://relay.example/"])
def test_a_link_leads_back_to_its_run(base: str) -> None:
    links = MediaLinks(TOKENS, base)
    link = links.link("run_1", "test", "run_1.lost-callback.mp3", LATER)
    assert link.startswith("https://relay.example/media/")
    assert link.endswith("/run_1.lost-callback.mp3")
    assert links.read(token_of(link), NOW) == ("test", "run_1")


def test_a_name_stays_one_part_of_the_path() -> None:
    link = MediaLinks(TOKENS, "https://relay.example").link("run_1", "live", "a/b?c#d é.mp3", LATER)
    assert unquote(urlsplit(link).path.split("/")[3]) == "a/b?c#d é.mp3"


def test_a_link_dies_at_its_end() -> None:
    links = MediaLinks(TOKENS, "https://relay.example")
    with pytest.raises(BadToken):
        links.read(token_of(links.link("run_1", "live", "x", NOW)), NOW)


@pytest.mark.parametrize("payload", [[], ["live"], ["live", 1], ["live", "run_1", 3], {"live": "run_1"}, "ab", None])
def test_another_shape_is_no_link(payload: list[object]) -> None:
    token = TOKENS.sign("media", payload, expires_at=LATER)
    with pytest.raises(BadToken):
        MediaLinks(TOKENS, "https://relay.example").read(token, NOW)
