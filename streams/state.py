"""The state of one partition: lines in, rows out. A function of the records that were merged, and of nothing else.

No clock of the machine is read, so that a worker that takes over, and one that was never disturbed, write the same.
Time is that of each host's log.
"""

import hashlib
from collections.abc import Mapping

from schemas.dead_letters import DeadLetter
from schemas.deliveries import ORIGIN_SURE, Rejection
from schemas.progress import Progress
from schemas.raw import RawBatch, RawLine
from schemas.settings import StreamSettings
from schemas.timestamps import MICROSECONDS, to_text
from schemas.tls_sessions import TlsSession
from schemas.topics import Topics
from streams.changelog import by_slot
from streams.clocks import Clocks
from streams.hosts import Host
from streams.messages import Message, apply, apply_attempt, mark_of, name_of
from streams.outputs import Outputs, Write
from streams.parsing import PARSER, Parsed, Refusal, Session, parse, verp_id
from streams.parsing.formats import split_program
from streams.shortcuts import LONGEST, Shortcut, shortcut_of
from streams.unknown_lines import Unknown

__all__ = ["PartitionState", "Write"]

_SWEPT_EVERY = 1_000_000
"""Lines after which a host is looked at whose clock may be wrong."""
_MOST_PROGRAMS = 1_000
_MOST_HOST_CHARACTERS = 255


