"""The settings: every one has a default and a reason. YAML file, then environment, then flags; the later wins.

The environment names are ``JOURNAL_POSTFIX_`` and the path of the setting, with two underscores between its parts:
``JOURNAL_POSTFIX_KAFKA__BOOTSTRAP_SERVERS``. A secret may come from a file instead: ``…_PASSWORD_FILE``.
"""

import os
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from yaml import YAMLError

from schemas.errors import ConfigurationError
from schemas.settings_sources import FileSource, misspelt, no_json
from schemas.trust import system_authorities


def default_data_dir() -> Path:
    """Return where the embedded parts keep their data: the user's data folder, or /var/lib for root."""
    if os.geteuid() == 0 and "XDG_DATA_HOME" not in os.environ:
        return Path("/var/lib/journal-postfix")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "journal-postfix"


def default_cache_dir() -> Path:
    """Return where downloads are kept: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "journal-postfix"


_PREFIX: Final = "JOURNAL_POSTFIX_"
_DELIMITER: Final = "__"
LOOPBACKS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this host, which no network is between."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _secret(value: SecretStr | None, file: Path | None, name: str) -> str | None:
    if file is not None:
        try:
            secret = file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigurationError(f"cannot read {name} from {file}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigurationError(f"cannot read {name} from {file}: it is no UTF-8 text") from None
        if not secret:
            raise ConfigurationError(f"cannot read {name} from {file}: it is empty")
        return secret
    return value.get_secret_value() if value is not None else None


class KafkaSettings(_Section):
    """Your Kafka. Without `bootstrap_servers`, ``up`` starts an embedded one."""

    bootstrap_servers: str | None = Field(None, description="host:port, several with commas; none: embedded broker")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the broker; TLS certificates are always checked"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how the password is proved, with SASL_PLAINTEXT and SASL_SSL"
    )
    sasl_username: str | None = Field(None, description="who this is, with SASL_PLAINTEXT and SASL_SSL")
    sasl_password: SecretStr | None = Field(
        None, description="of that user; better in a file: the environment of a process can be seen"
    )
    sasl_password_file: Path | None = Field(None, description="file that holds nothing but the password; the stronger")
    ssl_ca_file: Path | None = Field(None, description="PEM file of the authorities to trust; none: the system's")
    ssl_certificate_file: Path | None = Field(None, description="PEM client certificate, for mutual TLS")
    ssl_key_file: Path | None = Field(
        None, description="PEM key of the client certificate; none: it is in the certificate's file"
    )
    ssl_key_password: SecretStr | None = Field(
        None, description="of that key, where it is encrypted; better in a file, as above"
    )
    ssl_key_password_file: Path | None = Field(
        None, description="file that holds nothing but the password; the stronger"
    )
    topic_prefix: str = Field("postfix.", pattern=r"^[a-zA-Z0-9._-]*$", description="what topic names begin with")
    partitions: int = Field(
        8,
        ge=1,
        le=10_000,
        description="of raw, its outputs and the changelog: the most workers; of the embedded Kafka 2 unless given",
    )
    replication_factor: int = Field(1, ge=1, le=32_767, description="3 on a cluster; 1 with a single broker")
    raw_retention_days: int = Field(30, ge=1, description="how far back raw lines can be processed anew")
    output_retention_days: int = Field(30, ge=1, description="how long deliveries stay in their topics")

    def sasl_secret(self) -> str | None:
        """Return the SASL password, from its file where there is one. Raises ConfigurationError."""
        return _secret(self.sasl_password, self.sasl_password_file, "the SASL password")

    def ssl_key_secret(self) -> str | None:
        """Return the password of the client's key, from its file where there is one. Raises ConfigurationError."""
        return _secret(self.ssl_key_password, self.ssl_key_password_file, "the password of kafka.ssl_key_file")

    def authorities(self) -> Path:
        """Return the PEM file of the authorities to trust. Raises ConfigurationError where the system has none."""
        return self.ssl_ca_file or system_authorities("kafka.ssl_ca_file")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            if self.sasl_username is None:
                raise ValueError(f"{self.security_protocol} needs sasl_username")
            if self.sasl_password is None and self.sasl_password_file is None:
                raise ValueError(f"{self.security_protocol} needs sasl_password_file, or sasl_password")
        if self.ssl_key_file is not None and self.ssl_certificate_file is None:
            raise ValueError("ssl_key_file needs ssl_certificate_file, the certificate of that key")
        return self


