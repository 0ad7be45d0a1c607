"""Write metrics down as Prometheus reads them (text format 0.0.4), by its own client library.

The library takes 4 MB, so this module is imported when `/metrics` is first read. Its multiprocess mode is not used: it
needs a folder that all processes share, and ours may run on several machines. They send their figures with their
heartbeats.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.kit.telemetry.metrics import BOUNDS, Count, Figures, Gauge, Histogram, declared

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL = re.compile(r'([a-z0-9_]+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_BUCKETS = [*map(floatToGoString, BOUNDS), "+Inf"]


def written(by_process: Mapping[str, Figures], gauges: Iterable[Gauge]) -> bytes:
    """Return the text: what each process (by its name) has counted of the declared metrics, then the gauges.

    Processes count apart: each series has the label `process`. What this version does not declare is left out.
    """
    families = [_family(metric, by_process) for metric in declared()]
    return generate_latest(_Families([*families, *map(_gauge, gauges)]))


class _Families(Collector):
    """What the library asks for when it writes."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families, in their order."""
        return self._families


def _family(metric: Count | Histogram, by_process: Mapping[str, Figures]) -> Metric:
    labels = ("process", *metric.labels)
    family: Metric
    if isinstance(metric, Count):
        counter = family = CounterMetricFamily(metric.name, metric.about, labels=labels)
        for values, value in _found(metric, by_process):
            if not isinstance(value, Sequence):
                counter.add_metric(values, value)
    else:
        histogram = family = HistogramMetricFamily(metric.name, metric.about, labels=labels)
        for values, value in _found(metric, by_process):
            # A process of another version may have other buckets.
            if isinstance(value, Sequence) and len(value) == len(_BUCKETS) + 1:
                *buckets, total = value
                histogram.add_metric(values, list(zip(_BUCKETS, accumulate(buckets), strict=True)), total)
    return family


def _found(
    metric: Count | Histogram, by_process: Mapping[str, Figures]
) -> Iterator[tuple[list[str], float | Sequence[float]]]:
    """Yield the values of the labels, the process first, and the value of each series of `metric`."""
    for process, figures in by_process.items():
        for text, value in figures.items():
            name, _, rest = text.partition("{")
            if name != metric.name:
                continue
            labels = {label: _ESCAPED.sub(_unescaped, escaped) for label, escaped in _LABEL.findall(rest)}
            if tuple(labels) == metric.labels:
                yield [process, *labels.values()], value


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _gauge(gauge: Gauge) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.about, labels=gauge.labels)
    for values, value in gauge.values.items():
        family.add_metric(values, value)
    return family
