"""What every vendor's adapter promises. A vendor's own test class inherits these tests."""

import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.detectors.answers import folded
from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.exchange import Exchange
from service.detectors.judged import Judged
from service.detectors.port import Accepted, Adapter, CallbackRefs, Raw, Refused, RunContext
from service.detectors.reading import Reading
from tests.vendors import altered
from tests.vendors.altered import (
    ERRORS,
    FAILURES,
    HARMLESS,
    IN_OTHER_LETTERS,
    almost,
    beside,
    damage,
    gist,
    nulled,
    renumbered,
    without,
)

SAMPLES = Path(__file__).parent / "samples"
KEY = altered.KEY
NOW = datetime(2026, 4, 1, tzinfo=UTC)
POSITIVE_OR_NEGATIVE = {Verdict.AI_GENERATED, Verdict.AI_PARTIAL, Verdict.NO_AI_DETECTED}

JSON = altered.JSON
HEADERS = st.dictionaries(st.text(), st.text(), max_size=4)
# The adapter is the same for all examples, and it is pure.
SHARED = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow], deadline=None)


def sample(vendor: str, name: str) -> dict[str, Any]:
    """One JSON example of the vendor's documents."""
    found: dict[str, Any] = json.loads((SAMPLES / vendor / f"{name}.json").read_text())
    return found


