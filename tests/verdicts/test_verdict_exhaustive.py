"""All that up to four detectors can say, in every order, by every rule: one outcome, and the one of the book."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.verdicts.verdict import Decided, settle
from service.verdicts.votes import Rule
from tests.verdicts.result_samples import DETECTION, PEX
from tests.verdicts.rule_book import Outcome, by_the_book
from tests.verdicts.votes_cast import FREE_RULES, part

WORDS = ("AI", "partial", "no", "abstain", "too_short", "error", "timeout", "cancelled")
MOST = 4
RUNS = {
    (word, place): replace(
        PEX,
        run_id=one.run_id,
        detector=one.detector,
        vendor=one.vendor,
        status=one.status,
        reason_code=one.reason_code,
        reading=one.reading,
    )
    for word in (*WORDS, "running")
    for place in range(MOST)
    for one in [part(word, place)]
}


def settled(words: tuple[str, ...], rule: Rule, quorum: int) -> Decided:
    asked = replace(DETECTION, rule=rule, quorum=quorum)
    runs = [RUNS[word, place] for place, word in enumerate(words)]
    return settle(asked, runs, cancelled="cancelled" in words)


def seen(decided: Decided) -> Outcome:
    votes = decided.votes
    return Outcome(
        decided.status.value,
        decided.verdict.value if decided.verdict else "",
        decided.outcome_reason.value if decided.outcome_reason else None,
        decided.agreement.value,
        (votes.ai, votes.no_ai, votes.abstained, votes.no_answer),
    )


def multisets() -> Iterator[tuple[str, ...]]:
    for size in range(1, MOST + 1):
        yield from itertools.combinations_with_replacement(WORDS, size)


def test_all_of_them_are_looked_at() -> None:
    assert len(list(multisets())) == 8 + 36 + 120 + 330


@pytest.mark.parametrize("quorum", [1, 2])
@pytest.mark.parametrize("rule", FREE_RULES)
def test_whatever_is_said_in_whatever_order_has_the_one_outcome_of_the_book(rule: Rule, quorum: int) -> None:
    for said in multisets():
        outcomes = {seen(settled(order, rule, quorum)) for order in set(itertools.permutations(said))}
        assert outcomes == {by_the_book(said, rule, quorum)}, said


@pytest.mark.parametrize("rule", FREE_RULES)
def test_why_a_person_must_look_is_the_same_in_every_order(rule: Rule) -> None:
    for said in multisets():
        reasons = {settled(order, rule, 2).review_reasons for order in set(itertools.permutations(said))}
        voted = sum(word in ("AI", "partial", "no") for word in said)
        split = "no" in said and ("AI" in said or "partial" in said)
        heard = voted or "abstain" in said
        expected = (
            *(("quorum_not_met",) if heard and voted < 2 else ()),
            *(("detector_disagreement",) if split else ()),
        )
        assert reasons == ({()} if "cancelled" in said else {expected}), said


def test_until_the_last_has_ended_there_is_no_verdict() -> None:
    for said in multisets():
        if "cancelled" in said:
            continue  # then nobody is waited for
        for arrived in range(len(said)):
            so_far = settled((*said[:arrived], *["running"] * (len(said) - arrived)), Rule.ANY, 1)
            assert (so_far.status, so_far.verdict, so_far.outcome_reason) == ("running", None, None)
