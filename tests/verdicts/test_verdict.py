"""From runs to one outcome: every row of the two tables, and what must hold for any votes."""

import pytest

from service.detectors.enums import ConflictKind, ReasonCode, RunStatus, Verdict
from service.detectors.reading import Attribution, Component, Reading
from service.detectors.reading import Conflict as Contradiction
from service.verdicts.verdict import Decided, DetectionStatus, decide, decide_cancelled, decide_without_runs, undecided
from service.verdicts.votes import OutcomeReason, Part, Rule
from tests.verdicts.votes_cast import AI, NO, NONE, OPEN, SOME, VERDICTS, part, parts


def outcome(words: str, rule: Rule = Rule.CONSENSUS, quorum: int = 1) -> Decided:
    return decide(parts(words.split()), rule=rule, quorum=quorum)


VOTE_TABLE = [
    # votes, agreement, then the verdict by: consensus q1, consensus q2, majority, any
    ("AI AI AI", "unanimous", (AI, AI, AI, AI)),
    ("no no", "unanimous", (NO, NO, NO, NO)),
    ("AI no", "split", (OPEN, OPEN, OPEN, AI)),
    ("AI AI no", "majority", (OPEN, OPEN, AI, AI)),
    ("AI partial", "unanimous", (SOME, SOME, SOME, SOME)),
    ("AI AI partial", "unanimous", (AI, AI, AI, AI)),
    ("AI timeout", "single", (AI, OPEN, AI, AI)),
    ("no too_short", "single", (NO, OPEN, NO, NO)),
    ("abstain AI", "single", (AI, OPEN, AI, AI)),
    ("abstain", "none", (OPEN, OPEN, OPEN, OPEN)),
    ("too_short not_enough_music", "none", (NONE, NONE, NONE, NONE)),
    ("error timeout", "none", (NONE, NONE, NONE, NONE)),
    # beyond the table: the larger side may be the negative one
    ("AI no no", "majority", (OPEN, OPEN, NO, AI)),
    ("AI partial no", "majority", (OPEN, OPEN, SOME, SOME)),
]
COLUMNS = ((Rule.CONSENSUS, 1), (Rule.CONSENSUS, 2), (Rule.MAJORITY, 1), (Rule.ANY, 1))


@pytest.mark.parametrize(("words", "agreement", "verdicts"), VOTE_TABLE)
@pytest.mark.parametrize("column", range(4), ids=["consensus-q1", "consensus-q2", "majority", "any"])
def test_votes_add_up_as_the_table_says(words: str, agreement: str, verdicts: tuple[Verdict, ...], column: int) -> None:
    rule, quorum = COLUMNS[column]
    decided = outcome(words, rule, quorum)
    assert (decided.verdict, decided.agreement) == (verdicts[column], agreement)


STATUS_TABLE = [
    ("AI AI", 1, "completed", AI, None),
    ("AI abstain", 1, "completed", AI, None),
    ("AI abstain", 2, "completed", OPEN, "quorum_not_met"),
    ("AI no", 1, "completed", OPEN, "detector_disagreement"),
    ("AI no", 3, "completed", OPEN, "quorum_not_met"),
    ("no error", 1, "completed_partial", NO, None),
    ("no timeout", 2, "completed_partial", OPEN, "quorum_not_met"),
    ("AI no too_short", 1, "completed_partial", OPEN, "detector_disagreement"),
    ("abstain abstain", 1, "completed", OPEN, "abstained"),
    ("abstain error", 1, "completed_partial", OPEN, "abstained"),
    ("too_short not_enough_music", 1, "completed", NONE, "content_not_analyzable"),
    ("error error", 1, "failed", NONE, "no_detector_answered"),
    ("too_short error", 1, "failed", NONE, "no_detector_answered"),
    ("timeout error", 1, "failed", NONE, "no_detector_answered"),
    ("too_short timeout", 1, "failed", NONE, "no_detector_answered"),
    ("unknown_word", 1, "failed", NONE, "no_detector_answered"),
    ("over_budget", 1, "failed", NONE, "no_detector_answered"),
    ("timeout timeout", 1, "expired", NONE, "no_detector_answered"),
    ("no unneeded unneeded", 1, "completed", NO, None),
    ("timeout unneeded", 1, "expired", NONE, "no_detector_answered"),
    ("", 1, "failed", NONE, "no_detector_answered"),
]