class PartitionState:
    """What is known of the unfinished messages of one partition, and what the next checkpoint writes."""

    def __init__(self, partition: int, topics: Topics, settings: StreamSettings) -> None:
        """Hold nothing yet."""
        self.progress = Progress(partition=partition)
        self._outputs = Outputs(topics)
        self._keep_subject = settings.keep_subject
        self._verp_marker = settings.verp_marker
        self._lifetime = int(settings.queue_lifetime_days * 86_400 * MICROSECONDS)
        self._hosts: dict[str, Host] = {}
        self._clocks = Clocks(self.progress)
        self._unknown = Unknown(self.progress)
        self._shortcuts: dict[str, Shortcut | None] = {}

    def merge(self, batch: RawBatch) -> None:
        """Merge the lines of one record."""
        name = batch.host[:_MOST_HOST_CHARACTERS]
        host = self._hosts.get(name) or self._add_host(name)
        slots, shortcuts, counts = host.slots, self._shortcuts, self.progress.ignored
        before = clock = self.progress.hosts.get(name, 0)
        touched: dict[Message, None] = {}
        parsed_lines = 0
        for line in batch.lines:
            at = line.time or clock
            if at > clock:  # noqa: PLR1730 - max() is a call, for every line
                clock = at
            text = line.text.decode("utf-8", "backslashreplace")
            shortcut = shortcuts.get(line.program) or self._shortcut(line.program)
            found = None
            if shortcut is not None and len(text) <= LONGEST and "\0" not in text:
                found = shortcut(slots, line, text, at)
            if found is None:
                found = self._merge_parsed(host, line, text, at)
            if isinstance(found, Message):
                parsed_lines += 1
                touched[found] = None
            elif found:
                counts[found] = counts.get(found, 0) + 1
        self.progress.batches += 1
        self.progress.lines += len(batch.lines)
        self.progress.parsed += parsed_lines
        self._clocks.note(name, clock)
        host.finish(touched, clock, before)
        if self.progress.lines % _SWEPT_EVERY < len(batch.lines):
            self._sweep_behind(host, batch, clock)
        for gone in (*self._clocks.fell_silent(self._lifetime), *self._clocks.crowded_out(self._is_busy)):
            if (silent := self._hosts.pop(gone, None)) is not None:
                silent.end()

    def refuse(self, letter: DeadLetter) -> None:
        """Count a record that could not be read; the next checkpoint writes its dead letter."""
        self.progress.dead_letters += 1
        self._outputs.write_dead_letter(letter)

    def checkpoint(self) -> list[Write]:
        """Return the writes of everything since the last checkpoint: rows, and what of the changelog changed."""
        for host in self._hosts.values():
            host.checkpoint()
        return self._outputs.take()

    def restore(self, records: Mapping[bytes, bytes], progress: Progress | None = None) -> None:
        """Take over the latest changelog values by key, those of tombstones left out, and the *progress* with them."""
        self.progress = progress = progress or self.progress
        self._clocks = Clocks(progress)
        self._unknown = Unknown(progress)
        for (host, queue_id), stored in by_slot(records).items():
            name = host.decode()
            (self._hosts.get(name) or self._add_host(name)).restore(queue_id.decode(), stored)

    def __len__(self) -> int:
        """Return how many queue ids have an unfinished message."""
        return sum(map(len, list(self._hosts.values())))

    def _sweep_behind(self, host: Host, batch: RawBatch, clock: int) -> None:
        """Let go of what is too old by the time of *batch*, where that is far behind the host's *clock*.

        One line from the future, logged before a host knew the time, would else keep unfinished messages until then.
        """
        latest = max(line.time or clock for line in batch.lines)
        if latest < clock - self._lifetime:
            host.sweep(latest - self._lifetime)

    def _shortcut(self, program: str) -> Shortcut | None:
        if program in self._shortcuts:
            return self._shortcuts[program]
        if len(self._shortcuts) >= _MOST_PROGRAMS:
            self._shortcuts.clear()
        found = shortcut_of(program, keep_subject=self._keep_subject, verp=self._verp_marker is not None)
        self._shortcuts[program] = found
        return found

    def _merge_parsed(self, host: Host, line: RawLine, text: str, at: int) -> Message | str:
        """Merge what the parser reads; return the message, the class of a line that is ignored, or an empty text."""
        if "\0" in text:
            text = text.replace("\0", "\\x00")
        parsed = parse(line.program, text, line.pid, subjects=self._keep_subject)
        if parsed.ignored is not None:
            return parsed.ignored
        if not parsed.what:
            self._unknown.count(line.program, text)
            return ""
        if parsed.refusal is None and parsed.session is None:
            return self._merge_line(host, line, at, parsed)
        self.progress.parsed += 1
        if parsed.refusal is not None:
            self._write_refusal(host.slots.host, line, at, parsed.refusal)
        if parsed.session is not None:
            self._write_session(host.slots.host, line, at, parsed.session)
        return ""

    def _merge_line(self, host: Host, line: RawLine, at: int, parsed: Parsed) -> Message:
        mark = mark_of(line, at) if parsed.origin == ORIGIN_SURE else None
        if self._verp_marker is not None and parsed.message is not None and "sender" in parsed.message:
            parsed.message["verp_id"] = verp_id(parsed.message["sender"], self._verp_marker)
        assert parsed.queue_id is not None  # every format with facts is one behind a queue id
        message_id = parsed.message.get("message_id") if parsed.message is not None else None
        message = host.slots.find(parsed.queue_id, at, parsed.origin, mark, message_id)
        moment = to_text(at)
        apply(message, parsed, moment)
        if parsed.attempt is not None:
            service = split_program(line.program)[1]
            apply_attempt(message, parsed.attempt, moment, service, line.pid, name_of(line))
        if parsed.child is not None:
            self._outputs.write_child(message, parsed.child, at)
        return message

    def _write_refusal(self, host: str, line: RawLine, at: int, refusal: Refusal) -> None:
        instance, service, _ = split_program(line.program)
        self._outputs.write_rejection(
            Rejection(
                host=host,
                at=to_text(at),
                digest=_digest_of(line),
                parser=PARSER,
                service=service,
                instance=instance,
                pid=line.pid,
                action=refusal.action,
                stage=refusal.stage,
                client_name=refusal.client_name,
                client_address=refusal.client_address,
                client_port=refusal.client_port,
                code=refusal.code,
                dsn=refusal.dsn,
                reply=refusal.reply,
                reason=refusal.reason,
                sender=refusal.sender,
                recipient=refusal.recipient,
                protocol=refusal.protocol,
                helo=refusal.helo,
                sasl_username=refusal.sasl_username,
            )
        )

    def _write_session(self, host: str, line: RawLine, at: int, session: Session) -> None:
        instance, service, _ = split_program(line.program)
        self._outputs.write_session(
            TlsSession(
                host=host,
                at=to_text(at),
                digest=_digest_of(line),
                parser=PARSER,
                service=service,
                instance=instance,
                pid=line.pid,
                direction=session.direction,
                trust=session.trust,
                reused=session.reused,
                ended=session.ended,
                peer_name=session.peer_name,
                peer_address=session.peer_address,
                peer_port=session.peer_port,
                protocol=session.protocol,
                cipher=session.cipher,
            )
        )

    def _add_host(self, name: str) -> Host:
        host = self._hosts[name] = Host(name, self._lifetime, self._outputs)
        return host

    def _is_busy(self, name: str) -> bool:
        """Tell whether a host has unfinished messages."""
        return bool(self._hosts.get(name))


def _digest_of(line: RawLine) -> str:
    """Return what names a line that has no queue id, and two of the same text by their number."""
    name = b"%s[%d]\0%d\0%s" % (line.program.encode("utf-8", "surrogatepass"), line.pid, line.number, line.text)
    return hashlib.blake2b(name, digest_size=8).hexdigest()
