"""How each kept example of a vendor's answers is read: by whom, as an answer to what, under which HTTP status.

The meaning of each stands in `readings/<vendor>/<sample>.json`, whole. Each value there was checked by hand against
the vendors' documents and the meaning of our fields: where an adapter says something else, the adapter is wrong until
it is shown otherwise. Nothing draws those files anew. An example that no page prints is made of one that is printed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from service.detectors.reading import Reading
from service.vendors.pex.token import token_in
from tests.vendors import aippim_answers, asc_answers, pex_answers, test_modulate
from tests.vendors.contract import NOW, SAMPLES, raw

READINGS = Path(__file__).parent / "readings"
AIPPIM, ASC, PEX = aippim_answers.adapter(), asc_answers.adapter(), pex_answers.adapter()
MODULATE = test_modulate.adapter()
Understood = Callable[[bytes], object]


def poll(detector: str) -> Understood:
    """As a poll's answer, or a callback's body."""
    adapter = AIPPIM if detector.startswith("aippim/") else ASC
    return lambda body: adapter.read(raw(body), detector)


def submission(adapter: Any, status: int = 200, **headers: str) -> Understood:
    """As the answer to the submission; for a stream, `status` is its close code."""
    return lambda body: adapter.parse_submit(raw(body, status, **headers))


def _certificate(body: bytes) -> object:
    return ASC.parse_check(raw(body), "cert_abc123")


def _announcement(body: bytes) -> object:
    return ASC.parse_announcement(json.loads(body))


def _challenge(body: bytes) -> object:
    return AIPPIM.challenge(json.loads(body))


_STANDARD, _PRO, _JOB, _UPLOADED = poll("aippim/standard"), poll("aippim/pro"), poll("asc"), submission(MODULATE)

ANSWERS: Mapping[str, Understood] = {
    "aippim/upload_reply": lambda body: AIPPIM.parse_prepare(raw(body)),
    "aippim/submit_reply": submission(AIPPIM),
    "aippim/submit_reply_quick_start": submission(AIPPIM),
    "aippim/challenge": _challenge,
    "aippim/error_invalid_request": submission(AIPPIM, 400),
    "aippim/poll_pending": _STANDARD,
    "aippim/poll_failure": _STANDARD,
    "aippim/callback_processing": _STANDARD,
    "aippim/callback_quick_start": _STANDARD,
    "aippim/callback_quick_start_completed": _STANDARD,
    "aippim/callback_completed_standard": _STANDARD,
    "aippim/callback_completed_described": _STANDARD,
    "aippim/callback_completed_listed": _PRO,
    "aippim/callback_completed_pro": _PRO,
    "aippim/callback_completed_cover": _PRO,
    "aippim/callback_completed_pro_v2": poll("aippim/pro-v2"),
    "asc/submit_reply": submission(ASC, 202),
    "asc/analyze_reply": submission(ASC),
    "asc/analyze_reply_human": submission(ASC),
    "asc/analyze_reply_unknown_word": submission(ASC),
    "asc/poll_processing": _JOB,
    "asc/poll_completed": _JOB,
    "asc/poll_failed": _JOB,
    "asc/callback_complete": _JOB,
    "asc/callback_certificate_ready": _announcement,
    "asc/certificate_reply": lambda body: ASC.parse_certificate(raw(body)),
    "asc/certificate_check_reply": _certificate,
    "asc/health_reply": lambda body: ASC.parse_status(raw(body)),
    "asc/usage_reply": lambda body: ASC.parse_usage(raw(body), "month"),
    "asc/quota_reply": lambda body: ASC.parse_quota(raw(body)),
    "asc/error_invalid_format": submission(ASC, 400),
    "asc/error_unauthorized": submission(ASC, 401),
    "asc/error_over_quota": submission(ASC, 429, retry_after="3600"),
    "pex/token_reply": lambda body: token_in(raw(body), NOW),
    "pex/error_reply": submission(PEX, 503),
    **{
        f"pex/{name}": submission(PEX)
        for name in (
            *("detect_reply", "detect_reply_human", "detect_reply_no_model", "detect_reply_no_decision"),
            *(f"reply_{word}" for word in (*pex_answers.REFUSALS, "error", "unknown_status")),
        )
    },
    **{
        f"modulate/batch_reply{name}": _UPLOADED
        for name in ("", "_new_windows", "_instrumental", "_not_ai", "_silent", "_no_ai_instruments", "_unknown_word")
    },
    **{
        f"modulate/error_{name}": submission(MODULATE, status)
        for name, status in (
            *(("empty_file", 400), ("not_permitted", 403), ("missing_key", 422), ("missing_file", 422)),
            *(("credits", 429), ("internal", 500), ("not_validated", 502)),
        )
    },
    **{
        f"modulate/stream{name}": submission(MODULATE, code)
        for name, code in (
            *(("", 1000), ("_new_windows", 1000), ("_bad_query", 1003), ("_internal", 1011)),
            *(("_undecodable", 4002), ("_not_permitted", 4003), ("_credits", 4029)),
        )
    },
}
"""Every example of what a vendor says, by its sample's name."""

REQUESTS = frozenset(
    {
        *("aippim/submit_request", "asc/analyze_request", "asc/submit_request"),
        *("asc/certificate_request", "asc/register_request"),
    }
)
"""Every example of what we say."""


def sample_names() -> set[str]:
    """Every sample there is, as `<vendor>/<name>`."""
    return {str(path.relative_to(SAMPLES).with_suffix("")) for path in SAMPLES.rglob("*.*json")}


def sample_bytes(name: str) -> bytes:
    """The sample as the vendor sends it."""
    [path] = SAMPLES.glob(f"{name}.*")
    return path.read_bytes()


def told(found: object) -> dict[str, Any]:
    """What was made of an answer as JSON, under the name of what it is. A reading without what is at its default."""
    if isinstance(found, Reading):
        return {"Reading": found.model_dump(mode="json", exclude_defaults=True)}
    fields: object = found if isinstance(found, Mapping) or found is None else asdict(found)  # type: ignore[call-overload]  # the others are dataclasses
    return {"dict" if isinstance(found, Mapping) else type(found).__name__: to_jsonable_python(fields)}


def golden(name: str) -> dict[str, Any]:
    """What the sample means, as it is written down."""
    found: dict[str, Any] = json.loads((READINGS / f"{name}.json").read_text())
    return found
