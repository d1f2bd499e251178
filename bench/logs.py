"""A log of any length out of the packaged one, which a real Postfix wrote: copies with times and ids of their own.

    python bench/logs.py LINES > mail.log

The mix of lines is that of the packaged log. The same number of lines gives the same bytes; the latest copy is the
packaged log itself, those before it are a quarter of an hour older each.
"""

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files

STEP = timedelta(minutes=15)
_YEAR = 2026
_STAMP = "%b %d %H:%M:%S"
_STAMP_LENGTH = len("Nov 23 15:12:36")
_queue_id = re.compile(r"\b[0-9A-F]{10,15}\b")
_message_id = re.compile(r"(?<=message-id=<)[^@>]+")


def lines(count: int) -> Iterator[str]:
    """Yield about *count* lines, whole copies, at least one."""
    sample = (files("journal_postfix") / "data/sample.log").read_text(encoding="utf-8").splitlines()
    times = {line[:_STAMP_LENGTH]: _time(line) for line in sample}
    for copy in reversed(range(max(1, round(count / len(sample))))):
        stamps = {stamp: f"{time - copy * STEP:{_STAMP}}" for stamp, time in times.items()}
        for line in sample:
            text = line[_STAMP_LENGTH:]
            if copy:
                text = _queue_id.sub(lambda found, k=copy: found[0][:5] + f"{int(found[0][5:], 16) + k:X}", text)
                text = _message_id.sub(lambda found, k=copy: f"{found[0]}.{k}", text)
            yield stamps[line[:_STAMP_LENGTH]] + text


def _time(line: str) -> datetime:
    return datetime.strptime(f"{_YEAR} {line[:_STAMP_LENGTH]}", f"%Y {_STAMP}")  # noqa: DTZ007 - the log has no zone


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(int(sys.argv[1])))