@pytest.mark.parametrize(("words", "quorum", "status", "verdict", "reason"), STATUS_TABLE)
def test_ended_runs_become_the_outcome_the_table_says(
    words: str, quorum: int, status: str, verdict: Verdict, reason: str | None
) -> None:
    decided = outcome(words, quorum=quorum)
    assert (decided.status, decided.verdict, decided.outcome_reason) == (status, verdict, reason)
    assert decided.status.ended


@pytest.mark.parametrize(
    "reason",
    [
        OutcomeReason.SOURCE_UNREACHABLE,
        OutcomeReason.INVALID_FILE,
        OutcomeReason.UNSUPPORTED_FORMAT,
        OutcomeReason.FILE_TOO_LARGE,
    ],
)
def test_audio_that_cannot_be_had_fails_the_detection(reason: OutcomeReason) -> None:
    decided = decide_without_runs(reason, parts(["pending", "pending"]))
    assert (decided.status, decided.verdict) == ("failed", NONE)
    assert decided.outcome_reason is reason
    assert decided.votes.no_answer == 2


def test_a_cancelled_detection_has_no_verdict_even_after_votes() -> None:
    decided = decide_cancelled(parts(["AI", "AI", "running"]))
    assert (decided.status, decided.verdict, decided.outcome_reason) == ("cancelled", NONE, "cancelled")
    assert (decided.agreement, decided.votes.ai) == ("none", 2)


@pytest.mark.parametrize(
    ("words", "status"), [("pending pending", "queued"), ("AI pending", "running"), ("running", "running")]
)
def test_before_the_end_there_is_no_verdict(words: str, status: str) -> None:
    so_far = undecided(parts(words.split()))
    assert (so_far.status, so_far.verdict, so_far.outcome_reason) == (status, None, None)
    assert so_far.agreement == "none"
    assert so_far.votes.no_answer == 0
    assert not so_far.status.ended


@pytest.mark.parametrize("word", ["pending", "running"])
def test_deciding_before_the_end_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="every run to have ended"):
        outcome(f"AI {word}")


def test_only_completed_failed_cancelled_and_expired_are_ends() -> None:
    assert {status for status in DetectionStatus if not status.ended} == {"queued", "running"}


@pytest.mark.parametrize(
    ("words", "rule", "quorum", "reasons"),
    [
        ("AI AI", Rule.CONSENSUS, 1, ()),
        ("AI no", Rule.CONSENSUS, 1, ("detector_disagreement",)),
        ("AI AI no", Rule.MAJORITY, 1, ("detector_disagreement",)),
        ("AI no", Rule.ANY, 1, ("detector_disagreement",)),
        ("AI timeout", Rule.CONSENSUS, 2, ("quorum_not_met",)),
        ("AI no", Rule.CONSENSUS, 3, ("quorum_not_met", "detector_disagreement")),
        ("abstain", Rule.CONSENSUS, 1, ("quorum_not_met",)),
        ("AI unverified", Rule.CONSENSUS, 1, ("unverified_callback",)),
        ("unverified", Rule.CONSENSUS, 1, ("unverified_callback",)),
        ("error timeout", Rule.CONSENSUS, 2, ()),
    ],
)
def test_a_person_is_asked_to_look(words: str, rule: Rule, quorum: int, reasons: tuple[str, ...]) -> None:
    assert outcome(words, rule, quorum).review_reasons == reasons