class DatabaseSettings(_Section):
    """Your PostgreSQL. Without `host`, ``up`` starts an embedded one."""

    host: str | None = Field(None, description="host name, or the folder of its socket; none: embedded database")
    port: int = Field(5432, ge=1, le=65_535, description="where the server listens; a socket has it in its name")
    dbname: str = Field("journal_postfix", description="database that holds the tables")
    user: str | None = Field(None, description="role; none: the operating system's user")
    password: SecretStr | None = Field(None, description="of that role; better in a file, as Kafka's")
    password_file: Path | None = Field(None, description="file that holds nothing but the password; the stronger")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="none: verify-full for a host on the network, none needed on a socket or loopback"
    )
    sslrootcert: Path | None = Field(None, description="PEM file of the authorities to trust; none: the system's")
    sslcert: Path | None = Field(None, description="PEM client certificate, where the server asks for one")
    sslkey: Path | None = Field(None, description="PEM key of the client certificate: not encrypted, its user's alone")
    schema_name: str = Field(
        "public",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="schema of the tables, where others share the database",
    )

    def secret(self) -> str | None:
        """Return the password, from its file where there is one. Raises ConfigurationError."""
        return _secret(self.password, self.password_file, "the database password")

    def connection_parameters(self) -> dict[str, str | int]:
        """Return keyword arguments for ``psycopg2.connect``. Raises ConfigurationError."""
        parameters: dict[str, str | int] = {
            "dbname": self.dbname,
            "port": self.port,
            "connect_timeout": 10,
            "application_name": "journal-postfix",
            "client_encoding": "UTF8",
            "options": f"-c search_path={self.schema_name} -c timezone=UTC",
        }
        if self.host is not None:
            parameters["host"] = self.host
        if self.user is not None:
            parameters["user"] = self.user
        if (password := self.secret()) is not None:
            parameters["password"] = password
        parameters["sslmode"] = mode = self.sslmode or ("prefer" if self.local else "verify-full")
        if mode.startswith("verify"):
            parameters["sslrootcert"] = str(self.sslrootcert or system_authorities("database.sslrootcert"))
        elif self.sslrootcert is not None:
            parameters["sslrootcert"] = str(self.sslrootcert)
        if self.sslcert is not None:
            parameters |= {"sslcert": str(self.sslcert), "sslkey": str(self.sslkey)}
        return parameters

    @property
    def local(self) -> bool:
        """Whether nobody on a network comes between: a socket, or loopback."""
        return self.host is None or self.host.startswith("/") or self.host in LOOPBACKS

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.sslcert is None) != (self.sslkey is None):
            raise ValueError("sslcert and sslkey belong together: a client certificate and its key")
        if self.sslmode == "verify-ca" and self.sslrootcert is None:
            # Without the name, whoever has any certificate of a public authority would be taken for the server.
            raise ValueError("verify-ca needs sslrootcert, an authority of your own; or use verify-full")
        return self


class ProducerSettings(_Section):
    """How lines become batches. A batch closes at the first of the three limits."""

    batch_lines: int = Field(200, ge=1, le=10_000, description="lines of a batch: fewer cost speed, more add nothing")
    batch_bytes: int = Field(
        256 * 1024, ge=1024, le=448 * 1024, description="bytes of text of a batch: bounds a record where lines are long"
    )
    batch_ms: int = Field(100, ge=1, le=60_000, description="longest time that a line waits for others")
    buffer_bytes: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="memory, in bytes, for lines that Kafka has not acknowledged"
    )
    max_line_bytes: int = Field(64 * 1024, ge=4096, le=256 * 1024, description="a longer line is a dead letter")
    position_ms: int = Field(1000, ge=10, description="how often the position is saved while lines flow")
    programs: tuple[str, ...] = Field(
        ("postfix*",),
        description="syslog identifiers to take, with * and ?; Postfix daemons under another syslog_name, and programs "
        "that log a queue id, are taken anyway",
    )
    units: tuple[str, ...] = Field(
        ("postfix.service", "postfix@*.service"), description="systemd units to take from the journal"
    )
    timezone: str | None = Field(
        None, description="of timestamps that say none, e.g. Europe/Berlin; none: this machine's"
    )
    host: str | None = Field(None, description="host name for lines that have none; none: this machine's")

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"unknown time zone {value!r}: use a name like Europe/Berlin or UTC") from error
        return value

    def zone(self) -> tzinfo | None:
        """Return the time zone of timestamps without one; None stands for this machine's."""
        return ZoneInfo(self.timezone) if self.timezone else None


