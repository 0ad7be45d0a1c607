"""A success whose body says that it is none: an upload, a submission, an answer that wants money."""

import pytest

from service.detectors.enums import ReasonCode
from service.detectors.port import Accepted, Prepared, Refused
from tests.vendors import aippim_answers, asc_answers, pex_answers
from tests.vendors.contract import KEY, raw, sample

UPLOADED, SUBMITTED = sample("aippim", "upload_reply"), sample("aippim", "submit_reply")
MONEY = "You have no credits left"


@pytest.mark.parametrize(
    "said", [{"error": "disk full"}, {"success": False, "message": "disk full"}, {"status": "failed: disk full"}]
)
def test_an_upload_that_failed_all_the_same_is_not_submitted(said: dict[str, object]) -> None:
    found = aippim_answers.adapter().parse_prepare(raw({**UPLOADED, **said}))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, False)
    assert "disk full" in found.reason_text


def test_an_upload_without_an_error_is_one() -> None:
    assert isinstance(
        aippim_answers.adapter().parse_prepare(raw({**UPLOADED, "error": None, "success": True})), Prepared
    )


def test_a_submission_without_a_task_says_why() -> None:
    found = aippim_answers.adapter().parse_submit(raw({"error": {"code": "busy", "message": f"not now, {KEY}"}}))
    assert found == Refused(ReasonCode.VENDOR_ERROR, "busy: not now, [key]", retryable=False)
    taken = aippim_answers.adapter().parse_submit(raw({**SUBMITTED, "error": "slow"}))
    assert isinstance(taken, Accepted), "it has a task, and that says how it ends"


@pytest.mark.parametrize("body", [{"success": False, "message": MONEY}, {"status": "failed", "error": MONEY}])
def test_a_success_that_wants_money_is_one_of_the_account(body: dict[str, object]) -> None:
    for found in (
        aippim_answers.adapter().parse_prepare(raw(body)),
        aippim_answers.adapter().parse_submit(raw(body)),
        asc_answers.adapter().parse_submit(raw({"status": "failed", **body})),
        pex_answers.adapter().parse_submit(raw({**body, "status": "error", "message": MONEY})),
    ):
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.QUOTA_EXCEEDED, False)
