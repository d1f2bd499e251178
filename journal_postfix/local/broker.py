"""The embedded broker: Apache Kafka on loopback, one node for ``up``, several for trials of what a cluster does."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from journal_postfix.broker import quiet_config
from journal_postfix.local.broker_config import Node
from journal_postfix.local.broker_node import START_SECONDS, BrokerNode, new_cluster_id
from journal_postfix.local.class_cache import class_cache
from journal_postfix.local.jars import kafka_jars
from journal_postfix.local.java import find_java
from journal_postfix.local.locks import LockHeldError, cannot_write, is_there, locked, made_folder
from journal_postfix.local.ports import LOOPBACK, remembered_ports
from schemas.errors import ConfigurationError
from schemas.settings import Settings

HEAP_MEGABYTES: Final = 512
CLUSTER_HEAP_MEGABYTES: Final = 256
LOCK_SECONDS: Final = 45.0
"""How long to wait for a broker whose parent was killed and that is still closing its files."""


class EmbeddedCluster:
    """Nodes of one cluster; each can be stopped, killed and started by its number, from 1. A context manager."""

    name = "the embedded broker"

    def __init__(
        self, data_dir: Path, settings: Settings, nodes: int = 3, heap_megabytes: int = CLUSTER_HEAP_MEGABYTES
    ) -> None:
        """Take the folder of its data and the settings that say where Java and the jars are. Nothing is started."""
        self._folder, self._settings, self._count, self._heap = data_dir, settings, nodes, heap_megabytes
        self._nodes: dict[int, BrokerNode] = {}
        self._addresses: list[Node] = []
        self._holding = ExitStack()
        self._lock: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of every node, with commas."""
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self._addresses)

    @property
    def running(self) -> bool:
        """Whether every node's process is there."""
        return bool(self._nodes) and all(node.running for node in self._nodes.values())

    def has_data(self) -> bool:
        """Tell whether it was started before. Raises PermissionError for another user's."""
        return is_there(self._folder / "cluster-id")

    def pid(self, number: int = 1) -> int | None:
        """Return the process id of a node, while it runs."""
        return self._nodes[number].pid if number in self._nodes else None

    def start(self) -> None:
        """Start every node that does not run; return when all answer.

        Raises ConfigurationError (no Java, no jars, the folder can't be written) and TryAgainLaterError (no start).
        """
        java, jars = find_java(self._settings), kafka_jars(self._settings)
        options = [f"-Xmx{self._heap}m"]
        if (classes := class_cache(java, jars, self._settings.cache_dir)) is not None:
            options += [f"-XX:AOTCache={classes}", "-XX:+VerifySharedSpaces"]  # checks its sums
        made_folder(self._folder)
        try:
            self._take_lock()
            if not self._addresses:  # others know them once we have started: they stay the same from then on
                ports = remembered_ports(self._folder / "ports.json", 2 * self._count)
                self._addresses = [Node(at + 1, ports[2 * at], ports[2 * at + 1]) for at in range(self._count)]
            for number in range(1, self._count + 1):
                if number not in self._nodes:
                    self._nodes[number] = BrokerNode(self._folder / f"node-{number}", java, jars, options)
            cluster_id = self._cluster_id()
            with ThreadPoolExecutor(self._count) as pool:
                list(pool.map(lambda number: self._start_process(number, cluster_id), self._nodes))
            self._wait_until_answering()
        except OSError as error:
            self.kill()
            raise cannot_write(self._folder, error) from error
        except BaseException:
            self.kill()
            raise

    def start_node(self, number: int) -> None:
        """Start one node again; return when it answers."""
        self._start_process(number, self._cluster_id())
        self._wait_until_answering()

    def stop_node(self, number: int) -> None:
        """End one node cleanly."""
        self._nodes[number].stop()

    def kill_node(self, number: int) -> None:
        """End one node as a crash would."""
        self._nodes[number].kill()

    def stop(self) -> None:
        """End all nodes cleanly, at once: the last ones of a cluster could not end in order without the others."""
        if self._nodes:
            with ThreadPoolExecutor(len(self._nodes)) as pool:
                list(pool.map(BrokerNode.stop, self._nodes.values()))
        self._give_lock_back()

    def kill(self) -> None:
        """End all nodes as a crash of the machine would."""
        for node in self._nodes.values():
            node.kill()
        self._give_lock_back()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        if self._lock is None:
            try:
                self._lock = self._holding.enter_context(locked(self._folder / "lock", LOCK_SECONDS))
            except LockHeldError:
                raise ConfigurationError(f"another process uses the broker in {self._folder}: stop it first") from None

    def _give_lock_back(self) -> None:
        self._holding.close()
        self._lock = None

    def _cluster_id(self) -> str:
        file = self._folder / "cluster-id"
        with suppress(FileNotFoundError):
            if known := file.read_text(encoding="ascii").strip():
                return known
        chosen = new_cluster_id()
        file.write_text(chosen, encoding="ascii")
        return chosen

    def _start_process(self, number: int, cluster_id: str) -> None:
        assert self._lock is not None
        if not self._nodes[number].running:
            self._nodes[number].start(self._addresses[number - 1], self._addresses, cluster_id, self._lock)

    def _wait_until_answering(self) -> None:
        running = {number for number, node in self._nodes.items() if node.running}
        first = self._nodes[min(running, default=1)]
        kafka = self._settings.kafka.model_copy(
            update={"bootstrap_servers": self.bootstrap_servers, "security_protocol": "PLAINTEXT"}
        )
        config = quiet_config(self._settings.model_copy(update={"kafka": kafka}), "journal-postfix-start")
        admin = AdminClient(config | {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200})
        deadline = time.monotonic() + START_SECONDS
        while not running <= _answering(admin):
            for number in running:
                self._nodes[number].check_alive()
            if time.monotonic() > deadline:
                raise first.too_slow(START_SECONDS)
            first.pause(0.05)


def _answering(admin: AdminClient) -> set[int]:
    try:
        return set(admin.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return set()


class EmbeddedBroker(EmbeddedCluster):
    """A single node: what ``up`` runs where no Kafka is configured. A context manager."""

    def __init__(self, data_dir: Path, settings: Settings) -> None:
        """Take the folder of its data. Nothing is started."""
        super().__init__(data_dir, settings, nodes=1, heap_megabytes=HEAP_MEGABYTES)