class StreamSettings(_Section):
    """How the stream stage checkpoints, and how long it waits for a message's end."""

    application: str = Field(
        "journal-postfix",
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="names the consumer group, the transactional ids and the state's topic: one a topic prefix",
    )
    checkpoint_seconds: float = Field(0.5, gt=0, le=60, description="longest time between checkpoints of a partition")
    checkpoint_batches: int = Field(50, ge=1, description="batches after which a checkpoint is made at once")
    bad_records_in_a_row: int = Field(
        1000, ge=1, description="raw records that are no batches before it halts; raise it to pass over more of them"
    )
    queue_lifetime_days: float = Field(
        6, gt=0, description="Postfix's maximal_queue_lifetime (5) and a margin: state older leaves"
    )
    session_timeout_seconds: float = Field(
        10, ge=6, le=1800, description="a worker silent that long loses its partitions"
    )
    keep_subject: bool = Field(
        default=False, description="keep subjects that header checks log (INFO, WARN): personal data, so off by default"
    )
    verp_marker: str | None = Field(
        None,
        min_length=1,
        description="text in the local part of VERP senders, e.g. +: what follows it is kept as verp_id; none: off",
    )

    @property
    def changelog_topic(self) -> str:
        """Name of the topic of the table ``messages``, as Faust makes it."""
        return f"{self.application}-messages-changelog"


class SinkSettings(_Section):
    """How deliveries are written."""

    group: str = Field(
        "journal-postfix-sink",
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="consumer group of the sinks, for Kafka's own tools: positions are in the database",
    )
    batch_rows: int = Field(
        20_000, ge=1, le=100_000, description="rows of one transaction, where as many wait: more is faster"
    )
    batch_ms: int = Field(500, ge=1, le=60_000, description="longest time that a row waits for others")
    days_ahead: int = Field(3, ge=1, le=60, description="day partitions made before they are needed")
    session_timeout_seconds: float = Field(
        10, ge=6, le=1800, description="a sink silent that long loses its partitions"
    )
    bad_records_in_a_row: int = Field(
        100, ge=1, description="records of a partition that can't be stored before it halts; raise it to pass over more"
    )


class RetentionSettings(_Section):
    """How long `purge` lets rows stay, by the day on which the mail arrived. 0: for ever."""

    deliveries_days: int = Field(
        90, ge=0, le=36_500, description="days that messages and their deliveries stay; 0: ever"
    )
    rejects_days: int = Field(90, ge=0, le=36_500, description="days that rejections without a queue id stay; 0: ever")
    tls_sessions_days: int = Field(
        90, ge=0, le=36_500, description="days that the encryption of connections stays; 0: ever"
    )
    pseudonymise_days: int = Field(
        0, ge=0, le=36_500, description="days after which rows name nobody: pseudonyms for people and clients; 0: never"
    )


class MetricsSettings(_Section):
    """Where each stage serves metrics for Prometheus, and whether it lives and works."""

    listen: str = Field("127.0.0.1", description="address to listen on; metrics name topics and failing domains")
    port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="of /metrics, /healthz, /readyz: each stage and worker takes the first free one on; none: off",
    )
    domains: int = Field(
        20, ge=0, le=200, description="failing recipient domains that a sink's metrics name, at most; 0: none"
    )


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    database: DatabaseSettings = DatabaseSettings()
    producer: ProducerSettings = ProducerSettings()
    stream: StreamSettings = StreamSettings()
    sink: SinkSettings = SinkSettings()
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    data_dir: Path = Field(default_factory=default_data_dir, description="data of the embedded broker and database")
    cache_dir: Path = Field(default_factory=default_cache_dir, description="downloads of the embedded broker")
    kafka_jars: Path | None = Field(None, description="folder of Apache Kafka's jars, instead of downloading them")
    java: Path | None = Field(None, description="java (17 or later) to run the embedded broker with")
    log_format: Literal["console", "json"] = Field(
        "console", description="how the stages log: for people, or an object a line for a collector"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment before the YAML file."""
        return init_settings, env_settings, FileSource(settings_cls)


def load(file: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Return the settings of a YAML *file*, the environment and *flags* (nested as the settings are).

    Raises ConfigurationError, whose message names every setting that is wrong and never its value.
    """
    if file is not None and not file.is_file():
        raise ConfigurationError(f"settings file {file} does not exist: give another with --config")

    if wrong := misspelt(Settings, _PREFIX, _DELIMITER):
        said = "; ".join(f"{given} in the environment is none; is {name} meant?" for given, name in wrong.items())
        raise ConfigurationError(f"wrong settings: {said}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(yaml_file=file)

    try:
        return FromFile(**(flags or {}))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigurationError(f"wrong settings: {faults}") from None
    except YAMLError as error:
        # Its own words quote the file, where a password that is not in quotes may be what is no YAML.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigurationError(
            f"cannot read the settings: {file}{where} is no YAML; special characters need quotes"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"cannot read the settings: {file} is no text in UTF-8") from None
    except SettingsError:
        names = no_json(Settings, _PREFIX, _DELIMITER)
        raise ConfigurationError(
            f'wrong settings: {", ".join(names)}: in the environment this is JSON, such as ["postfix*", "mailer"] for '
            "a list"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings: {error}") from None
