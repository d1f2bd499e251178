"""The embedded broker keeps what was acknowledged over stops and crashes."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from journal_postfix.local import EmbeddedBroker, EmbeddedCluster
from journal_postfix.local.broker_config import Node, server_properties
from journal_postfix.local.ports import LOOPBACK, free_ports, remembered_ports
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings

PARENT = """
import sys
from pathlib import Path
from journal_postfix.local import EmbeddedBroker
from schemas.settings import Settings
broker = EmbeddedBroker(Path(sys.argv[1]), Settings())
broker.start()
print(broker.pid(), broker.bootstrap_servers, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(data_dir / "kafka", Settings()) as broker:
        yield broker


@pytest.mark.kafka
def test_records_and_address_are_the_same_after_stop_and_after_crash(
    embedded: EmbeddedBroker, records: Callable[..., Any]
) -> None:
    address = embedded.bootstrap_servers
    kept = records(address)
    kept.make()
    kept.put(b"one")
    embedded.stop()
    embedded.start()
    kept.put(b"two")
    embedded.kill()
    embedded.start()
    assert embedded.bootstrap_servers == address
    assert kept.all() == [b"one", b"two"]


@pytest.mark.kafka
def test_broker_ends_when_its_parent_is_killed_and_the_next_one_takes_over(
    data_dir: Path,
    run_python: Callable[..., Any],
    ends_within: Callable[[int, float], bool],
    records: Callable[..., Any],
) -> None:
    parent = run_python(PARENT, data_dir / "kafka")
    pid, address = parent.stdout.readline().split()
    kept = records(address)
    kept.make()
    kept.put(b"one")
    parent.kill()
    with EmbeddedBroker(data_dir / "kafka", Settings()) as broker:  # while the other may still be stopping
        assert ends_within(int(pid), 0)
        assert broker.bootstrap_servers == address
        assert kept.all() == [b"one"]


@pytest.mark.kafka
def test_broker_listens_on_loopback_only(embedded: EmbeddedBroker) -> None:
    listening = set()
    inodes = set()
    for descriptor in Path(f"/proc/{embedded.pid()}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1].rpartition(":")[0])
    assert listening <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert listening


@pytest.mark.kafka
def test_topics_are_not_made_by_accident_and_large_values_are_taken(embedded: EmbeddedBroker) -> None:
    admin = AdminClient({"bootstrap.servers": embedded.bootstrap_servers})
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    [described] = admin.describe_configs([resource]).values()
    config = {name: entry.value for name, entry in described.result(30).items()}
    assert config["auto.create.topics.enable"] == "false"
    assert int(config["message.max.bytes"]) >= 2 * 1024 * 1024
    assert config["group.initial.rebalance.delay.ms"] == "0"


@pytest.mark.kafka
def test_death_at_start_says_what_the_log_said(embedded: EmbeddedBroker, data_dir: Path) -> None:
    embedded.stop()
    meta = data_dir / "kafka" / "node-1" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(TryAgainLaterError, match=r"(?s)ended with code .*node-1/broker\.log says: .*node"):
        embedded.start()
    assert embedded.pid() is None


@pytest.mark.kafka
def test_second_broker_on_the_same_data_is_refused(
    embedded: EmbeddedBroker, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("journal_postfix.local.broker.LOCK_SECONDS", 0.1)
    with pytest.raises(ConfigurationError, match=r"another process uses the broker in .*kafka"):
        EmbeddedBroker(data_dir / "kafka", Settings()).start()
    assert embedded.pid() is not None


@pytest.mark.kafka
def test_cluster_goes_on_without_one_node_and_has_all_when_it_is_back(
    cluster: EmbeddedCluster, records: Callable[..., Any]
) -> None:
    kept = records(cluster.bootstrap_servers)
    kept.make(replication_factor=3)
    for number in (1, 2):
        cluster.kill_node(number)
        kept.put(b"without %d" % number)
        cluster.start_node(number)
    assert kept.all() == [b"without 1", b"without 2"]


def test_taken_port_is_given_up_and_a_free_one_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    chosen = remembered_ports(file, 2)
    assert remembered_ports(file, 2) == chosen
    with socket.create_server((LOOPBACK, chosen[0])):
        others = remembered_ports(file, 2)
    assert chosen[0] not in others
    assert remembered_ports(file, 2) == others


@pytest.mark.parametrize("text", ["", "[1]", "[0, 99999]", '["a", "b"]', "{}", "[null, 1]"])
def test_ports_that_make_no_sense_are_chosen_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(text)
    assert all(1024 < port < 65_536 for port in remembered_ports(file, 2))


def test_free_ports_are_not_those_that_clients_get() -> None:
    start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < start for port in free_ports(20))


def test_one_node_keeps_one_copy_and_three_keep_three() -> None:
    nodes = [Node(number, 20_000 + number, 21_000 + number) for number in (1, 2, 3)]
    assert "default.replication.factor=1\n" in server_properties(nodes[0], nodes[:1], Path("/data"))
    three = server_properties(nodes[0], nodes, Path("/data"))
    assert "default.replication.factor=3\nmin.insync.replicas=2\n" in three
    assert "controller.quorum.voters=1@127.0.0.1:21001,2@127.0.0.1:21002,3@127.0.0.1:21003\n" in three


def test_path_is_written_as_java_reads_it() -> None:
    text = server_properties(Node(1, 2, 3), [Node(1, 2, 3)], Path("/dat\\a/ü/😀"))
    assert "log.dirs=/dat\\\\a/\\u00fc/\\ud83d\\ude00\n" in text


@pytest.mark.kafka
def test_signals_of_the_terminal_do_not_reach_the_broker(
    data_dir: Path, run_python: Callable[..., Any], ends_within: Callable[[int, float], bool]
) -> None:
    # Ctrl-C goes to the whole foreground group; the broker must still be there when the stages stop.
    parent = run_python(PARENT, data_dir / "kafka", start_new_session=True)
    pid = int(parent.stdout.readline().split()[0])
    assert os.getpgid(pid) != os.getpgid(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)
    parent.wait(20)
    assert ends_within(pid, 30)
