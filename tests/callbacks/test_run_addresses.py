"""The token in a run's callback address."""

from datetime import timedelta

import pytest

from service.callbacks.addresses import RunAddress, read_address, sign_address
from service.kit.security.tokens import BadToken, Tokens
from tests.detections.scripted import NOW

_TOKENS = Tokens(["new " * 10, "old " * 10])
_ADDRESS = RunAddress("test", "asc", "run_1")
_UNTIL = NOW + timedelta(hours=7)


def test_a_token_carries_mode_vendor_and_run_until_it_dies() -> None:
    token = sign_address(_TOKENS, _ADDRESS, _UNTIL)
    assert read_address(_TOKENS, token, NOW) == _ADDRESS
    with pytest.raises(BadToken):
        read_address(_TOKENS, token, _UNTIL)


def test_a_token_of_an_older_secret_still_holds() -> None:
    token = sign_address(Tokens(["old " * 10]), _ADDRESS, _UNTIL)
    assert read_address(_TOKENS, token, NOW) == _ADDRESS


def test_a_token_of_a_strangers_secret_is_forged() -> None:
    with pytest.raises(BadToken):
        read_address(_TOKENS, sign_address(Tokens(["else " * 10]), _ADDRESS, _UNTIL), NOW)


def test_a_token_of_another_purpose_or_shape_is_no_address() -> None:
    media = _TOKENS.sign("media", ["test", "asc", "run_1"], expires_at=_UNTIL)
    short = _TOKENS.sign("callback", ["test", "asc"], expires_at=_UNTIL)
    odd = _TOKENS.sign("callback", ["test", "asc", 1], expires_at=_UNTIL)
    for token in (media, short, odd, "", "a.b"):
        with pytest.raises(BadToken):
            read_address(_TOKENS, token, NOW)
