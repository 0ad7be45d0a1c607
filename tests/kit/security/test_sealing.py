"""What is sealed opens only for the same purpose and owner, and survives the rotation of secret keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kit.security.keys import derive
from service.kit.security.sealing import SealBroken, Sealer

OLD, NEW = "old " * 10, "new " * 10


@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_can_be_opened(plaintext: bytes, purpose: str, owner: str) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(purpose, owner, sealer.seal(purpose, owner, plaintext)) == plaintext


def test_a_sealed_value_shows_nothing_and_differs_each_time() -> None:
    sealer = Sealer([NEW])
    first, second = (sealer.seal("endpoint", "we_1", b"whsec_secret") for _ in range(2))
    assert b"whsec" not in first
    assert b"we_1" not in first
    assert first != second


@pytest.mark.parametrize(("purpose", "owner"), [("endpoint", "we_2"), ("header", "we_1"), ("endpointw", "e_1")])
def test_another_purpose_or_owner_opens_nothing(purpose: str, owner: str) -> None:
    sealer = Sealer([NEW])
    with pytest.raises(SealBroken):
        sealer.open(purpose, owner, sealer.seal("endpoint", "we_1", b"secret"))


def test_every_flipped_byte_is_noticed() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal("endpoint", "we_1", b"secret")
    for at in range(len(sealed)):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            sealer.open("endpoint", "we_1", flipped)


@given(st.binary(max_size=100))
def test_any_bytes_are_opened_or_broken_and_nothing_else(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        Sealer([NEW]).open("endpoint", "we_1", junk)


def test_the_newest_key_seals_and_older_ones_still_open() -> None:
    sealed_before = Sealer([OLD]).seal("endpoint", "we_1", b"secret")
    rotated = Sealer([NEW, OLD])
    assert rotated.open("endpoint", "we_1", sealed_before) == b"secret"

    sealed_after = rotated.seal("endpoint", "we_1", b"secret")
    assert Sealer([NEW]).open("endpoint", "we_1", sealed_after) == b"secret"
    with pytest.raises(SealBroken):
        Sealer([OLD]).open("endpoint", "we_1", sealed_after)


def test_two_keys_with_the_same_short_id_are_both_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_one_id(secret_key: str, purpose: str, length: int = 32) -> bytes:
        return b"\0" * length if purpose.endswith("key-id") else derive(secret_key, purpose, length)

    monkeypatch.setattr("service.kit.security.sealing.derive", with_one_id)
    sealed = Sealer([OLD]).seal("endpoint", "we_1", b"secret")
    assert Sealer([NEW, OLD]).open("endpoint", "we_1", sealed) == b"secret"


@pytest.mark.parametrize("keys", [[], [""], "one string instead of a list of them"])
def test_without_a_proper_list_of_keys_nothing_is_sealed(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="newest first"):
        Sealer(keys)


def test_each_purpose_and_each_secret_gives_another_key() -> None:
    keys = {derive(secret, purpose) for secret in (OLD, NEW) for purpose in ("tokens/media", "sealing/media")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