def test_votes_are_counted_and_an_unneeded_run_is_in_no_count() -> None:
    votes = outcome("AI partial no abstain error too_short unneeded").votes
    assert (votes.ai, votes.no_ai, votes.abstained, votes.no_answer) == (2, 1, 1, 2)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("AI partial", ["scope_disagreement"]),
        ("AI AI partial", ["scope_disagreement"]),
        ("AI no", ["detector_disagreement"]),
        ("AI AI", []),
        ("AI timeout", []),
    ],
)
def test_contradicting_answers_are_reported(words: str, kinds: list[str]) -> None:
    assert [conflict.kind for conflict in outcome(words).conflicts] == kinds


@pytest.mark.parametrize(
    ("words", "declared", "contradicts"),
    [
        ("AI", False, True),
        ("partial", False, True),
        ("no", True, True),
        ("AI", True, False),
        ("no", False, False),
        ("AI", None, False),
        ("AI no", False, False),
        ("error", True, False),
    ],
)
def test_a_false_declaration_is_reported_and_decides_nothing(
    words: str,
    declared: bool | None,
    contradicts: bool,
) -> None:
    silent = outcome(words)
    spoken = decide(parts(words.split()), rule=Rule.CONSENSUS, quorum=1, declared_ai=declared)
    kinds = [conflict.kind for conflict in spoken.conflicts]
    assert (ConflictKind.DECLARED_VS_DETECTED in kinds) is contradicts
    assert (spoken.verdict, spoken.review_reasons) == (silent.verdict, silent.review_reasons)


@pytest.mark.parametrize("kind", list(ConflictKind))
@pytest.mark.parametrize("verdict", [None, Verdict.AI_GENERATED, Verdict.NO_AI_DETECTED, Verdict.INCONCLUSIVE])
def test_a_vendor_that_contradicts_itself_asks_for_review_and_turns_nothing(
    verdict: Verdict | None, kind: ConflictKind
) -> None:
    status = RunStatus.FAILED if verdict is None else RunStatus.SUCCEEDED
    plain = Reading(status=status, verdict=verdict)
    torn = plain.model_copy(update={"conflicts": [Contradiction(kind=kind, detail="two words")]})
    sure, unsure = (
        decide([Part("run_1", "aippim/pro", "aippim", status, reading=each)], rule=Rule.CONSENSUS, quorum=1)
        for each in (plain, torn)
    )
    assert (unsure.verdict, unsure.status, unsure.votes) == (sure.verdict, sure.status, sure.votes)
    asks = verdict is not None and kind is ConflictKind.VENDOR_INTERNAL
    assert set(unsure.review_reasons) - set(sure.review_reasons) == ({"vendor_internal"} if asks else set())


def test_a_vendors_own_contradiction_is_carried_with_its_name() -> None:
    inner = Contradiction(kind=ConflictKind.VENDOR_INTERNAL, detail="real, yet ai_cover")
    decided = decide([part("abstain", conflicts=[inner])], rule=Rule.CONSENSUS, quorum=1)
    assert [conflict.detail for conflict in decided.conflicts] == ["v0: real, yet ai_cover"]


@pytest.mark.parametrize("claim", [Verdict.NO_AI_DETECTED, Verdict.AI_GENERATED])
@pytest.mark.parametrize("status", [RunStatus.TIMED_OUT, RunStatus.FAILED, RunStatus.NOT_APPLICABLE])
def test_a_claim_of_a_run_that_did_not_succeed_is_no_vote(claim: Verdict, status: RunStatus) -> None:
    reading = Reading(status=RunStatus.SUCCEEDED, verdict=claim)
    claimed = Part("run_0", "v0", "v0", status, ReasonCode.UNVERIFIED_CALLBACK, reading)
    decided = decide([claimed], rule=Rule.ANY, quorum=1)
    assert (decided.verdict, decided.votes.cast) == (NONE, 0)


@pytest.mark.parametrize("word", [None, Verdict.NOT_ANALYZED])
def test_success_without_a_side_is_no_answer(word: Verdict | None) -> None:
    reading = Reading(status=RunStatus.SUCCEEDED, verdict=word)
    decided = decide([Part("run_0", "v0", "v0", RunStatus.SUCCEEDED, None, reading)], rule=Rule.CONSENSUS, quorum=1)
    assert (decided.status, decided.verdict, decided.votes.no_answer) == ("failed", NONE, 1)


