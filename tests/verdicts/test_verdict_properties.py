"""What must hold for any votes, in any order."""

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from service.verdicts.verdict import decide
from service.verdicts.votes import Rule
from tests.verdicts.votes_cast import AI, FREE_RULES, NO, NONE, OPEN, SILENT, SOME, VOICES, part, parts

voices = st.lists(st.sampled_from(VOICES), max_size=6)


@given(voices, st.sampled_from(FREE_RULES), st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_of_parts_never_changes_the_verdict(
    words: list[str], rule: Rule, quorum: int, random: Random
) -> None:
    asked = parts(words)
    shuffled = random.sample(asked, len(asked))
    first, second = (decide(order, rule=rule, quorum=quorum) for order in (asked, shuffled))
    assert (first.status, first.verdict, first.outcome_reason) == (
        second.status,
        second.verdict,
        second.outcome_reason,
    )
    assert (first.agreement, first.votes) == (second.agreement, second.votes)
    assert first.review_reasons == second.review_reasons


@given(st.lists(st.sampled_from([*SILENT][:6]), max_size=6), st.sampled_from(list(Rule)), st.integers(1, 4))
def test_failures_alone_are_never_a_pass(words: list[str], rule: Rule, quorum: int) -> None:
    assert decide(parts(words), rule=rule, quorum=quorum).verdict is NONE


@given(voices, st.sampled_from([*SILENT][:6]), st.sampled_from(list(Rule)), st.integers(1, 4))
def test_one_more_failure_never_makes_a_pass(words: list[str], failure: str, rule: Rule, quorum: int) -> None:
    before = decide(parts(words), rule=rule, quorum=quorum)
    after = decide(parts([*words, failure]), rule=rule, quorum=quorum)
    assert after.verdict is before.verdict
    assert after.status != "completed" or before.verdict in (None, NONE)


@given(voices, st.sampled_from(list(Rule)), st.integers(1, 4))
def test_a_pass_needs_votes_for_it_and_more_than_against(words: list[str], rule: Rule, quorum: int) -> None:
    decided = decide(parts(words), rule=rule, quorum=quorum)
    if decided.verdict is NO:
        assert decided.votes.no_ai > decided.votes.ai
        assert decided.votes.cast >= quorum
        assert decided.votes.ai == 0 or (rule is Rule.MAJORITY and "detector_disagreement" in decided.review_reasons)


@given(voices, st.sampled_from(list(Rule)), st.integers(1, 4))
def test_a_detection_not_analysed_or_inconclusive_says_why(words: list[str], rule: Rule, quorum: int) -> None:
    decided = decide(parts(words), rule=rule, quorum=quorum)
    assert (decided.outcome_reason is None) == (decided.verdict in (AI, SOME, NO))


def test_scores_and_confidences_change_nothing() -> None:
    for low, high in itertools.product((0.0, 1.0), repeat=2):
        scored = [
            part(
                word,
                place,
                score={"value": value, "min": 0, "max": 1, "semantics": "ai_likelihood", "polarity": "ai_high"},
                confidence={"value": value, "semantics": "class"},
            )
            for place, (word, value) in enumerate((("AI", low), ("no", high)))
        ]
        assert decide(scored, rule=Rule.CONSENSUS, quorum=1).verdict is OPEN
