"""ASC's certificates: asked for, looked up, announced."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.detectors.enums import ReasonCode
from service.detectors.extensions import AnnouncedCertificate, CheckedCertificate, IssuedCertificate
from service.detectors.port import Refused
from service.detectors.reading import Reading, Refs
from tests.vendors.asc_answers import adapter
from tests.vendors.contract import KEY, raw, sample
from tests.vendors.vendor_server import vendor_server

ISSUED, CHECKED = sample("asc", "certificate_reply"), sample("asc", "certificate_check_reply")
NAME = "cert_abc123"


def test_the_certificate_sample_reads_as_documented() -> None:
    assert adapter().parse_certificate(raw(ISSUED, 201)) == IssuedCertificate(
        NAME,
        verification_url="https://aisongchecker.pro/verify/cert_abc123",
        download_url="https://aisongchecker.pro/api/cert/cert_abc123.pdf",
        expires_at=datetime(2027, 3, 30, tzinfo=UTC),
    )


def test_the_check_sample_reads_as_documented() -> None:
    found = adapter().parse_check(raw(CHECKED), NAME)
    assert found == CheckedCertificate(NAME, True, "human", 8, datetime(2026, 3, 30, 14, tzinfo=UTC))


@pytest.mark.parametrize("nest", ["certificate", "data", "result"])
def test_both_are_read_below_a_member_as_well(nest: str) -> None:
    certificate, checked = (
        adapter().parse_certificate(raw({nest: ISSUED})),
        adapter().parse_check(raw({nest: CHECKED}), NAME),
    )
    assert isinstance(certificate, IssuedCertificate)
    assert isinstance(checked, CheckedCertificate)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x", "", 5, "https://x/\n", "https://" + "x" * 2048])
def test_an_address_that_is_none_is_not_handed_on(url: object) -> None:
    found = adapter().parse_certificate(raw({**ISSUED, "download_url": url}))
    assert isinstance(found, IssuedCertificate)
    assert found.download_url is None


@pytest.mark.parametrize(
    "body", [{}, {"certificate_id": None}, {"certificate_id": "a\nb"}, {"certificate_id": "x" * 2001}]
)
def test_an_answer_without_a_certificate_is_a_schema_mismatch(body: dict[str, object]) -> None:
    found = adapter().parse_certificate(raw(body))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


@pytest.mark.parametrize("changed", [{"valid": None}, {"valid": "yes"}, {"valid": 1}, {"certificate_id": "cert_other"}])
def test_only_a_plain_word_on_this_certificate_is_an_answer(changed: dict[str, object]) -> None:
    assert isinstance(adapter().parse_check(raw({**CHECKED, **changed}), NAME), Refused)


@pytest.mark.parametrize("answer", [raw({}, 404), raw({"error": "not_found", "message": "?", "status": 404})])
def test_an_unknown_certificate_is_not_called_invalid(answer: Any) -> None:
    found = adapter().parse_check(answer, NAME)
    assert isinstance(found, Refused)
    assert found.retryable


@pytest.mark.parametrize(
    ("refs", "setting", "analysis"),
    [
        (Refs(job_id="job_1"), "none", None),
        (Refs(job_id="job_1"), "job_id", "job_1"),
        (Refs(job_id="job_1", other={"analysis_id": "ana_1"}), "none", "ana_1"),
        (Refs(job_id="job_1", other={"analysis_id": "ana_1"}), "job_id", "ana_1"),
        (Refs(), "job_id", None),
    ],
)
def test_the_analysis_is_the_one_named_or_what_the_operator_says(
    refs: Refs, setting: str, analysis: str | None
) -> None:
    assert adapter(analysis_id_from=setting).analysis_of(refs) == analysis


def test_an_analysis_that_an_answer_names_is_a_reference() -> None:
    found = adapter().read(raw({**sample("asc", "analyze_reply"), "analysis_id": "ana_xyz789"}), "asc")
    assert isinstance(found, Reading)
    assert (found.refs.other, found.extras) == ({"analysis_id": "ana_xyz789"}, {})


def test_a_callback_announces_what_it_names_and_nothing_else_does() -> None:
    body = {**ISSUED, "event": "certificate.ready", "job_id": "job_1"}
    found = adapter().parse_announcement(body)
    assert isinstance(found, AnnouncedCertificate)
    assert (found.certificate.certificate_id, found.analysis_id, found.job_id) == (NAME, None, "job_1")
    for other in (ISSUED, sample("asc", "callback_complete"), {"event": "certificate.ready"}, {}):
        assert adapter().parse_announcement(other) is None


async def test_both_requests_are_sent_as_documented() -> None:
    answers = {
        "POST /v1?action=certificate": ("201 Created", ISSUED),
        f"GET /v1?action=verify&id={NAME}&certificate_id={NAME}": ("200 OK", CHECKED),
    }
    async with vendor_server(answers) as server:
        vendor = adapter(f"{server.url}/v1")
        assert isinstance(vendor.parse_certificate(await vendor.certify("ana_xyz789", "pdf")), IssuedCertificate)
        assert isinstance(vendor.parse_check(await vendor.fetch_certificate(NAME), NAME), CheckedCertificate)
    assert server.asked[0].json == sample("asc", "certificate_request")
    assert {asked.headers["x-api-key"] for asked in server.asked} == {KEY}
