"""Stages tell Prometheus what they do, and whether they live; dashboard, alerts and page name nothing else."""

import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import yaml
from structlog.testing import capture_logs

from journal_postfix import metrics_server
from journal_postfix.inputs import Inputs, stages_of
from journal_postfix.metrics import METRICS, PREFIX, exposed
from journal_postfix.readiness import Readiness
from journal_postfix.supervision.workers import _of_worker
from producers.acknowledgements import Acknowledgements
from producers.publishing import Publisher
from schemas.deliveries import DeliveryTo
from schemas.errors import ConfigurationError
from schemas.figures import Figure
from schemas.settings import KafkaSettings, MetricsSettings, Settings, StreamSettings
from schemas.timestamps import to_text
from schemas.topics import topics_of
from sinks.batches import Batch
from sinks.figures import Counts
from sinks.lags import Lags
from sinks.storing import Prepared
from sinks.writing import ready
from streams.partitions import SourcePartition
from streams.state import PartitionState

ROOT = Path(__file__).parents[2]
_name = re.compile(rf"{PREFIX}[a-z_]+")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def eventually(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def samples(port: int) -> dict[str, float]:
    _, text = get(port, "/metrics")
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def figures() -> Iterator[Figure]:
    yield Figure("stream_lines_total", 7, {"partition": "0", "class": "parsed"})
    yield Figure("stream_lines_total", 3, {"partition": "1", "class": 'an "odd"\nclass'})
    yield Figure("stream_messages_in_flight", 2, {"partition": "0"})


def test_the_figures_of_a_stage_are_served_when_they_are_asked_for() -> None:
    port = free_port()
    with exposed(MetricsSettings(port=port), "stream", Readiness()) as watch:
        assert not [name for name in samples(port) if name.startswith(f"{PREFIX}stream")]
        watch(figures)
        found = samples(port)
        _, text = get(port, "/metrics")
    assert found[f'{PREFIX}stream_lines_total{{class="parsed",partition="0"}}'] == 7
    assert found[f'{PREFIX}stream_lines_total{{class="an \\"odd\\"\\nclass",partition="1"}}'] == 3
    assert found[f'{PREFIX}stream_messages_in_flight{{partition="0"}}'] == 2
    assert f"# TYPE {PREFIX}stream_lines_total counter" in text
    assert f"# TYPE {PREFIX}stream_messages_in_flight gauge" in text
    assert f'{PREFIX}build_info{{stage="stream"' in text
    assert "process_resident_memory_bytes" in text


def test_a_stage_lives_before_it_works_and_works_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    told = Readiness()
    with exposed(MetricsSettings(port=port), "sink", told):
        answers = [(get(port, "/healthz")[0], get(port, "/readyz")[0])]
        told.ready()
        answers.append((get(port, "/healthz")[0], get(port, "/readyz")[0]))
        monkeypatch.setattr("journal_postfix.metrics._SILENT_SECONDS", -1.0)  # it hangs
        answers.append((get(port, "/healthz")[0], get(port, "/readyz")[0]))
        told.stopping()
        answers.append((get(port, "/healthz")[0], get(port, "/readyz")[0]))
        assert get(port, "/etc/passwd")[0] == 404
    assert answers == [(200, 503), (200, 200), (503, 503), (200, 503)]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nothing"])
def test_a_probe_may_ask_for_the_head_alone(path: str) -> None:
    """As many monitors and load balancers do."""
    port = free_port()
    with exposed(MetricsSettings(port=port), "sink", Readiness()):
        assert get(port, path, "HEAD") == (get(port, path)[0], "")


def test_each_worker_of_a_host_takes_the_next_port_and_gives_it_back() -> None:
    port = free_port()
    for _ in range(2):
        with (
            exposed(MetricsSettings(port=port), "stream", Readiness()),
            exposed(MetricsSettings(port=port), "sink", Readiness()),
        ):
            assert 'stage="stream"' in get(port, "/metrics")[1]
            assert 'stage="sink"' in get(port + 1, "/metrics")[1]


def test_it_is_off_unless_asked_for_and_listens_on_loopback() -> None:
    assert MetricsSettings().port is None
    assert MetricsSettings().listen == "127.0.0.1"
    with exposed(MetricsSettings(), "stream", Readiness()) as watch:
        watch(figures)


def test_an_address_that_is_not_ours_is_told() -> None:
    with (
        pytest.raises(ConfigurationError, match=r"192\.0\.2\.1.*metrics\.listen"),
        exposed(MetricsSettings(listen="192.0.2.1", port=9631), "stream", Readiness()),
    ):
        pass


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
def test_the_address_that_is_logged_can_be_asked(listen: str) -> None:
    with capture_logs() as said, exposed(MetricsSettings(listen=listen, port=0), "sink", Readiness()):
        [address] = [entry["address"] for entry in said]
        assert urlsplit(address).hostname == listen
        assert b"journal_postfix_build_info" in urllib.request.urlopen(address, timeout=10).read()


def test_more_connections_than_there_may_be_are_closed_and_slow_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "LONGEST_SECONDS", 1.0)
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(exposed(MetricsSettings(port=port), "sink", Readiness()))
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(metrics_server.MOST_CONNECTIONS + 4)
        ]
        slow[-1].settimeout(10)
        assert not slow[-1].recv(1)  # refused at once
        slow[0].sendall(b"GET /heal")
        slow[0].settimeout(10)
        assert not slow[0].recv(1)  # ended, though it said something
        assert eventually(lambda: get(port, "/healthz")[0] == 200)


