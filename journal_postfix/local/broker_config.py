"""What a broker is told: Apache Kafka's ``server.properties`` and the Java command, for one node or several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from journal_postfix.local.ports import LOOPBACK

MEBIBYTE: Final = 1024 * 1024


class Node(msgspec.Struct, frozen=True):
    """One node: broker and controller in one process."""

    number: int
    """Node id, from 1."""
    port: int
    controller_port: int


def server_properties(node: Node, nodes: Sequence[Node], log_dir: Path) -> str:
    """Return the configuration of *node* among *nodes*; records are replicated to up to three of them."""
    copies = min(3, len(nodes))
    in_sync = 2 if copies == 3 else 1  # noqa: PLR2004 - one of three may be down
    properties: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n.number}@{LOOPBACK}:{n.controller_port}" for n in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{node.port},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "message.max.bytes": 2 * MEBIBYTE,
        "replica.fetch.max.bytes": 4 * MEBIBYTE,
        # After a kill, the broker is let in again when its predecessor's session has timed out (9 s by default).
        "broker.session.timeout.ms": 5_000,
        "broker.heartbeat.interval.ms": 1_000,
        # Nobody is waited for: the members of a group are all started at once, or by hand.
        "group.initial.rebalance.delay.ms": 0,
        # A stage that was killed must not hold up the readers for long: its successor fences it, or this ends it.
        "transaction.max.timeout.ms": 15 * 60 * 1000,
        # Sized for a machine that has other things to do.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16 * MEBIBYTE,
        "log.cleaner.io.buffer.size": MEBIBYTE,
        "log.cleaner.backoff.ms": 15_000,
        "log.segment.bytes": 128 * MEBIBYTE,
        "log.retention.check.interval.ms": 5 * 60 * 1000,
        # The topics decide how long they keep records; see schemas/topics.py.
        "log.retention.ms": -1,
        "offsets.retention.minutes": 30 * 24 * 60,
    }
    internal = {
        "offsets.topic": "num.partitions",
        "transaction.state.log": "num.partitions",
        "share.coordinator.state.topic": "num.partitions",
    }
    for topic, partitions in internal.items():
        properties[f"{topic}.{partitions}"] = 1
        properties[f"{topic}.replication.factor"] = copies
    for topic in ("transaction.state.log", "share.coordinator.state.topic"):
        properties[f"{topic}.min.isr"] = in_sync
    return "".join(f"{name}={_escaped(str(value))}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    """Return *value* as Java's properties want it: ISO 8859-1 with escapes."""
    return "".join(
        f"\\{character}" if character == "\\" else character if " " <= character <= "~" else _utf16(character)
        for character in value
    )


def _utf16(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def java_command(java: Path, options: Sequence[str], jars: Path, scratch: Path, main: Sequence[str]) -> list[str]:
    """Return the command that runs a class of Kafka's, *main*, with its arguments. Crash files go to *scratch*."""
    return [
        str(java),
        *options,
        "-XX:+UseSerialGC",
        # What the second compiler costs in a broker's first minutes, it does not earn in a day of such a load.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-XX:ErrorFile={scratch}/java-crash-%p.log",
        f"-Djava.io.tmpdir={scratch}",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "-Dorg.slf4j.simpleLogger.showThreadName=false",
        "-cp",
        f"{jars}/*",
        *main,
    ]
