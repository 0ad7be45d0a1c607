"""What a vendor is told of a run."""

from dataclasses import replace
from typing import Any

from service.detectors.catalogue import ConfiguredVendor
from service.detectors.port import RunContext
from service.media.store import Store
from service.runs.state.rows import MediaRow, RunRow
from service.vendor_calls.run_context import RunContextBuilder
from tests.detections.rows import PLAN, Addresses
from tests.detections.scripted import NOW, Scripted, aippim, asc

_SOURCE = "https://cdn.example/song.ai.wav"


class _Nothing:
    """A store nobody reads from."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def _ask(adapter: Scripted, *, mode: str = "live", **plan: Any) -> RunContext:
    store: Store = _Nothing()
    run = RunRow(
        id="run_1", detection_id="det_1", position=0, account_id="acc_1", mode=mode, vendor=adapter.vendor,
        detector=adapter.detectors[0], state="queued", created_at=NOW, deadline_at=NOW, prepared_ref="m",
    )  # fmt: skip
    media = MediaRow(
        id="med_1", account_id="acc_1", mode=mode, sha256="", bytes=9, name="n", format="wav", content_type="audio/wav"
    )
    configured = ConfiguredVendor(adapter, replace(PLAN, **plan))
    return RunContextBuilder(store, Addresses(), frozenset({"ai", "slow"})).build(
        run, media, configured, _SOURCE, "song.ai.slow.mp3"
    )


def test_a_vendor_that_fetches_gets_a_link_that_dies_with_the_run_and_an_address_that_outlives_it() -> None:
    ask = _ask(asc())
    assert ask.media_url == "http://relay/media/live/run_1/run_1.wav?until=12:00"
    assert ask.callback_url == "http://relay/callbacks/live/asc/run_1?until=18:00"


def test_a_vendor_that_is_sent_the_bytes_gets_neither() -> None:
    ask = _ask(aippim())
    assert (ask.media_url, ask.callback_url, ask.prepared_ref, ask.media_bytes) == (None, None, "m", 9)


def test_an_operator_may_hand_the_original_address_on() -> None:
    assert _ask(asc(), input="original").media_url == _SOURCE
    assert _ask(aippim(), input="original").media_url is None


def test_sandbox_words_are_told_in_test_mode_only() -> None:
    assert _ask(asc()).name == "run_1.wav"
    assert _ask(asc(), mode="test").name == "run_1.ai.slow.wav"
