"""Kafka's jars are those that are pinned, or none."""

import hashlib
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from journal_postfix.local import jars
from journal_postfix.local.jar_lock import KAFKA_VERSION, Jar, locked_jars, sha256_of
from schemas.errors import ConfigurationError, TryAgainLaterError
from schemas.settings import Settings

CONTENT = {"one-1.jar": b"first", "two-2.jar": b"second"}


class Repository:
    """Stands for Maven Central: gives jars by their coordinates and counts."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.asked: list[str] = []
        self.failure: Exception | None = None

    def download(self, artifact: Any) -> Path:
        self.asked.append(artifact.filename)
        if self.failure is not None:
            raise self.failure
        path: Path = artifact.cached_path
        path.parent.mkdir(parents=True)
        path.write_bytes(self.content[artifact.filename])
        return path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    central = Repository()
    pinned = tuple(
        Jar("org.example", name.split("-")[0], name.split("-")[1][0], hashlib.sha256(data).hexdigest(), len(data))
        for name, data in CONTENT.items()
    )
    monkeypatch.setattr(jars, "locked_jars", lambda: pinned)
    monkeypatch.setattr("jgo.maven.PythonResolver.download", lambda _self, artifact: central.download(artifact))
    return central


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


def test_jars_are_fetched_once(repository: Repository, settings: Settings) -> None:
    folder = jars.kafka_jars(settings)
    assert folder == settings.cache_dir / f"kafka-{KAFKA_VERSION}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert jars.kafka_jars(settings) == folder
    assert sorted(repository.asked) == sorted(CONTENT)


def test_jar_that_was_changed_or_cut_is_fetched_again(repository: Repository, settings: Settings) -> None:
    folder = jars.kafka_jars(settings)
    (folder / "one-1.jar").write_bytes(b"firsT")
    (folder / "two-2.jar").write_bytes(b"sec")
    repository.asked.clear()
    jars.kafka_jars(settings)
    assert sorted(repository.asked) == sorted(CONTENT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


@pytest.mark.usefixtures("repository")
def test_jar_that_is_not_pinned_does_not_stay(settings: Settings) -> None:
    folder = settings.cache_dir / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True)
    (folder / "evil-9.jar").write_bytes(b"")
    assert jars.kafka_jars(settings) == folder
    assert {path.name for path in folder.iterdir()} == set(CONTENT)


def test_jar_that_is_not_what_is_pinned_is_refused(repository: Repository, settings: Settings) -> None:
    repository.content["two-2.jar"] = b"seconD"
    with pytest.raises(TryAgainLaterError, match=r"two-2\.jar .* is not what is pinned .*--bootstrap-servers"):
        jars.kafka_jars(settings)
    assert not (settings.cache_dir / f"kafka-{KAFKA_VERSION}" / "two-2.jar").exists()


def test_what_was_fetched_before_a_failure_is_kept(repository: Repository, settings: Settings) -> None:
    repository.content["two-2.jar"] = b"cut"
    with pytest.raises(TryAgainLaterError):
        jars.kafka_jars(settings)
    repository.content["two-2.jar"] = CONTENT["two-2.jar"]
    repository.asked.clear()
    jars.kafka_jars(settings)
    assert repository.asked == ["two-2.jar"]


def test_without_a_network_the_error_says_how_to_give_your_own_kafka(
    repository: Repository, settings: Settings
) -> None:
    repository.failure = RuntimeError("could not resolve")
    with pytest.raises(
        TryAgainLaterError, match=r"cannot fetch .*could not resolve.*--bootstrap-servers.*JOURNAL_POSTFIX_KAFKA_JARS"
    ):
        jars.kafka_jars(settings)


def test_two_at_once_fetch_once(repository: Repository, settings: Settings) -> None:
    done: list[Path] = []
    threads = [threading.Thread(target=lambda: done.append(jars.kafka_jars(settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 4
    assert sorted(repository.asked) == sorted(CONTENT)


@pytest.mark.usefixtures("repository")
def test_progress_is_plain_lines_where_there_is_no_terminal(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    jars.kafka_jars(settings)
    assert capfd.readouterr().err.splitlines() == [
        f"Fetching Apache Kafka {KAFKA_VERSION}: 2 files, 0 MB",
        f"Fetching Apache Kafka {KAFKA_VERSION}: done",
    ]


def test_given_folder_is_used_as_it_is(repository: Repository, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "kafka-server-common-4.1.0.jar", "w"):
        pass
    assert jars.kafka_jars(Settings(kafka_jars=tmp_path)) == tmp_path
    assert repository.asked == []


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_given_folder_without_kafka_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no jars of Apache Kafka 4"):
        jars.kafka_jars(Settings(kafka_jars=tmp_path / name))


def test_folder_that_java_would_read_as_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="colon"):
        jars.kafka_jars(Settings(cache_dir=tmp_path / "a:b"))


@pytest.mark.usefixtures("repository")
def test_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot write in .*JOURNAL_POSTFIX_CACHE_DIR"):
        jars.kafka_jars(Settings(cache_dir=tmp_path / "file" / "cache"))


def test_lock_holds_the_broker_and_names_no_host() -> None:
    locked = locked_jars()
    assert {f"kafka_2.13-{KAFKA_VERSION}.jar", f"kafka-server-{KAFKA_VERSION}.jar"} <= {jar.filename for jar in locked}
    assert len({jar.filename for jar in locked}) == len(locked)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)
    text = Path(jars.__file__).with_name("kafka.lock.toml").read_text()
    assert "://" not in text


def test_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea")
