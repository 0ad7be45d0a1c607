"""At every vendor a refusal for want of money is one of the vendor's account, whatever it asks for it."""

import pytest

from service.detectors.enums import ReasonCode
from service.detectors.port import Refused
from service.quotas.feedback import feedback_from
from service.quotas.gates import WaitingFor
from service.vendors import VENDORS
from service.vendors.modulate.refusals import closed
from tests.vendors.contract import exchange, raw


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {}),
        (402, {"error": {"code": "payment_required", "message": "Top up"}}),
        (403, {"error": "insufficient_balance", "message": "Please recharge"}),
        (403, {"detail": "No credits left."}),
        (429, {"status": "error", "message": "Your credit is used up"}),
    ],
)
def test_it_closes_the_gate_wherever_it_is_met(vendor: str, status: int, body: dict[str, object]) -> None:
    adapter = VENDORS[vendor].adapter(VENDORS[vendor].settings(), exchange())
    answer = raw(body, status)
    found: list[object] = [adapter.parse_submit(answer), adapter.read(answer, adapter.detectors[0])]
    if adapter.capabilities(adapter.detectors[0]).prepares:
        found.append(adapter.parse_prepare(answer))
    for said in found:
        assert isinstance(said, Refused)
        assert (said.reason_code, said.retryable) == (ReasonCode.QUOTA_EXCEEDED, False)
        assert feedback_from(answer, said).closed_for is WaitingFor.QUOTA_EXCEEDED


@pytest.mark.parametrize("code", [4003, 4029])
def test_a_stream_is_closed_for_it(code: int) -> None:
    assert closed(code, "Your balance is exhausted.", []).reason_code is ReasonCode.QUOTA_EXCEEDED
