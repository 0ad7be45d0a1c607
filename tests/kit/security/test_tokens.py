"""Tokens: only ours are read, only for their purpose, only before their end."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from service.kit.security.keys import derive
from service.kit.security.tokens import BadToken, Tokens

NOW = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OLD, NEW = "old " * 10, "new " * 10


@pytest.mark.parametrize("payload", [["live", "run_1"], {"a": 1}, [], ["ü", None, True, 1.5]])
def test_what_is_signed_can_be_read(payload: Any) -> None:
    tokens = Tokens([NEW])
    assert tokens.read("media", tokens.sign("media", payload, expires_at=LATER), now=NOW) == payload


def test_a_token_ends_at_its_second_and_not_before() -> None:
    tokens = Tokens([NEW])
    token = tokens.sign("media", ["x"], expires_at=NOW)
    rounded_up = NOW.replace(microsecond=0) + timedelta(seconds=1)
    assert tokens.read("media", token, now=rounded_up - timedelta(microseconds=1)) == ["x"]
    with pytest.raises(BadToken, match="expired"):
        tokens.read("media", token, now=rounded_up)


def test_without_a_time_only_what_never_ends_is_read() -> None:
    tokens = Tokens([NEW])
    assert tokens.read("cursor", tokens.sign("cursor", ["x"], expires_at=None), now=None) == ["x"]
    with pytest.raises(BadToken, match="expired"):
        tokens.read("cursor", tokens.sign("cursor", ["x"], expires_at=LATER), now=None)


def test_another_purpose_or_secret_reads_nothing() -> None:
    token = Tokens([NEW]).sign("media", ["x"], expires_at=LATER)
    with pytest.raises(BadToken, match="forged"):
        Tokens([NEW]).read("callback", token, now=NOW)
    with pytest.raises(BadToken, match="forged"):
        Tokens([OLD]).read("media", token, now=NOW)


def test_every_changed_letter_is_noticed() -> None:
    tokens = Tokens([NEW])
    token = tokens.sign("media", ["live", "run_1"], expires_at=LATER)
    for at, letter in enumerate(token):
        for other in "AB_.!":
            if other != letter:
                with pytest.raises(BadToken):
                    tokens.read("media", token[:at] + other + token[at + 1 :], now=NOW)


@given(st.text(max_size=120) | st.from_regex(r"\A[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{43}\Z"))
def test_any_text_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(BadToken):
        Tokens([NEW]).read("media", text, now=NOW)


def test_the_first_key_of_the_list_signs_and_all_read() -> None:
    """The library signs with the last of its list: ours is the other way round."""
    before = Tokens([OLD]).sign("media", ["x"], expires_at=LATER)
    rotated = Tokens([NEW, OLD])
    after = rotated.sign("media", ["x"], expires_at=LATER)
    assert rotated.read("media", before, now=NOW) == ["x"]
    assert Tokens([NEW]).read("media", after, now=NOW) == ["x"]

    newest = Signer(derive(NEW, "tokens/media"), key_derivation="none", digest_method=sha256)
    assert newest.validate(after)
    assert not newest.validate(before)


def test_a_token_for_a_run_is_short_and_needs_no_quoting() -> None:
    token = Tokens([NEW]).sign("media", ["live", "run_01jd8x6z3xe6ntqkzjv4m6q4pn"], expires_at=LATER)
    assert len(token) <= 120
    assert token.replace("-", "").replace("_", "").replace(".", "").isalnum()


def test_what_is_kept_for_speed_is_bounded_and_every_purpose_goes_on_working() -> None:
    tokens = Tokens(["secret " * 6])
    signed = [tokens.sign(f"cursor/{n}", [n], expires_at=None) for n in range(1_000)]
    assert [tokens.read(f"cursor/{n}", token, now=None) for n, token in enumerate(signed)] == [
        [n] for n in range(1_000)
    ]
    assert len(tokens._serializers) <= 500
