"""Metrics for Prometheus, and whether a stage lives and works, over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from journal_postfix import __version__
from journal_postfix.readiness import Readiness
from schemas.errors import ConfigurationError
from schemas.figures import Figures
from schemas.settings import MetricsSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PREFIX: Final = "journal_postfix_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_PORTS: Final = 64
"""How many ports are tried, from the one of the settings on: one for each stage and worker of a host."""
_SILENT_SECONDS: Final = 60.0
"""How long a stage may give no sign of life before it counts as hanging."""
_LONGEST_REQUEST_SECONDS: Final = 10.0
_MOST_REQUESTS: Final = 16
"""How many are answered at once: each is a thread, and whoever reaches the port may ask."""

METRICS: Final[Mapping[str, str]] = {
    "producer_lines_read_total": "Lines read in this run.",
    "producer_lines_sent_total": "Of these, lines sent to Kafka.",
    "producer_batches_total": "Batches sent.",
    "producer_dead_letters_total": "Lines that were too long: dead letters.",
    "producer_unacknowledged_bytes": "Bytes that Kafka has not acknowledged yet.",
    "producer_acknowledgement_seconds_total": "Seconds that the acknowledged batches waited for it, in all.",
    "producer_acknowledged_batches_total": "Batches that Kafka has acknowledged.",
    "producer_acknowledged_timestamp_seconds": "When Kafka acknowledged lines last.",
    "stream_lines_total": "Lines since the topic began, by partition and class: parsed, unparsed, or why ignored.",
    "stream_batches_total": "Batches since the beginning of the topic, by partition.",
    "stream_dead_letters_total": "Records that were no batch, since the beginning of the topic, by partition.",
    "stream_messages_in_flight": "Queue ids with an unfinished message, by partition.",
    "stream_lag_records": "Batches in Kafka that are not merged yet, by partition.",
    "stream_newest_line_timestamp_seconds": "Time of the latest line, as its log has it, by partition.",
    "stream_checkpoints_total": "Checkpoints committed by this worker.",
    "stream_checkpoint_seconds_total": "Seconds that they took, in all.",
    "sink_rows_total": "Rows stored by this sink, by table; a row that changes is counted again.",
    "sink_attempts_total": "Of delivery_to, by the status of the latest attempt.",
    "sink_batches_total": "Transactions committed by this sink.",
    "sink_batch_seconds_total": "Seconds that they took, in all.",
    "sink_dead_letters_total": "Records that could not be stored.",
    "sink_retries_total": "How often it started afresh: the database did not answer, or another sink had written.",
    "sink_lag_records": "Records in Kafka that are not stored yet, by topic and partition.",
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
    server = _bound(settings, _handler(registry, told))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    log.info("metrics are served", stage=stage, address=f"http://{settings.listen}:{server.server_address[1]}/metrics")

    def watch(figures: Figures) -> None:
        collector.figures = figures

    try:
        yield watch
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bound(settings: MetricsSettings, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    assert settings.port is not None
    ports = [0] if settings.port == 0 else range(settings.port, min(settings.port + MOST_PORTS, 65_536))
    refused: OSError | None = None
    for port in ports:
        try:
            return _Server((settings.listen, port), handler)
        except OSError as error:
            refused = error
    raise ConfigurationError(
        f"cannot serve metrics at {settings.listen}, ports {ports[0]} to {ports[-1]}: {refused}; "
        "see metrics.listen and metrics.port"
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._room = threading.BoundedSemaphore(_MOST_REQUESTS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or not at all where there is no room: who asks all the time gets no more than that."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, for so long at most: who sends a byte now and then would keep a thread for ever."""
        late = threading.Timer(_LONGEST_REQUEST_SECONDS, _cut, (request,))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of who went away amid an answer, as the library would with a traceback."""


def _cut(request: socket.socket) -> None:
    with suppress(OSError):  # it is over
        request.shutdown(socket.SHUT_RDWR)


def _handler(registry: CollectorRegistry, told: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _LONGEST_REQUEST_SECONDS
        server_version = "journal-postfix"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE)
            elif self.path == "/healthz":
                # One that has yet to connect lives: it says itself, or ends, when that does not come.
                hangs = told.alive_at is not None and time.monotonic() - told.alive_at > _SILENT_SECONDS
                self._tell(hangs, "hangs", "lives")
            elif self.path == "/readyz":
                late = told.alive_at is None or time.monotonic() - told.alive_at > _SILENT_SECONDS
                self._tell(late, "does not work", "works")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /healthz, /readyz\n", CONTENT_TYPE)

        def _tell(self, bad: bool, no: str, yes: str) -> None:  # noqa: FBT001
            status = HTTPStatus.SERVICE_UNAVAILABLE if bad else HTTPStatus.OK
            self._answer(status, f"{no if bad else yes}\n".encode(), CONTENT_TYPE)

        def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            """Say nothing of each request."""

    return Handler
