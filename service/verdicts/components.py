"""One word for each layer of the music, over all detectors. Not here: the verdict on the whole track."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.detectors.enums import RunStatus, Verdict
from service.verdicts.votes import Part, Rule, Vote, combine, vote_for

COMPONENTS = ("vocals", "instrumental", "composition", "engineering")


@dataclass(frozen=True, slots=True)
class ComponentVerdict:
    """What the detectors that judged this layer say of it together."""

    verdict: Verdict
    detectors: tuple[str, ...]  # those that voted on it or abstained, in the order asked


Components = dict[str, ComponentVerdict | None]


def nothing_heard() -> Components:
    """Every layer, and nothing said of any."""
    return dict.fromkeys(COMPONENTS)


def join_components(parts: Sequence[Part], *, rule: Rule, quorum: int) -> Components:
    """Each layer's verdict by the same rule and quorum as the whole; `None` where nobody judged it."""
    return {name: _join(name, parts, rule, quorum) for name in COMPONENTS}


def _join(name: str, parts: Sequence[Part], rule: Rule, quorum: int) -> ComponentVerdict | None:
    votes: list[Vote] = []
    heard: list[str] = []
    for part in parts:
        said = _said(name, part)
        vote = vote_for(part, said)
        if vote is not None:
            votes.append(vote)
        if vote is not None or said is Verdict.INCONCLUSIVE:
            heard.append(part.detector)
    if not heard:
        return None
    verdict = combine(votes, rule=rule, quorum=quorum)[0] if votes else Verdict.INCONCLUSIVE
    return ComponentVerdict(verdict, tuple(heard))


def _said(name: str, part: Part) -> Verdict | None:
    if part.status is not RunStatus.SUCCEEDED or part.reading is None:
        return None
    component = part.reading.components.get(name)
    # A layer the detector did not look at says nothing, whatever word stands there.
    return component.verdict if component is not None and component.evaluated else None
