"""Java's cache of Kafka's classes: used where it is whole, done without where it is not."""

import shutil
from pathlib import Path

import pytest

from journal_postfix.local import EmbeddedBroker
from journal_postfix.local.class_cache import class_cache
from journal_postfix.local.jars import kafka_jars
from journal_postfix.local.java import find_java, java_version
from schemas.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def cached() -> Path:
    """Give the file of this machine, which the first broker that was started has made."""
    settings = Settings()
    java = find_java(settings)
    if (java_version(java) or 0) < 25:
        pytest.skip("this Java makes none")
    file = class_cache(java, kafka_jars(settings), settings.cache_dir)
    assert file is not None
    return file


def files_of(broker: EmbeddedBroker) -> str:
    return Path(f"/proc/{broker.pid()}/maps").read_text()


def test_a_broker_takes_its_classes_from_there(cached: Path, data_dir: Path) -> None:
    with EmbeddedBroker(data_dir / "kafka", Settings()) as broker:
        assert str(cached) in files_of(broker)


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_one_is_done_without(cached: Path, data_dir: Path, damage: str) -> None:
    content = bytearray(cached.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "changed":
        content[len(content) // 2] ^= 0xFF
    else:
        content[:] = b"not one at all"
    cache_dir = data_dir / "cache"
    cache_dir.mkdir()
    (cache_dir / cached.name).write_bytes(content)
    settings = Settings(cache_dir=cache_dir, kafka_jars=kafka_jars(Settings()))
    with EmbeddedBroker(data_dir / "kafka", settings) as broker:
        assert broker.running


def test_one_is_made_for_other_jars_and_the_old_one_goes(cached: Path, data_dir: Path) -> None:
    jars, cache_dir = data_dir / "jars", data_dir / "cache"
    shutil.copytree(cached.parent / kafka_jars(Settings()).name, jars)
    cache_dir.mkdir()
    java = find_java(Settings())
    first = class_cache(java, jars, cache_dir)
    assert first is not None
    assert class_cache(java, jars, cache_dir) == first
    next(jars.glob("*.jar")).touch()
    second = class_cache(java, jars, cache_dir)
    assert second is not None
    assert list(cache_dir.glob("*.aot")) == [second] != [first]


def test_a_folder_that_can_not_be_written_costs_nothing_else(data_dir: Path) -> None:
    (data_dir / "cache").write_text("a file")
    settings = Settings()
    assert class_cache(find_java(settings), kafka_jars(settings), data_dir / "cache") is None