def said_of_vocals(*words: str | None) -> list[Part]:
    return [
        part("AI", place, components={"vocals": Component(verdict=VERDICTS[word], evaluated=True)})
        if word is not None
        else part("AI", place, components={"vocals": Component(verdict=NO, evaluated=False)})
        for place, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "rule", "quorum", "verdict", "detectors"),
    [
        (("AI", "AI"), Rule.CONSENSUS, 1, AI, ("v0", "v1")),
        (("AI", "no"), Rule.CONSENSUS, 1, OPEN, ("v0", "v1")),
        (("AI", "no"), Rule.ANY, 1, AI, ("v0", "v1")),
        (("AI", None), Rule.CONSENSUS, 1, AI, ("v0",)),
        (("no", None), Rule.CONSENSUS, 2, OPEN, ("v0",)),
        (("abstain",), Rule.CONSENSUS, 1, OPEN, ("v0",)),
    ],
)
def test_a_component_is_decided_by_the_same_rule(
    words: tuple[str | None, ...], rule: Rule, quorum: int, verdict: Verdict, detectors: tuple[str, ...]
) -> None:
    vocals = decide(said_of_vocals(*words), rule=rule, quorum=quorum).components["vocals"]
    assert vocals is not None
    assert (vocals.verdict, vocals.detectors) == (verdict, detectors)


def test_a_component_nobody_looked_at_is_absent() -> None:
    components = decide(said_of_vocals(None), rule=Rule.CONSENSUS, quorum=1).components
    assert components == dict.fromkeys(("vocals", "instrumental", "composition", "engineering"))


def named(word: str, place: int, label: str | None, family: str | None, version: str | None = None) -> Part:
    return part(word, place, attribution=Attribution(raw_label=label, family=family, version=version))


SUNO4, SUNO5 = ("suno_v4", "suno", "4"), ("suno_v5", "suno", "5")


@pytest.mark.parametrize(
    ("labels", "family", "version", "agreement", "candidates"),
    [
        ([SUNO4], "suno", "4", "single", 1),
        ([SUNO4, SUNO4], "suno", "4", "agree", 2),
        ([SUNO4, SUNO5], "suno", None, "agree", 2),
        ([SUNO4, ("Suno", "Suno", None)], "suno", "4", "agree", 2),
        ([SUNO4, ("udio", "udio", None)], None, None, "conflict", 2),
        ([SUNO4, ("other", None, None)], "suno", "4", "single", 2),
        ([("other", None, None)], None, None, "none", 1),
        ([(None, None, None)], None, None, "none", 0),
    ],
)
def test_a_generator_is_named_where_no_detector_contradicts(
    labels: list[tuple[str | None, str | None, str | None]],
    family: str | None,
    version: str | None,
    agreement: str,
    candidates: int,
) -> None:
    asked = [named("AI", place, *label) for place, label in enumerate(labels)]
    joint = decide(asked, rule=Rule.CONSENSUS, quorum=1).attribution
    assert (joint.family, joint.version, joint.agreement) == (family, version, agreement)
    assert len(joint.candidates) == candidates


@pytest.mark.parametrize(("words", "rule"), [(("no",), Rule.CONSENSUS), (("AI", "no"), Rule.CONSENSUS)])
def test_no_generator_is_named_without_a_positive_verdict(words: tuple[str, ...], rule: Rule) -> None:
    asked = [named(word, place, *SUNO4) for place, word in enumerate(words)]
    joint = decide(asked, rule=rule, quorum=1).attribution
    assert (joint.family, joint.agreement, joint.candidates) == (None, "none", ())


def test_a_detector_that_voted_no_names_no_generator() -> None:
    asked = [named("AI", 0, *SUNO4), named("no", 1, "udio", "udio")]
    assert decide(asked, rule=Rule.ANY, quorum=1).attribution.family == "suno"
