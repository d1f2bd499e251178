"""Stages tell Prometheus what they do, and whether they live; dashboard, alerts and page name nothing else."""

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from journal_postfix import metrics
from journal_postfix.metrics import METRICS, PREFIX, exposed
from journal_postfix.readiness import Readiness
from schemas.errors import ConfigurationError
from schemas.figures import Figure
from schemas.settings import KafkaSettings, MetricsSettings, StreamSettings
from schemas.topics import topics_of
from sinks.figures import Counts
from streams.state import PartitionState

ROOT = Path(__file__).parents[2]
_name = re.compile(rf"{PREFIX}[a-z_]+")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


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


def test_a_sink_bounds_what_a_log_may_call_a_status(rows_of_statuses: Counts) -> None:
    found = {f.labels["status"]: f.value for f in rows_of_statuses.figures() if f.name == "sink_attempts_total"}
    assert found["sent"] == 2
    assert found["other"] == 50
    assert len(found) < 12


@pytest.fixture
def rows_of_statuses() -> Counts:
    from schemas.deliveries import DeliveryTo  # noqa: PLC0415 - only here
    from sinks.batches import Batch  # noqa: PLC0415

    counts, batch = Counts(), Batch()
    for number, status in enumerate(["sent", "sent", *(f"made-up-{n}" for n in range(50))]):
        at = "2026-11-22T06:00:00.000000Z"
        batch.deliveries[str(number),] = DeliveryTo(
            host="mx1", queue_id="A", arrived_at=at, recipient=str(number), last_attempt_at=at, first_attempt_at=at,
            status=status,
        )  # fmt: skip
    counts.stored(batch, 1, 0.5)
    return counts


def test_what_stages_tell_has_a_description(rows_of_statuses: Counts) -> None:
    from producers.publishing import Publisher  # noqa: PLC0415 - only here
    from streams.partitions import SourcePartition  # noqa: PLC0415

    topics = topics_of(KafkaSettings(), StreamSettings())
    partition = SourcePartition(0, PartitionState(0, topics, StreamSettings()), None, topics)  # type: ignore[arg-type]
    partition.state.progress.hosts["mx1"] = 1
    publisher = Publisher.__new__(Publisher)
    publisher.__dict__.update(
        _lines=1, _batches=1, _letters=1, _in_flight=1, _acknowledged=1, _waited=1.0, _acknowledged_at=1.0
    )
    told = {figure.name for source in (rows_of_statuses, partition, publisher) for figure in source.figures()}
    elsewhere = {"stream_lag_records", "sink_lag_records", "producer_lines_read_total"}
    assert told | elsewhere == set(METRICS)


def test_the_page_lists_every_metric_and_every_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    rows = [f"| `{PREFIX}{name}` | {said} |" for name, said in METRICS.items()]
    assert [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")] == rows
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    listed = re.findall(r"\b(?:JournalPostfix|Mail)[A-Z]\w+", page.partition("## Alerts")[2])
    assert listed == alerts


@pytest.mark.parametrize("file", ["deploy/prometheus/alerts.yaml", "deploy/grafana/journal-postfix.json"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(file: str) -> None:
    found = set(_name.findall((ROOT / file).read_text()))
    assert found
    assert found <= {PREFIX + name for name in METRICS}


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


def test_who_keeps_connections_open_gets_few_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_LONGEST_REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(metrics, "_MOST_REQUESTS", 3)
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(exposed(MetricsSettings(port=port), "sink", Readiness()))
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        for connection in slow:
            connection.sendall(b"GET /metr")
        with socket.create_connection(("127.0.0.1", port), 10) as one_more:
            assert one_more.recv(1) == b""  # there is no room
        for connection in slow:
            connection.settimeout(10)
            assert connection.recv(1000) == b""  # cut, though the library's own time is over after silence only
        assert get(port, "/healthz")[0] == 200
