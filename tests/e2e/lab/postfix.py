"""One Postfix instance in a directory of its own: started, commanded, its queue listed, stopped."""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from lab.configuration import PROGRAMS, SASL_CONF, SASL_PASSWORD, SASL_USER, SERVICES, main_cf, master_cf, tables
from lab.namespace import Namespace
from lab.ports import free_ports

OTHER: Final = os.environ.get("LAB_POSTFIX")
"""The folder of another Postfix than the system's, with its ``sbin``, ``libexec`` and ``etc``; none: the system's."""
PATH: Final = (f"{OTHER}/sbin:" if OTHER else "") + "/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS: Final = ("postfix", "postqueue", "postsuper", "smtp-sink", "sendmail", "saslpasswd2")


class Queued(msgspec.Struct, frozen=True):
    """A message in the queue, as ``postqueue -j`` shows it."""

    queue: str
    queue_id: str
    sender: str
    recipients: tuple[str, ...]
    reasons: tuple[str, ...]
    """Why each recipient waits; empty for those not tried yet."""


def why_not() -> str:
    """Return why no Postfix can be run here; empty if it can."""
    if missing := [program for program in _PROGRAMS if shutil.which(program, path=PATH) is None]:
        return f"not installed: {', '.join(missing)} (tests/debian-packages.txt has what to install)"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


class Postfix:
    """A running instance. A context manager."""

    def __init__(self, namespace: Namespace, peers: Mapping[str, int], *, long_ids: bool, syslog: bool = False) -> None:
        """Take the ports of the *peers*; with *syslog*, log there and to no file."""
        self.namespace = namespace
        self.root = Path(tempfile.mkdtemp(prefix="postfix-lab-"))
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.config = self.root / "config"
        self.log = self.root / "log" / "mail.log"
        self._syslog = syslog
        self._write(peers, long_ids=long_ids)

    def _write(self, peers: Mapping[str, int], *, long_ids: bool) -> None:
        nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        self.root.chmod(0o755)
        for name in ("config", "queue", "data", "log", "spool", "vmail", "bin", "sasl", "config/sasl"):
            (self.root / name).mkdir()
        os.chown(self.root / "data", postfix.pw_uid, postfix.pw_gid)
        (self.root / "spool").chmod(0o1777)
        os.chown(self.root / "vmail", nobody.pw_uid, nobody.pw_gid)
        for name, script in PROGRAMS.items():
            (self.root / "bin" / name).write_text(f"#!/bin/sh\n{script}")
            (self.root / "bin" / name).chmod(0o755)
        texts = {
            "main.cf": main_cf(self.root, long_ids=long_ids, syslog=self._syslog, other=OTHER),
            "master.cf": master_cf(self.root, self.ports, peers["filter"], peers["milter"]),
            **tables(peers),
        }
        for name, text in texts.items():
            (self.config / name).write_text(text)
        (self.config / "sasl" / "smtpd.conf").write_text(SASL_CONF.format(root=self.root))
        user, _, realm = SASL_USER.partition("@")
        database = self.root / "sasl" / "sasldb2"
        self._run("saslpasswd2", "-p", "-c", "-f", str(database), "-u", realm, user, text=SASL_PASSWORD)
        os.chown(database, postfix.pw_uid, postfix.pw_gid)

    def __enter__(self) -> Self:
        self._run("postfix", "-c", self.config, "start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None and self.log.exists():
            error.add_note("The log ends with:\n" + self.log.read_text(errors="replace")[-200_000:])
        shutil.rmtree(self.root)

    def stop(self) -> None:
        """Stop it, if it runs; its log is complete then."""
        if (self.queue_directory / "pid" / "master.pid").exists():
            words = self.namespace.command("postfix", "-c", self.config, "stop")
            subprocess.run(words, capture_output=True, check=False, timeout=60, env={"PATH": PATH})

    @property
    def queue_directory(self) -> Path:
        """Where its queues are."""
        return self.root / "queue"

    def submit(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Submit a message as a local program does."""
        self._run("sendmail", "-C", self.config, "-i", "-f", sender, "--", *recipients, text=content)

    def flush(self) -> None:
        """Have every deferred message tried now."""
        self._run("postqueue", "-c", self.config, "-f")

    def handle(self, option: str, queue_id: str) -> None:
        """Delete, hold, release, requeue or expire a message: an option of postsuper(1)."""
        self._run("postsuper", "-c", self.config, option, queue_id)

    def queued(self) -> list[Queued]:
        """Return what is in the queue."""
        listing = self._run("postqueue", "-c", self.config, "-j").decode("utf-8", "replace")
        return [
            Queued(
                queue=entry["queue_name"],
                queue_id=entry["queue_id"],
                sender=entry["sender"],
                recipients=tuple(r["address"] for r in entry["recipients"]),
                reasons=tuple(r.get("delay_reason", "") for r in entry["recipients"]),
            )
            for entry in map(json.loads, listing.splitlines())
        ]

    def wait_until_quiet(self, under_way: int = 0, seconds: float = 90) -> list[Queued]:
        """Wait until nothing is on its way but *under_way* messages that nobody answers; return the queue."""
        ends, quiet = time.monotonic() + seconds, 0
        while True:
            queued = self.queued()
            waiting = [q for q in queued if q.queue not in {"deferred", "hold"}]
            maildrop = list((self.queue_directory / "maildrop").iterdir())
            # Between two queues a message is in none of a listing: only two quiet ones in a row count.
            quiet = quiet + 1 if len(waiting) <= under_way and not maildrop else 0
            if quiet == 2:
                return queued
            if time.monotonic() > ends:
                raise TimeoutError(f"the queue is not quiet after {seconds:g} s: {waiting} {maildrop}")
            time.sleep(0.1)  # Postfix has no event for it

    def _run(self, *words: str | Path, text: str | bytes = b"") -> bytes:
        data = text.encode() if isinstance(text, str) else text
        done = subprocess.run(
            self.namespace.command(*words), input=data, capture_output=True, check=False, timeout=120,
            env={"PATH": PATH},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout
