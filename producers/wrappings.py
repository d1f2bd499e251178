"""What stands before a log line that came through something else: taken off here, in front of whatever frame it has."""

import re

_wrapping = re.compile(
    rb"[\0\s]*(?:\xef\xbb\xbf)?[\0\s]*"  # a byte order mark; NULs that a crash left; how a page was indented
    rb"(?:"
    rb"(?:> ?){1,20}"  # quoted in a mail
    rb"|std(?:out|err) [FP] "  # Kubernetes (CRI), after its time stamp
    rb"|[\w.-]{1,64} {0,64}\| "  # docker compose logs
    rb"|\[pod/[^\]\s]{1,255}\] "  # kubectl logs --prefix
    rb"|\d{1,6} (?=<\d)"  # the length of a frame (RFC 6587)
    rb"|[^\s:<{]{1,255}:(?:\d{1,9}:)?(?=[A-Z<]|\d{4}-)"  # grep, with the name of the file
    rb")?"
).match


def unwrapped(line: bytes) -> bytes:
    """Return *line* without what stands before it; *line* itself where nothing does."""
    found = _wrapping(line)
    return line if found is None or not found.end() else line[found.end() :]
