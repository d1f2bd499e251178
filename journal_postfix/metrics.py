"""Metrics for Prometheus, and whether a stage lives and works, over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from journal_postfix import __version__
from journal_postfix.metrics_server import Answer, Pages, Server, served
from journal_postfix.readiness import Readiness
from schemas.errors import ConfigurationError
from schemas.figures import Figures
from schemas.settings import MetricsSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PREFIX: Final = "journal_postfix_"
MOST_PORTS: Final = 64
"""How many ports are tried, from the one of the settings on: one for each stage and worker of a host."""
_SILENT_SECONDS: Final = 60.0
"""How long a stage may give no sign of life before it counts as hanging."""

METRICS: Final[Mapping[str, str]] = {
    "producer_lines_read_total": "Lines read in this run.",
    "producer_lines_sent_total": "Of these, lines sent to Kafka.",
    "producer_batches_total": "Batches sent.",
    "producer_bytes_total": "Bytes of these, before they are compressed.",
    "producer_dead_letters_total": "Lines that were too long: dead letters.",
    "producer_unacknowledged_bytes": "Bytes that Kafka has not acknowledged yet.",
    "producer_acknowledgement_seconds_total": "Seconds that the acknowledged batches waited for it, in all.",
    "producer_acknowledged_batches_total": "Batches that Kafka has acknowledged.",
    "producer_acknowledged_timestamp_seconds": "When Kafka acknowledged lines last.",
    "producer_position_age_seconds": "How long the oldest line sent has waited for its position to be saved; 0: none.",
    "producer_retries_total": "Requests that were sent to Kafka again.",
    "stream_lines_total": "Lines since the topic began, by partition and class: parsed, unparsed, or why ignored.",
    "stream_batches_total": "Batches since the beginning of the topic, by partition.",
    "stream_dead_letters_total": "Records that were no batch, since the beginning of the topic, by partition.",
    "stream_messages_in_flight": "Queue ids with an unfinished message, by partition.",
    "stream_lag_records": "Batches in Kafka that are not merged and committed yet, by partition.",
    "stream_lag_seconds": "How long the oldest of them has waited, by partition; 0: none waits.",
    "stream_newest_line_timestamp_seconds": "Time of the latest line, as its log has it, by partition.",
    "stream_checkpoints_total": "Checkpoints committed by this worker, by partition.",
    "stream_checkpoint_batches_total": "Batches in them.",
    "stream_checkpoint_records_total": "Records that they wrote: rows, changelog, positions.",
    "stream_checkpoint_seconds_total": "Seconds that they took, in all.",
    "stream_retries_total": "How often a fetch or a checkpoint was tried again.",
    "sink_rows_total": "Rows stored by this sink, by table; a row that changes is counted again.",
    "sink_attempts_total": "Rows of delivery_to whose latest attempt is of the last hour, by its status.",
    "sink_domain_attempts_total": "Of these, attempts for the recipient domains that fail most, since each began to.",
    "sink_domain_failures_total": "Of these, attempts that were deferred or bounced.",
    "sink_rejections_total": "Rejections of the last hour without a queue id.",
    "sink_batches_total": "Transactions committed by this sink.",
    "sink_records_total": "Records of Kafka in them.",
    "sink_batch_seconds_total": "Seconds that they took, in all.",
    "sink_dead_letters_total": "Records that could not be stored.",
    "sink_retries_total": "How often it started afresh: the database did not answer, or another sink had written.",
    "sink_lag_records": "Records in Kafka that are not stored yet, by topic and partition.",
    "sink_lag_seconds": "How long the oldest of them has waited, by topic and partition; 0: none waits.",
    "sink_stored_timestamp_seconds": "When it committed last.",
}
"""Names, without the prefix, and what they say. A name that ends in ``_total`` is a counter, another a gauge."""


class _Stage(Collector):
    """The figures of one stage, as Prometheus takes them."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self.figures: Figures = lambda: ()

    def collect(self) -> Iterable[Metric]:
        """Ask the stage."""
        yield InfoMetricFamily(PREFIX + "build", "What runs here.", {"version": __version__, "stage": self._stage})
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for figure in self.figures():
            family = families.get(figure.name)
            if family is None:
                kind = CounterMetricFamily if figure.name.endswith("_total") else GaugeMetricFamily
                family = families[figure.name] = kind(
                    PREFIX + figure.name, METRICS[figure.name], labels=list(figure.labels)
                )
            family.add_metric(list(figure.labels.values()), figure.value)
        yield from families.values()

    def describe(self) -> Iterable[Metric]:
        """Say nothing: what there is, is known when it is asked for."""
        return ()


@contextmanager
def exposed(settings: MetricsSettings, stage: str, told: Readiness) -> Iterator[Callable[[Figures], None]]:
    """Serve the metrics of *stage* while the block runs, if the settings say where; give what takes its figures.

    The port is the first free one from that of the settings on: a host has several stages, and a stage several
    workers. Raises ConfigurationError.
    """
    collector = _Stage(stage)
    if settings.port is None:
        yield lambda figures: None  # noqa: ARG005
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    server = _bound(settings, _pages(registry, told))
    thread = served(server)
    host = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    log.info("metrics are served", stage=stage, address=f"http://{host}:{server.server_address[1]}/metrics")

    def watch(figures: Figures) -> None:
        collector.figures = figures

    try:
        yield watch
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bound(settings: MetricsSettings, pages: Pages) -> Server:
    assert settings.port is not None
    ports = [0] if settings.port == 0 else range(settings.port, min(settings.port + MOST_PORTS, 65_536))
    refused: OSError | None = None
    for port in ports:
        try:
            return Server((settings.listen, port), pages)
        except OSError as error:
            refused = error
    raise ConfigurationError(
        f"cannot serve metrics at {settings.listen}, ports {ports[0]} to {ports[-1]}: {refused}; "
        "see metrics.listen and metrics.port"
    )


def _pages(registry: CollectorRegistry, told: Readiness) -> Pages:
    def silent() -> bool:
        return told.alive_at is not None and time.monotonic() - told.alive_at > _SILENT_SECONDS

    # One that has yet to connect lives: it says itself, or ends, when that does not come.
    return {
        "/metrics": lambda: Answer(generate_latest(registry)),
        "/healthz": lambda: _told(silent(), "hangs", "lives"),
        "/readyz": lambda: _told(told.alive_at is None or silent(), "does not work", "works"),
    }


def _told(bad: bool, no: str, yes: str) -> Answer:  # noqa: FBT001
    if bad:
        return Answer(f"{no}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
    return Answer(f"{yes}\n".encode())
