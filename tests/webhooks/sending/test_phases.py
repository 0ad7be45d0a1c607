"""Where the time went, as whole milliseconds; `None` for what did not happen."""

import pytest

from service.webhooks.models import PHASES
from service.webhooks.sending.attempt import Stopwatch


def test_marks_become_milliseconds() -> None:
    marks = {"connect_start": 10.001, "dns_start": 10.002, "dns_end": 10.010, "connect_end": 10.050, "answered": 10.2}
    phases = Stopwatch(started=10.0, marks=marks).phases()
    assert tuple(phases) == PHASES
    assert (phases["dns"], phases["connect"], phases["tls"], phases["first_byte"]) == (8, 40, None, 200)


def test_without_a_lookup_the_connection_begins_at_its_own_mark() -> None:
    watch = Stopwatch(started=10.0, marks={"connect_start": 10.001, "connect_end": 10.004})
    assert (watch.phases()["dns"], watch.phases()["connect"]) == (None, 3)


@pytest.mark.parametrize("marks", [{}, {"connect_start": 1.0}, {"dns_start": 1.0}, {"connect_end": 2.0}])
def test_what_has_not_ended_has_no_length(marks: dict[str, float]) -> None:
    phases = Stopwatch(marks=marks).phases()
    assert {phases[name] for name in ("dns", "connect", "tls", "first_byte")} == {None}
    assert phases["total"] is not None


def test_a_mark_stays_where_it_was_first_set() -> None:
    watch = Stopwatch(marks={"answered": 1.0})
    watch.mark("answered")
    assert watch.marks == {"answered": 1.0}