def raw(body: object, status: int = 200, **headers: str) -> Raw:
    """An answer; `body` is bytes, or is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Raw(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, NOW)


def exchange() -> Exchange:
    """One with room for a slow machine."""
    return Exchange(timeout_seconds=30, connect_seconds=30)


class DetectorContract:
    """Subclasses give an adapter built with `KEY`, its samples' bodies, and how it would be told of a verdict."""

    adapter: Adapter
    asked: str | None = None  # which of the adapter's detectors; `None`: the first
    answers: Mapping[str, Mapping[str, Any]]  # bodies that `read` is given, by name
    fields: frozenset[str]  # names that make arbitrary bodies look like the vendor's
    synchronous: bool = False  # the answer to the submission is the result: there is nothing to ask for later
    words: frozenset[str] = frozenset({"ai", "human", "real", "fake"})  # for a verdict, as the vendor writes them
    words_are_texts: bool = True  # and not true and false
    states: frozenset[str] = frozenset()  # for how far it is, in small letters
    junk: st.SearchStrategy[Any] = JSON  # what damage puts into an answer; it says nothing as a verdict
    a_pass: Mapping[str, Any]  # an answer that hears no AI
    required: Collection[str]  # what a pass is not taken without, by paths with slashes; the verdict's own place too

    @abstractmethod
    def body_with_word(self, word: object) -> Mapping[str, Any]:
        """A finished answer whose verdict is `word`."""

    @abstractmethod
    def body_with_state(self, word: object) -> Mapping[str, Any]:
        """A complete result whose state is `word`."""

    @abstractmethod
    def failed_body(self) -> Mapping[str, Any]:
        """A failure that carries a result all the same."""

    @property
    def detector(self) -> str:
        return self.asked or self.adapter.detectors[0]

    def read(self, body: object, status: int = 200) -> Reading | Refused:
        return self.adapter.read(raw(body, status), self.detector)

    def reading(self, body: object) -> Reading:
        found = self.read(body)
        assert isinstance(found, Reading)
        assert Reading.model_validate(found.model_dump()) == found
        found.model_dump_json()
        return found

    def test_names_and_capabilities_are_sane(self) -> None:
        known = {"mp3", "wav", "flac", "m4a", "aac", "ogg", "webm", "aiff"}
        assert len(set(self.adapter.detectors)) == len(self.adapter.detectors) > 0
        for detector in self.adapter.detectors:
            assert detector.partition("/")[0] == self.adapter.vendor
            capabilities = self.adapter.capabilities(detector)
            assert set() < capabilities.formats <= known
            assert capabilities.callbacks in (None, "account", "run")
            assert capabilities.max_bytes is None or capabilities.max_bytes > 0

    def test_someone_elses_detector_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="nobody/one"):
            self.adapter.capabilities("nobody/one")

    def test_the_key_is_in_no_repr(self) -> None:
        for each in (self.adapter, vars(self.adapter).get("_config"), vars(self.adapter).get("_exchange")):
            assert KEY not in repr(each)

    @pytest.mark.parametrize("status", [100, 301, 400, 401, 402, 403, 404, 413, 415, 422, 429, 500, 503])
    def test_an_http_error_is_a_refusal_and_never_shows_the_key(self, status: int) -> None:
        for body in (b"", b"<html>", {"error": "e", "message": f"Invalid key {KEY}"}, self.failed_body()):
            answer = raw(body, status)
            for found in (
                self.adapter.read(answer, self.detector),
                self.adapter.parse_submit(answer),
                self.adapter.parse_prepare(answer),
            ):
                assert isinstance(found, Refused)
                assert KEY not in found.reason_text
                assert len(found.reason_text) <= 500

    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_a_busy_vendor_is_asked_again_after_the_wait_it_names(self, status: int) -> None:
        answer = raw({}, status, retry_after="33")
        for found in (self.adapter.read(answer, self.detector), self.adapter.parse_submit(answer)):
            assert isinstance(found, Refused)
            assert (found.retryable, found.retry_after_seconds) == (True, 33)

    def test_an_unknown_key_is_not_worth_another_try(self) -> None:
        found = self.adapter.parse_submit(raw({}, 401))
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.AUTH_FAILED, False)

    @pytest.mark.parametrize("body", [b"", b"\xff\x00", b"<html>", b"[]", b"null", b"{", b"[" * 100_000])
    def test_what_is_not_an_object_says_nothing_of_the_track(self, body: bytes) -> None:
        found = self.read(body)
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, not self.synchronous)
        submitted = self.adapter.parse_submit(raw(body))
        assert isinstance(submitted, Refused)
        assert (submitted.reason_code, submitted.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)

    def test_no_documented_answer_has_a_field_without_a_home(self) -> None:
        for name, body in self.answers.items():
            assert self.reading(body).extras == {}, name

    def test_a_field_without_a_home_is_kept_in_extras(self) -> None:
        for name, body in self.answers.items():
            assert self.reading({**body, "brand_new": 1}).extras == {"brand_new": 1}, name

    @SHARED
    @given(st.data())
    def test_an_unknown_word_is_never_a_verdict(self, data: st.DataObject) -> None:
        word = data.draw((st.text() | almost(self.words)).filter(lambda word: folded(word) not in self.words))
        found = self.reading(self.body_with_word(word))
        assert (found.status, found.verdict) == (RunStatus.FAILED, None)
        assert found.reason_code is ReasonCode.UNKNOWN_VERDICT

    @SHARED
    @given(st.data())
    def test_an_unknown_state_is_never_an_end_with_a_verdict(self, data: st.DataObject) -> None:
        known = self.states
        word = data.draw((st.text() | almost(known)).filter(lambda word: folded(word) not in known))
        found = self.read(self.body_with_state(word))
        if isinstance(found, Reading):
            assert found.verdict is None
            assert found.reason_code in ((ReasonCode.SCHEMA_MISMATCH,) if self.synchronous else (None,))
        else:
            assert found.reason_code is ReasonCode.SCHEMA_MISMATCH

    @pytest.mark.parametrize("word", [None, 0, 1, True, [], ["human"], {"real": 1}])
    def test_what_is_no_word_is_never_a_verdict(self, word: object) -> None:
        found = self.reading(self.body_with_word(word))
        assert (found.status, found.verdict) == (RunStatus.FAILED, None)
        assert found.reason_code is ReasonCode.SCHEMA_MISMATCH

    @pytest.mark.parametrize("word", ["archived", "okay", "succes", "", 1, 302, True, ["success"], {"a": 1}])
    def test_an_unknown_state_is_noted_and_keeps_the_run_going_if_it_can_go_on(self, word: object) -> None:
        found = self.reading(self.body_with_state(word))
        if self.synchronous:
            assert (found.status, found.verdict) == (RunStatus.FAILED, None)
            assert found.reason_code is ReasonCode.SCHEMA_MISMATCH
        else:
            assert (found.status, found.verdict) == (RunStatus.RUNNING, None)
            assert "unknown_status" in found.extras

    @property
    def judged(self) -> Judged:
        assert isinstance(self.adapter, Judged)
        return self.adapter

    def test_it_is_judged_like_every_other(self) -> None:
        assert KEY in self.judged.secrets
        assert self.judged.verdict_at

    def test_a_known_word_means_the_same_in_other_letters_and_between_blanks(self) -> None:
        for word in sorted(self.words):
            whole = self.reading(self.body_with_word(word))
            assert (whole.verdict is not None) is self.words_are_texts
            for way in IN_OTHER_LETTERS:
                found = self.reading(self.body_with_word(way(word)))
                assert (found.status, found.verdict, found.kind) == (whole.status, whole.verdict, whole.kind)
                assert found.verdict_raw == (way(word) if self.words_are_texts else way(word).strip())

    def test_a_known_state_means_the_same_in_other_letters_and_between_blanks(self) -> None:
        for word in sorted(self.states):
            whole = self.read(self.body_with_state(word))
            for way in IN_OTHER_LETTERS:
                assert gist(self.read(self.body_with_state(way(word)))) == gist(whole), way(word)

    @SHARED
    @given(st.data())
    def test_an_error_or_a_failure_beside_a_verdict_at_any_layer_is_no_verdict(self, data: st.DataObject) -> None:
        body = self.answers[data.draw(st.sampled_from(self._with_verdict()))]
        name, value = data.draw(st.sampled_from(ERRORS + FAILURES))
        found = self.read(beside(body, name, value, data))
        if isinstance(found, Reading):
            assert found.verdict is None
            assert {each.verdict for each in found.components.values()} <= {None}
        assert KEY not in (found.reason_text or "")
        if name not in ("status", "state"):  # where the vendor has one of these, its own meaning comes first
            assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, False)
        if (name, value) in ERRORS:
            assert "model_2 timed out" in (found.reason_text or "")

    @SHARED
    @given(st.data())
    def test_an_error_member_that_says_nothing_changes_nothing(self, data: st.DataObject) -> None:
        body = self.answers[data.draw(st.sampled_from(self._with_verdict()))]
        name, value = data.draw(st.sampled_from(HARMLESS))
        found, whole = self.reading(beside(body, name, value, data)), self.reading(body)
        same: dict[str, Any] = {
            "extras": {},
            "sub_models": [],
            "attribution": None,
        }  # a further member has its place in one of these
        assert found.model_copy(update=same) == whole.model_copy(update=same)

    def test_a_second_verdict_is_one_only_if_it_is_the_same(self) -> None:
        for name in self._with_verdict():
            said = self.reading(self.answers[name])
            word: Any = said.verdict_raw if self.words_are_texts else said.verdict_raw == "true"
            other: Any = f"not {word}" if self.words_are_texts else not word
            for second, stands in ((word, True), (other, False)):
                nested: Any = second
                for part in reversed(self.judged.verdict_at):
                    nested = {part: nested}
                found = self.read({**self.answers[name], "elsewhere": nested})
                assert (isinstance(found, Reading) and found.verdict == said.verdict) is stands
                assert found.reason_code is (said.reason_code if stands else ReasonCode.SCHEMA_MISMATCH)

    def test_a_pass_is_not_taken_without_what_the_documents_require(self) -> None:
        assert self.required
        assert self.reading(self.a_pass).verdict is Verdict.NO_AI_DETECTED
        for path in self.required:
            for less in (without(self.a_pass, path.split("/")), nulled(self.a_pass, path.split("/"))):
                found = self.read(less)
                assert not isinstance(found, Reading) or found.verdict is None, path
                assert found.reason_code is ReasonCode.SCHEMA_MISMATCH, path

    def _with_verdict(self) -> list[str]:
        found = sorted(name for name, body in self.answers.items() if self.reading(body).verdict is not None)
        assert found, "no answer has a verdict"
        return found

    def test_a_failure_is_never_a_verdict_even_beside_a_result(self) -> None:
        found = self.reading(self.failed_body())
        assert (found.status, found.verdict) == (RunStatus.FAILED, None)
        assert found.reason_code is ReasonCode.VENDOR_ERROR
        assert found.reason_text

    @SHARED
    @given(st.data())
    def test_no_body_makes_a_read_raise(self, data: st.DataObject) -> None:
        known = st.dictionaries(st.sampled_from(sorted(self.fields)), JSON | self._words(), max_size=8)
        found = self.read(data.draw(known | st.binary() | JSON))
        if isinstance(found, Reading):
            found.model_dump_json()
            assert (found.verdict is not None) == (found.status is RunStatus.SUCCEEDED)

    @SHARED
    @given(st.data())
    def test_no_damage_to_a_real_answer_makes_a_read_raise_or_turns_the_verdict(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.answers)))
        whole = self.reading(self.answers[name]).verdict
        # A verdict's own word is no damage.
        junk = self.junk.filter(lambda value: not isinstance(value, str) or folded(value) not in self.words)
        damaged = damage(self.answers[name], data, junk)
        found = self.read(damaged)
        if isinstance(found, Reading) and found.verdict in POSITIVE_OR_NEGATIVE:
            assert found.verdict == whole or whole is None

    @SHARED
    @given(st.data())
    def test_no_number_turns_a_verdict(self, data: st.DataObject) -> None:
        """The vendor's own word decides; where its numbers would have drawn the line is not for us to say."""
        name = data.draw(st.sampled_from(sorted(self.answers)))
        numbers = data.draw(st.lists(st.floats(0, 1) | st.floats(0, 100), min_size=1, max_size=8))
        found, whole = self.reading(renumbered(self.answers[name], cycle(numbers))), self.reading(self.answers[name])
        assert (found.status, found.verdict, found.verdict_raw) == (whole.status, whole.verdict, whole.verdict_raw)

    @SHARED
    @given(JSON)
    def test_no_body_makes_the_first_answers_raise(self, body: object) -> None:
        answer = raw(body)
        self.adapter.parse_prepare(answer)
        accepted = self.adapter.parse_submit(answer)
        assert isinstance(accepted, Refused | (Reading if self.synchronous else Accepted))

    @SHARED
    @given(HEADERS, st.dictionaries(st.text(), JSON, max_size=4), st.lists(st.text(), max_size=2))
    def test_no_header_and_no_body_makes_a_check_raise(
        self, headers: dict[str, str], body: dict[str, object], secrets: list[str]
    ) -> None:
        self.adapter.verify(headers, body, secrets, NOW)
        self.adapter.challenge(body)
        assert isinstance(self.adapter.refs(body), CallbackRefs | None)

    async def test_a_request_without_what_it_needs_is_a_mistake_of_the_caller(self) -> None:
        async def nothing() -> AsyncIterator[bytes]:
            yield b""

        ask = RunContext("run_1", self.detector, None, "a.mp3", 1, "audio/mpeg", nothing)
        if self.synchronous:
            with pytest.raises(NotImplementedError):
                await self.adapter.fetch(ask)
            return
        for talk in (self.adapter.submit, self.adapter.fetch):
            with pytest.raises(ValueError, match="missing"):
                await talk(ask)

    def _words(self) -> st.SearchStrategy[str]:
        return st.sampled_from(["ai", "human", "real", "fake", "success", "failed", "completed", "queued"])
