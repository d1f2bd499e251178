"""The dead letters that are there: read from their topic, each once, without those that were retried."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from journal_postfix.broker import missing, reach
from journal_postfix.tail import Tail
from schemas.dead_letters import DeadLetter, decode_dead_letter, letter_key
from schemas.errors import BadRecordError
from schemas.settings import Settings
from schemas.topics import topics_of


class Letter(msgspec.Struct, kw_only=True):
    """A dead letter, and what names it for people."""

    number: int
    """Its offset in the topic; where it was written several times, that of the first."""
    times: int = 1
    """How often it was written: a stage that is killed may write it again."""
    letter: DeadLetter

    @property
    def where(self) -> str:
        """What was refused: ``topic[partition]@offset``, or ``source@byte``."""
        letter = self.letter
        if letter.topic is not None:
            return f"{letter.topic}[{letter.partition}]@{letter.offset}"
        return letter.source or "?" if letter.offset is None else f"{letter.source}@{letter.offset}"

    @property
    def whole(self) -> bool:
        """Whether all of what was refused was kept."""
        return len(self.letter.value) == self.letter.length


class Wanted(msgspec.Struct, kw_only=True, frozen=True):
    """Which letters are meant; what is not set leaves none out."""

    numbers: Sequence[int] = ()
    stage: str | None = None
    reason: str | None = None
    """Part of the reason, in any case."""
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, letter: Letter) -> bool:
        """Tell whether *letter* is one of them."""
        if self.numbers and letter.number not in self.numbers:
            return False
        if self.stage is not None and letter.letter.stage != self.stage:
            return False
        if self.reason is not None and self.reason.lower() not in letter.letter.reason.lower():
            return False
        if self.since is None and self.until is None:
            return True
        at = _time_of(letter.letter)
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def letters(settings: Settings, wanted: Wanted) -> list[Letter]:
    """Return the letters that are *wanted*, oldest first. Raises ConfigurationError and TryAgainLaterError."""
    topic = topics_of(settings.kafka, settings.stream).dead_letter.name
    if topic not in reach(settings)[1].topics:
        raise missing(topic)
    found: dict[bytes, Letter] = {}
    for letter, key in _read(settings, topic):
        if letter is None:
            found.pop(key, None)
        elif (known := found.get(name := _name(letter.letter, key))) is not None:
            known.times += 1
        else:
            found[name] = letter
    return [letter for letter in found.values() if wanted.holds(letter)]


def _read(settings: Settings, topic: str) -> Iterator[tuple[Letter | None, bytes]]:
    """Yield the letters and their keys; None for one that was retried."""
    with closing(Tail(settings, topic)) as tail:
        for message in tail.messages():
            number, key, value = message.offset(), message.key() or b"", message.value()
            assert number is not None  # it was read
            if value is None:
                yield None, key
                continue
            try:
                letter = decode_dead_letter(value)
            except BadRecordError as error:  # whoever wrote it: it is shown, not passed over
                letter = DeadLetter(at="", stage="?", reason=str(error), key=key, value=value, length=len(value))
            yield Letter(number=number, letter=letter), key


def _name(letter: DeadLetter, key: bytes) -> bytes:
    """Return what letters have in common that are the same one."""
    if letter.topic is not None:
        return letter_key(letter)
    content = hashlib.blake2b(letter.value, digest_size=16).digest()
    return b"%s\0%d\0%d\0%s" % (key, letter.offset or 0, letter.length, content)


def _time_of(letter: DeadLetter) -> datetime:
    try:
        at = datetime.fromisoformat(letter.at)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
