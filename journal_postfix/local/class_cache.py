"""Java's cache of Kafka's classes, loaded and linked: made once, it halves what a start of the broker costs.

Java 25 writes it at the end of a rehearsal, a broker that does a little of what ours do (JEP 483, 514), and passes over
one that does not fit. Without it everything works all the same.
"""

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from journal_postfix.local.broker_config import Node
from journal_postfix.local.broker_node import START_SECONDS, BrokerNode, new_cluster_id
from journal_postfix.local.java import java_version
from journal_postfix.local.locks import LockHeldError, locked
from journal_postfix.local.ports import LOOPBACK, free_ports
from schemas.errors import JournalPostfixError

_OLDEST: Final = 25
"""The oldest Java that writes its cache by itself."""
_RECORDS: Final = 20_000
_IN_TRANSACTION: Final = 2_000
_SECONDS: Final = 30
_TOPICS: Final = {"plain": "delete", "compacted": "compact"}


def class_cache(java: Path, jars: Path, cache_dir: Path) -> Path | None:
    """Return the file that goes with *java* and *jars*, made now if need be; None where there can't be one."""
    if (java_version(java) or 0) < _OLDEST:
        return None
    try:
        file = cache_dir / f"kafka-{_place(java, jars)}-{_contents(java, jars)}.aot"
        if not file.exists():
            with locked(cache_dir / "classes.lock") as lock:
                _make(java, jars, file, lock)
    except (OSError, KafkaException, JournalPostfixError, LockHeldError):  # the next start tries again
        return None
    return file if file.exists() else None


def _place(java: Path, jars: Path) -> str:
    return _digest(f"{java.resolve()}\n{jars}")


def _contents(java: Path, jars: Path) -> str:
    files = [java.resolve(), *sorted(jars.glob("*.jar"))]
    return _digest("\n".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def _make(java: Path, jars: Path, file: Path, lock: int) -> None:
    sys.stderr.write("Preparing Apache Kafka, so that it starts quickly from now on: some 15 seconds\n")
    sys.stderr.flush()
    for old in file.parent.glob(f"kafka-{_place(java, jars)}-*.aot"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=file.parent, prefix="rehearsing-") as scratch:
        folder = Path(scratch)
        made = folder / "classes.aot"
        broker = BrokerNode(folder / "node", java, jars, ["-Xmx256m", f"-XX:AOTCacheOutput={made}"])
        try:
            node = Node(1, *free_ports(2))
            broker.start(node, [node], new_cluster_id(), lock)
            _rehearse(f"{LOOPBACK}:{node.port}")
            broker.stop()  # which writes it
        finally:
            broker.kill()
        made.replace(file)


def _rehearse(servers: str) -> None:
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": servers,
        "log_level": 0,
        "reconnect.backoff.max.ms": 200,
    }
    admin = AdminClient(config)
    admin.list_topics(timeout=START_SECONDS)
    new = [NewTopic(name, 2, 1, config={"cleanup.policy": policy}) for name, policy in _TOPICS.items()]
    for made in admin.create_topics(new).values():
        made.result(_SECONDS)
    producer = Producer({**config, "transactional.id": "rehearsal", "compression.type": "lz4"})
    producer.init_transactions(_SECONDS)
    for number in range(0, _RECORDS, _IN_TRANSACTION):
        producer.begin_transaction()
        for name in _TOPICS:
            for record in range(number, number + _IN_TRANSACTION // len(_TOPICS)):
                producer.produce(name, b"%d" % record * 50, b"%d" % (record % 100))
        producer.commit_transaction(_SECONDS)
    consumer = Consumer(
        {**config, "group.id": "rehearsal", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(list(_TOPICS))
    while consumer.consume(5_000, 2.0):
        consumer.commit(asynchronous=False)
    consumer.close()
