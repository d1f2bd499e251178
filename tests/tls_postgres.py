"""Debian's PostgreSQL, which can do TLS (the wheel's can't): a cluster of its own on loopback."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from certificates import Pair
from engine_containers import NotHereError

from journal_postfix.local.ports import free_ports

_INSTALLED = Path("/usr/lib/postgresql")
_USER = "postgres"
_HBA = """\
local   all all                trust
hostssl all jp_certified all   cert
hostssl all all all            scram-sha-256
"""
"""Over the network only with TLS: a password, or for one role its client certificate."""


def _newest() -> Path:
    found = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if not found:
        raise NotHereError(f"no PostgreSQL of Debian's in {_INSTALLED}: apt-get install postgresql")
    return found[-1].parent


@contextmanager
def tls_postgres(folder: Path, server: Pair, authority: Path) -> Iterator[int]:
    """Start a server at a port that is given, whose socket is in *folder*; its superuser there is ``postgres``.

    Raises NotHereError where Debian's PostgreSQL is not installed.
    """
    programs, data = _newest(), folder / "data"
    [port] = free_ports(1)
    as_user = {"user": _USER, "group": _USER} if os.geteuid() == 0 else {}
    for file in (server.certificate, server.key, authority):
        shutil.copy(file, folder)
        if as_user:
            shutil.chown(folder / file.name, _USER, _USER)
    if as_user:
        shutil.chown(folder, _USER, _USER)

    def run(*command: str | Path) -> None:
        subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)

    run(programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
        "ssl": "on", "ssl_cert_file": folder / server.certificate.name, "ssl_key_file": folder / server.key.name,
        "ssl_ca_file": folder / authority.name,
    }  # fmt: skip
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (data / "pg_hba.conf").write_text(_HBA)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **as_user
        )
    try:
        _wait(process, folder, port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(host=str(folder), port=port, user=_USER, dbname="postgres").close()
        except psycopg2.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotHereError((folder / "server.log").read_text()) from None
            time.sleep(0.05)
        else:
            return
