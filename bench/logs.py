"""A log of any length out of the packaged one, which a real Postfix wrote: copies with times, ids and people of theirs.

    python bench/logs.py LINES [SEED] > mail.log

The mix of lines is that of the packaged log. In each copy about a third of the addresses are new ones, the others come
again, as with real mail; *seed* chooses which. The same number of lines and seed give the same bytes; the latest copy
is the packaged log itself, those before it are a quarter of an hour older each.
"""

import random
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Final

STEP = timedelta(minutes=15)
_YEAR = 2026
_STAMP = "%b %d %H:%M:%S"
_STAMP_LENGTH = len("Nov 23 15:12:36")
_queue_id = re.compile(r"\b[0-9A-F]{10,15}\b")
_message_id = re.compile(r"(?<=message-id=<)[^@>]+")
_address = re.compile(r"(?<=<)[^<>@\"]+@[a-z.]+(?=>)")
_NEW: Final = 0.3
"""The share of addresses that are new in a copy."""
_DOMAINS: Final = 2_000


def lines(count: int, seed: int = 1) -> Iterator[str]:
    """Yield about *count* lines, whole copies, at least one."""
    sample = (files("journal_postfix") / "data/sample.log").read_text(encoding="utf-8").splitlines()
    times = {line[:_STAMP_LENGTH]: _time(line) for line in sample}
    for copy in reversed(range(max(1, round(count / len(sample))))):
        stamps = {stamp: f"{time - copy * STEP:{_STAMP}}" for stamp, time in times.items()}
        people = _People(seed, copy)
        for line in sample:
            text = line[_STAMP_LENGTH:]
            if copy:
                text = _queue_id.sub(lambda found, k=copy: found[0][:5] + f"{int(found[0][5:], 16) + k:X}", text)
                text = _message_id.sub(lambda found, k=copy: f"{found[0]}.{k}", text)
                text = _address.sub(people.of, text)
            yield stamps[line[:_STAMP_LENGTH]] + text


class _People:
    """Who takes part in a copy: some are new, and a few domains have very much of the mail."""

    def __init__(self, seed: int, copy: int) -> None:
        self._random = random.Random(f"{seed}/{copy}")
        self._known: dict[str, str] = {}

    def of(self, found: re.Match[str]) -> str:
        address = found[0]
        if address not in self._known:
            chance = self._random
            new = chance.random() < _NEW
            domain = int(_DOMAINS ** chance.random())
            local = address.partition("@")[0]
            self._known[address] = f"{local}-{chance.getrandbits(24):x}@d{domain}.example" if new else address
        return self._known[address]


def _time(line: str) -> datetime:
    return datetime.strptime(f"{_YEAR} {line[:_STAMP_LENGTH]}", f"%Y {_STAMP}")  # noqa: DTZ007 - the log has no zone


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(*map(int, sys.argv[1:3])))
