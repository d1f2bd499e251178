"""The jars of Apache Kafka: coordinates, checksums and sizes, resolved once and pinned in ``kafka.lock.toml``.

``python -m journal_postfix.local.jar_lock`` resolves them anew, after a change of ENDPOINT.
"""

import hashlib
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

KAFKA_VERSION: Final = "4.4.0"
ENDPOINT: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
"""What to resolve: the broker, and the logger that writes to stderr."""

_LOCK: Final = "kafka.lock.toml"


class Jar(msgspec.Struct, frozen=True):
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int
    """Bytes."""

    @property
    def filename(self) -> str:
        """Name of the file, as in every Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """Return the jars of the packaged lock."""
    text = files(__package__).joinpath(_LOCK).read_text(encoding="utf-8")
    return tuple(msgspec.convert(tomllib.loads(text)["jar"], list[Jar]))


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve() -> list[Jar]:
    from jgo.env import EnvironmentBuilder  # noqa: PLC0415 - only who renews the lock needs the resolver
    from jgo.maven import MavenContext  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder) / "repository")
        environment = EnvironmentBuilder(context=context, cache_dir=Path(folder)).from_endpoint(ENDPOINT)
        assert environment.lockfile is not None
        paths = {path.name: path for path in environment.all_jars}
        jars = []
        for found in environment.lockfile.dependencies:
            assert found.sha256 is not None
            size = paths[f"{found.artifactId}-{found.version}.jar"].stat().st_size
            jars.append(Jar(found.groupId, found.artifactId, found.version, found.sha256, size))
        return jars


def main() -> None:
    """Write the lock anew."""
    jars = sorted(_resolve(), key=lambda jar: (jar.group, jar.artifact))
    lines = [f"# {ENDPOINT}, resolved by journal_postfix.local.jar_lock"]
    for jar in jars:
        values = msgspec.structs.asdict(jar)
        lines += ["", "[[jar]]", *(f"{name} = {value!r}".replace("'", '"') for name, value in values.items())]
    Path(__file__).with_name(_LOCK).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
