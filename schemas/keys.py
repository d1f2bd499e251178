"""Which key a log line has, and which partition a key has: the same everywhere.

A line that names a queue id belongs to that id's slot on its host (``mx1/4XyZ…``); any other line belongs to the
process that wrote it (``mx1/postfix/smtpd[4968]``). All lines of a message therefore go through one partition, in
log order.
"""

import re
from functools import lru_cache

LONG_ID_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
"""Base 52 without vowels: the alphabet of long queue ids (Postfix ``src/global/mail_queue.h``)."""

SHORT_ID = r"[0-9A-F]{6,20}"
"""Five hexadecimal digits of microseconds, then the inode (Postfix ``src/global/mail_queue.h``)."""

LONG_ID = rf"[{LONG_ID_DIGITS}]{{10,12}}z[{LONG_ID_DIGITS}]{{1,20}}"
"""Six or more digits of seconds and four of microseconds, ``z``, the inode (Postfix ``src/global/mail_queue.h``)."""

QUEUE_ID = rf"(?:{SHORT_ID}|{LONG_ID})"

_leading_queue_id = re.compile(rb"(?:(?:warning|error|fatal|panic): )?(" + QUEUE_ID.encode() + rb"): ").match


def queue_id_of(text: bytes) -> bytes | None:
    """Return the queue id that *text* (a log line without its frame) begins with, or None.

    A severity word may stand before it, as in ``warning: 3F2A…: sender notification failed``.
    """
    found = _leading_queue_id(text)
    return found[1] if found else None


def key_of(host: str, program: str, pid: int, text: bytes) -> bytes:
    """Return the Kafka key of a line: ``host/queue id``, or ``host/program[pid]`` where the line names none."""
    queue_id = queue_id_of(text)
    if queue_id is not None:
        return host.encode() + b"/" + queue_id
    return f"{host}/{program}[{pid}]".encode()


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 of *data*, as the Java client computes it (unsigned)."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        h = (h * 0x5BD1E995 & 0xFFFFFFFF) ^ ((k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF)
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return h ^ h >> 15


@lru_cache(maxsize=65536)  # the lines of a message come close together: most keys were seen a moment ago
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of *key* among *partitions*, as every Kafka client with murmur2 chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
