import base64
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sandbox.records import Record, Records

AT = datetime(2026, 11, 20, 23, 41, 0, 123_000, tzinfo=UTC)
RECORD = Record("asc-job", "sóng.ai.mp3", AT, "pro", "https://example.com/cb?t=1", "download_failed")


def test_record_survives_the_way_through_an_id_and_another_process() -> None:
    sealed = Records("secret").seal(RECORD)
    assert Records("secret").open(sealed, "asc-job") == RECORD


def test_an_id_tells_nothing_of_what_it_holds() -> None:
    sealed = Records("secret").seal(RECORD)
    blob = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert not any(part in blob for part in (b"asc-job", b"song", b"mp3", b"example.com", b"cb?t", b"pro"))


def test_id_needs_no_escaping_in_a_url() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", Records("secret").seal(RECORD))


def test_equal_submissions_get_different_ids() -> None:
    records = Records("secret")
    assert records.seal(Record("k", "n", AT)) != records.seal(Record("k", "n", AT))


def test_another_secret_or_kind_opens_nothing() -> None:
    sealed = Records("secret").seal(RECORD)
    assert Records("other").open(sealed, "asc-job") is None
    assert Records("secret").open(sealed, "aippim-task") is None


def test_an_id_changed_anywhere_opens_nothing() -> None:
    records = Records("secret")
    sealed = records.seal(RECORD)
    for place, old in enumerate(sealed):
        changed = sealed[:place] + ("A" if old != "A" else "B") + sealed[place + 1 :]
        assert records.open(changed, "asc-job") is None


@given(st.text())
def test_no_text_of_a_stranger_opens_or_raises(text: str) -> None:
    assert Records("secret").open(text, "asc-job") is None


@pytest.mark.parametrize("extra", ["=", "A", " ", "\n"])
def test_an_id_has_one_spelling_only(extra: str) -> None:
    records = Records("secret")
    assert records.open(records.seal(RECORD) + extra, "asc-job") is None
