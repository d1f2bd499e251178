"""What the embedded PostgreSQL is told: how its data is made, and its settings."""

import os
from pathlib import Path
from typing import Final

SUPERUSER: Final = "postgres"
ROLE: Final = "journal_postfix"
"""Owns the database; the stages connect as this role."""
CONFIGURATION_FILE: Final = "journal-postfix.conf"
"""Beside the data, in a folder that the server can't write to."""

INITDB_ARGUMENTS: Final = (
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    # Byte order, whatever the machine's locale: Python and SQL must order values alike.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    # Only a socket in a folder that nobody else can enter.
    "--auth-local=trust",
    "--auth-host=reject",
    "--no-instructions",
)

_MEBIBYTE: Final = 1024 * 1024


def shared_buffers_megabytes(memory: int) -> int:
    """Return an eighth of the machine's *memory* (bytes), from 128 MB to 1 GB."""
    return max(128, min(1024, memory // 8 // _MEBIBYTE))


def configuration(socket_dir: Path) -> str:
    """Return the text of the included configuration file."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": f"{shared_buffers_megabytes(memory)}MB",
        # Recovery reads what was written since the last checkpoint: 10 s for 1.5 GB.
        "max_wal_size": "1GB",
        "checkpoint_timeout": "30min",
        "jit": "off",
        "synchronous_commit": "on",
        "autovacuum": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": "off",
        # Statements hold people's addresses.
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    return "# Written at every start. Your own settings: ALTER SYSTEM.\n" + "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """Return *value* as a string of postgresql.conf."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
