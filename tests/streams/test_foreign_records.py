"""A changelog that holds what this version did not write: the worker says where, and what to do; it never guesses."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from schemas.errors import ConfigurationError
from schemas.progress import VERSION as PROGRESS_VERSION
from schemas.progress import Progress
from streams.changelog import VERSION
from streams.partitions import POSITION, SourcePartition

if TYPE_CHECKING:
    from tests.streams.conftest import Fed

KEY = b"mx1/9D5CB98A3E3/1700000000000000/0"
CLIENT = (0, "postfix/smtpd", "9D5CB98A3E3: client=c.test[192.0.2.1]")
ATTEMPT = "to=<b@x.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (x)"
DEFERRED = (1, "postfix/smtp", f"9D5CB98A3E3: {ATTEMPT}")


def partition(fed: "Fed") -> SourcePartition:
    return SourcePartition(0, fed.state, cast("Any", None), fed.topics)


def stored(fed: "Fed") -> list[Any]:
    """Return the one changelog record of a message that rests, as a list of its fields."""
    fed.feed(CLIENT, DEFERRED)
    [value] = fed.changelog.values()
    return list(msgspec.msgpack.decode(value))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param((b"garbage", b"x"), id="key"),
        pytest.param((b"mx1/9D5CB98A3E3/then/0", b"x"), id="time-in-the-key"),
        pytest.param((b"\xff/9D5CB98A3E3/1/0", b"\x99\x01\xc3"), id="host-in-the-key"),
        pytest.param((KEY, b"garbage"), id="value"),
        pytest.param((KEY, b""), id="nothing"),
        pytest.param((POSITION, b"garbage"), id="position"),
        pytest.param((POSITION, b""), id="no-position"),
        pytest.param(
            (POSITION, msgspec.json.encode(Progress(partition=0, version=PROGRESS_VERSION + 1))), id="newer-position"
        ),
        pytest.param((KEY, msgspec.msgpack.encode([VERSION, None, 0, 0, None, True, None, []])), id="piece-of-nothing"),
    ],
)
def test_what_cannot_be_read_is_named_before_anything_is_merged(fed: "Fed", record: tuple[bytes, bytes]) -> None:
    with pytest.raises(ConfigurationError, match=rf"partition 0 of {fed.topics.changelog.name} .*another stream\.appl"):
        partition(fed).restore(dict([record]))


def test_a_message_of_a_newer_version_is_named_though_it_rests(fed: "Fed", new_fed: type["Fed"]) -> None:
    fields = stored(fed)
    fields[0] = VERSION + 1
    with pytest.raises(ConfigurationError, match=f"9D5CB98A3E3.* has version {VERSION + 1}"):
        partition(new_fed()).restore({KEY: msgspec.msgpack.encode(fields)})


def test_a_message_that_rests_and_cannot_be_read_is_named_when_a_line_of_it_comes(
    fed: "Fed", new_fed: type["Fed"]
) -> None:
    stored(fed)
    broken = new_fed()
    owned = partition(broken)
    owned.restore({KEY: b"\x99\x01garbage\xc3"})
    with pytest.raises(ConfigurationError, match=r"9D5CB98A3E3.* is no stored message"):
        owned.merge(broken.batch([DEFERRED]))
