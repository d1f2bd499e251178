"""Apache Kafka's jars: a folder of yours, or fetched from Maven Central by their pinned coordinates into the cache."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from journal_postfix.local.jar_lock import KAFKA_VERSION, Jar, locked_jars, sha256_of
from journal_postfix.local.locks import LockHeldError, cannot_write, locked, made_folder
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings

WAYS_OUT: Final = (
    "Use your own Kafka with --bootstrap-servers HOST:PORT, or give a folder that holds Apache Kafka's jars "
    "(libs/ of its download) with the setting kafka_jars (JOURNAL_POSTFIX_KAFKA_JARS)"
)
_WAIT_SECONDS: Final = 600.0
_TIMEOUT_SECONDS: Final = 30
_AT_ONCE: Final = 4

Advance = Callable[[int], None]


def kafka_jars(settings: Settings) -> Path:
    """Return the folder that holds the jars, after fetching them where needed.

    Raises ConfigurationError (a wrong folder, a missing extra) and TryAgainLaterError (the jars can't be had).
    """
    folder = (settings.kafka_jars or settings.cache_dir / f"kafka-{KAFKA_VERSION}").absolute()
    if ":" in str(folder):
        raise ConfigurationError(f"{folder} has a colon in its name, which Java reads as two folders: give another one")
    if settings.kafka_jars is not None:
        return _given(folder)
    if _wrong(folder):
        made_folder(settings.cache_dir, mode=0o755)
        try:
            with locked(settings.cache_dir / "kafka.lock", _WAIT_SECONDS):
                _fill(folder)
        except LockHeldError:
            raise TryAgainLaterError(
                f"another journal-postfix has been fetching Apache Kafka into {settings.cache_dir} for ten minutes: "
                "see what it does"
            ) from None
    return folder


def _given(folder: Path) -> Path:
    if not any(folder.glob("kafka-server-common-*.jar")):
        raise ConfigurationError(
            f"{folder} holds no jars of Apache Kafka 4 (kafka-server-common-….jar): "
            "give the folder libs/ of its download"
        )
    return folder


def _wrong(folder: Path) -> list[Jar]:
    """Return the jars that *folder* lacks or holds otherwise than pinned."""
    return [jar for jar in locked_jars() if not _right(folder / jar.filename, jar)]


def _right(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size and sha256_of(path) == jar.sha256
    except OSError:
        return False


def _fill(folder: Path) -> None:
    made_folder(folder, mode=0o755)
    missing = _wrong(folder)  # again: whoever held the lock may have fetched them
    wanted = {jar.filename for jar in locked_jars()}
    try:
        for other in folder.iterdir():
            if other.name not in wanted and other.is_file():
                other.unlink()
        if missing:
            with _progress(missing) as advance, ThreadPoolExecutor(_AT_ONCE) as fetchers:
                list(fetchers.map(lambda jar: _fetch(jar, folder, advance), missing))
    except OSError as error:
        raise cannot_write(folder, error) from error


def _fetch(jar: Jar, folder: Path, advance: Advance) -> None:
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the extra may be missing
        from requests import RequestException  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            f"the embedded broker needs the extra: pip install 'journal-postfix[embedded]'. {WAYS_OUT}"
        ) from None

    @contextmanager
    def counting(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as repository:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=counting),
            repo_cache=Path(repository),
            local_repos=[],
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(packaging="jar")
            path = artifact.resolve()
        except (RequestException, RuntimeError) as error:
            raise TryAgainLaterError(
                f"cannot fetch {jar.filename} from Maven Central: {_reason(error)}. {WAYS_OUT}"
            ) from None
        if not _right(path, jar):
            raise TryAgainLaterError(
                f"what came for {jar.filename} from Maven Central is not what is pinned (SHA-256 {sha256_of(path)}, "
                f"not {jar.sha256}). {WAYS_OUT}"
            )
        path.replace(folder / jar.filename)


def _reason(error: Exception) -> str:
    innermost: BaseException = error  # which says what happened; the others, what they were about to do
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    return str(innermost) or type(innermost).__name__


@contextmanager
def _progress(jars: list[Jar]) -> Iterator[Advance]:
    total = sum(jar.size for jar in jars)
    console = Console(stderr=True)
    what = f"Fetching Apache Kafka {KAFKA_VERSION}"
    if not console.is_terminal:
        sys.stderr.write(f"{what}: {len(jars)} files, {total / 1e6:.0f} MB\n")
        sys.stderr.flush()
        yield lambda _bytes: None
        sys.stderr.write(f"{what}: done\n")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda size: progress.advance(task, size)
