"""The two places where a vendor's word is doubted, and the one where it is narrowed: each is a setting that holds."""

from collections.abc import Callable

import pytest

from service.detectors.enums import Verdict
from service.detectors.reading import Reading
from service.detectors.vendor import VendorSettings
from service.vendors import VENDORS
from tests.vendors.contract import exchange, raw
from tests.vendors.golden_answers import golden, sample_bytes

INCONCLUSIVE, HUMAN = Verdict.INCONCLUSIVE, Verdict.NO_AI_DETECTED
CASES = [
    ("AIPPIM_DOUBT_REAL_ON_AI_COVER", "aippim/callback_completed_cover", {None: INCONCLUSIVE, "false": HUMAN}),
    ("MODULATE_DOUBT_LOW_MUSIC", "modulate/batch_reply_silent", {None: INCONCLUSIVE, "false": HUMAN}),
    ("MODULATE_SILENCE_ABOVE_PCT", "modulate/batch_reply_not_ai", {None: HUMAN, "17.9": INCONCLUSIVE}),
    ("MODULATE_MUSIC_BELOW_PCT", "modulate/batch_reply_not_ai", {None: HUMAN, "200": INCONCLUSIVE}),
    (
        "MODULATE_PARTIAL",
        "modulate/batch_reply_no_ai_instruments",
        {None: Verdict.AI_GENERATED, "true": Verdict.AI_PARTIAL},
    ),
]


@pytest.mark.parametrize(("setting", "name", "verdicts"), CASES, ids=lambda each: each if isinstance(each, str) else "")
def test_a_doubt_is_the_operators_to_switch(
    setting: str, name: str, verdicts: dict[str | None, Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = VENDORS[name.partition("/")[0]]
    settings: Callable[[], VendorSettings] = vendor.settings
    for given, verdict in verdicts.items():
        if given is not None:
            monkeypatch.setenv(setting, given)
        adapter = vendor.adapter(settings(), exchange())
        found = adapter.read(raw(sample_bytes(name)), adapter.detectors[0])
        assert isinstance(found, Reading)
        assert found.verdict is verdict
        assert found.verdict_raw == golden(name)["Reading"]["verdict_raw"]
        assert found.verdict_derived is (verdict in (INCONCLUSIVE, Verdict.AI_PARTIAL))
