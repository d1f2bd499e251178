"""Makes the packaged sample log: a run of the lab, with the lab's names and addresses turned into readable ones.

``PYTHONPATH=tests/e2e python -m lab.sample SEED >journal_postfix/data/sample.log``
"""

import re
import sys
from typing import Final

from lab.running import run

_MAILS: Final = 60

_DOMAINS: Final = {
    "ok": "example.com", "app.src": "app.shop.example", "src": "shop.example", "SRC": "SHOP.example",
    "Ok": "Example.com", "soft": "busy.example.net", "later": "grey.example.net", "hard": "example.net",
    "data": "strict.example.net", "drop": "flaky.example.net", "refused": "down.example.net",
    "trick": "odd.example.net", "fake": "picky.example.net", "lmtp": "staff.example.edu",
    "full": "students.example.edu",
    "pipeok": "archive.example.com", "pipetemp": "tickets.example.com", "pipeperm": "fax.example.com",
    "discard": "noreply.example.com", "error": "closed.example.net", "retry": "paused.example.net",
    "vmail": "hosted.example", "mx1.lab": "mx1.example.org", "lab": "example.org", "alias": "lists.example.org",
    "tar": "silent.example.net", "spam": "spam.example", "bad.helo": "bad.example",
    "client.example": "app.shop.example",
    "filter.example": "filter.example.org",
}  # fmt: skip
_WORDS: Final = (
    ("labfilter", "filter"), ("labpipe", "archive"), ("labtemp", "tickets"), ("labperm", "fax"), ("X-Lab", "X-Policy"),
    ("lab milter", "milter"), ("lab mail", "mail"), ("lab: ", ""), ("lab ", "policy "), ("lab-", "m"),
)  # fmt: skip
_FIRST: Final = (
    "anna", "ben", "carla", "david", "emma", "felix", "greta", "hugo", "ines", "jonas",
    "karin", "leo", "mara", "nils", "olga", "paul", "rosa", "simon", "tina", "uwe",
)  # fmt: skip
_LAST: Final = (
    "adler", "berger", "clemens", "dorn", "ebert", "fischer", "graf", "huber",
    "iser", "jung", "klein", "lange", "maier", "novak", "otto", "pohl",
)  # fmt: skip

_NETWORKS: Final = {"20": "192.0.2", "66": "203.0.113", "77": "203.0.113", "88": "203.0.113"}
_DOMAIN: Final = re.compile(
    r"(?<![\w.-])(" + "|".join(sorted(map(re.escape, _DOMAINS), key=len, reverse=True)) + r")\.test\b"
)
_TOKEN: Final = re.compile(r"\b(r|s|S\.)(\d+)(?:-(\d+))?(?=[@\"=+])")
_CLIENT: Final = re.compile(r"\b127\.(20|66|77|88)\.\d+\.(\d+)\b")
_TO: Final = re.compile(r": to=<[^>]*@([^>@]+)>")
_PEER: Final = re.compile(r"127\.0\.0\.1\[127\.0\.0\.1\](?::\d+)?")


def readable(log: str) -> str:
    """Return the log with names and documentation addresses in it, still consistent in itself."""
    return "".join(map(_line, log.splitlines(keepends=True)))


def _line(line: str) -> str:
    line = re.sub(r"/tmp/postfix-lab-\w+/config", "/etc/postfix", line)
    line = re.sub(r"/tmp/postfix-lab-\w+/data", "/var/lib/postfix", line)
    line = re.sub(r"(?<=smtp:\[127\.0\.0\.1\]:)\d+", "10026", line)
    line = re.sub(r"(?<= to \[127\.0\.0\.1\]:)\d+", "25", line)
    for word, other in _WORDS:
        line = line.replace(word, other)
    line = _TOKEN.sub(_person, line)
    line = _DOMAIN.sub(lambda found: _DOMAINS[found[1]], line)
    line = _CLIENT.sub(lambda found: f"{_NETWORKS[found[1]]}.{found[2]}", line)
    if "filter/smtp[" in line:
        return _PEER.sub("127.0.0.1[127.0.0.1]:10025", line)
    to = _TO.search(line)
    host = (
        f"mx.{to[1].lower()}[198.51.100.{sum(map(ord, to[1].lower())) % 250}]" if to else "mx.example.net[198.51.100.9]"
    )
    return _PEER.sub(lambda found: host + (":25" if ":" in found[0] else ""), line)


def _person(found: re.Match[str]) -> str:
    kind, number, index = found[1], int(found[2]), int(found[3] or 0)
    first = _FIRST[(number * 7 + index * 3) % len(_FIRST)]
    if kind == "r":
        return f"{first}.{_LAST[(number + index) % len(_LAST)]}"
    name = f"{first}{number}"
    return name.title() if kind == "S." else name


if __name__ == "__main__":
    sys.stdout.write(readable(run(int(sys.argv[1]), _MAILS, long_ids=False).log.decode()))