def test_figures_that_fail_are_an_error_of_that_answer_and_no_more() -> None:
    def wrong() -> Iterator[Figure]:
        raise RuntimeError("wrong")
        yield

    port = free_port()
    with exposed(MetricsSettings(port=port), "sink", Readiness()) as watch:
        watch(wrong)
        assert get(port, "/metrics")[0] == 500
        watch(figures)
        assert get(port, "/metrics")[0] == 200


def test_the_stages_of_up_and_the_workers_of_a_host_have_the_same_port_in_every_run() -> None:
    settings = Settings(metrics=MetricsSettings(port=9631))
    stages = stages_of(settings, Inputs(files=(Path("/var/log/mail.log"),), journal=True), follow=True)
    ports = {stage.name: json.loads(stage.environment["JOURNAL_POSTFIX_METRICS"])["port"] for stage in stages}
    assert ports == {"produce-logfile": 9631, "produce-journal": 9632, "stream": 9633, "sink": 9634}
    assert [_of_worker(settings, number).metrics.port for number in (1, 2, 3)] == [9631, 9632, 9633]
    assert _of_worker(Settings(), 2).metrics.port is None


def test_what_stages_tell_has_a_description() -> None:
    counts, lags, at = Counts(20), Lags(), to_text(time.time_ns() // 1000)
    row = DeliveryTo(
        host="mx1", queue_id="A", arrived_at=at, recipient="ann@down.example", last_attempt_at=at, first_attempt_at=at,
        status="deferred",
    )  # fmt: skip
    batch = Batch(deliveries={("mx1", "A", at, "ann@down.example", ""): row})
    counts.stored(Prepared([None], batch, {}, ready(batch)), 1, 0.5)
    lags.keep([("postfix.noqueue", 0)])
    topics = topics_of(KafkaSettings(), StreamSettings())
    transactions = SimpleNamespace(retries=0)
    partition = SourcePartition(0, PartitionState(0, topics, StreamSettings()), transactions, topics)  # type: ignore[arg-type]
    partition.state.progress.hosts["mx1"] = 1
    publisher = Publisher.__new__(Publisher)
    publisher.__dict__.update(
        _lines=1, _batches=1, _bytes=1, _letters=1, _in_flight=1, _acknowledged=1, _waited=1.0, _acknowledged_at=1.0,
        _retries=1, _acknowledgements=Acknowledgements(),
    )  # fmt: skip
    told = {figure.name for source in (counts, lags, partition, publisher) for figure in source.figures()}
    elsewhere = {"stream_retries_total", "producer_lines_read_total"}
    assert told | elsewhere == set(METRICS)


def test_the_page_lists_every_metric_and_every_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    rows = [f"| `{PREFIX}{name}` | {said} |" for name, said in METRICS.items()]
    assert [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")] == rows
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    listed = re.findall(r"\b(?:JournalPostfix|Mail)[A-Z]\w+", page.partition("## Alerts")[2].partition("## Logs")[0])
    assert listed == alerts


@pytest.mark.parametrize("file", ["deploy/prometheus/alerts.yaml", "deploy/grafana/journal-postfix.json"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(file: str) -> None:
    found = set(_name.findall((ROOT / file).read_text()))
    assert found
    assert found <= {PREFIX + name for name in (*METRICS, "build_info")}


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads((ROOT / "deploy/grafana/journal-postfix.json").read_text())["panels"]
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert len({panel["id"] for panel in panels}) == len(panels)
