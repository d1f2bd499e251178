"""Which message a line belongs to. A queue id names a slot, since ids are reused; a slot rarely holds two messages.

The rules are those of the sink's joins (``sinks/migrations``), so that state that was lost costs nothing.
"""

from schemas.deliveries import ORIGIN_CLEANUP, ORIGIN_SURE, ORIGIN_UNSEEN
from schemas.timestamps import MICROSECONDS, to_text
from streams.changelog import Records, load
from streams.messages import TOLERANCE, Mark, Message, new_message
from streams.queue_ids import arrival_of

TRANSACTION = 3600 * MICROSECONDS
"""Longest time between ``client=`` and cleanup's first line: a client may take long to send its header."""

_PLAUSIBLE = 400 * 86_400 * MICROSECONDS
"""How far a long id's own time may be from its line's before it is not believed."""


class Slots:
    """The messages of one host, by queue id."""

    def __init__(self, host: str, lifetime: int) -> None:
        """Hold nothing yet; *lifetime* is the longest that a message stays queued, in microseconds."""
        self.host = host
        self.lifetime = lifetime
        self.messages: dict[str, list[Message]] = {}
        self._current: dict[str, Message] = {}
        """The message whose origin line came last, of ids that have several."""
        self.resting: dict[str, Records] = {}
        """Restored messages of which no line has come yet, as they stand in the changelog, by queue id."""
        self.absorbed: list[Message] = []
        """Messages that turned out to be part of another, since they were last taken from here."""

    def find(self, queue_id: str, at: int, origin: int, mark: Mark | None, message_id: str | None = None) -> Message:
        """Return the message that a line of *queue_id*, logged at *at*, belongs to; a new one where none is known.

        *origin* is how sure the line begins a message; *mark* names the line if it is a sure one. *message_id* is
        cleanup's, if the line is the one that tells it.
        """
        if queue_id in self.resting:
            self.wake(queue_id)
        if origin == ORIGIN_UNSEEN and (message := self.under_way(queue_id, at)) is not None:
            return message
        messages = self.messages.get(queue_id)
        if messages is None:
            messages = self.messages[queue_id] = []
        else:
            first = messages[0]
            if first.mark is None and first.row.origin == ORIGIN_SURE:  # a long id, which is never used again
                return first
            known: Message | None
            if origin == ORIGIN_SURE:
                known = self._choose_for_origin(messages, at, mark)
            else:
                known = self._choose(messages, at, origin, message_id)
            if known is not None:
                known.first = min(known.first, at)
                if len(messages) > 1:
                    if origin == ORIGIN_SURE:
                        self._current[queue_id] = known
                    self._absorb(messages, known)
                return known
        new = self._begin(messages, queue_id, at, origin, mark)
        messages.append(new)
        if len(messages) > 1:
            self._current[queue_id] = new
            messages.sort(key=_arrived)
            self._absorb(messages, new)
        return new

    def under_way(self, queue_id: str, at: int) -> Message | None:
        """Return the message of a line that begins none, logged at *at*, where that is plain at once.

        That is what `_choose` would find out: the message is under way, and its slot has no other.
        """
        messages = self.messages.get(queue_id)
        if messages is None:
            return None
        message = messages[0]
        row = message.row
        if message.mark is None and row.origin == ORIGIN_SURE:  # a long id, which is never used again
            return message
        arrived = message.arrived
        if (
            message.first <= at
            and arrived <= at < arrived + self.lifetime
            and row.origin != ORIGIN_UNSEEN
            and not (row.removed_at or row.deleted_at or row.cancelled_at or row.requeued_at)  # it has no `end`
            and len(messages) == 1
        ):
            return message
        return None

    def in_transaction(self, queue_id: str, at: int) -> Message | None:
        """Return the message of cleanup's first line, logged at *at*, where that is plain at once."""
        message = self.under_way(queue_id, at)
        if message is None or (message.mark is None and message.row.origin == ORIGIN_SURE):
            return message
        row = message.row
        goes_on = row.queued_at is None and row.rejected_at is None and row.discarded_at is None
        return message if goes_on and at - message.arrived < TRANSACTION else None

    def begin(self, queue_id: str, at: int, origin: int, mark: Mark | None) -> Message:
        """Return a new message of an id that has none."""
        message = self._begin([], queue_id, at, origin, mark)
        self.messages[queue_id] = [message]
        return message

    def add(self, message: Message) -> None:
        """Take in a message that was stored."""
        messages = self.messages.setdefault(message.row.queue_id, [])
        messages.append(message)
        messages.sort(key=_arrived)

    def wake(self, queue_id: str) -> None:
        """Read the messages of an id that rest."""
        for message in load(self.resting.pop(queue_id)):
            self.add(message)

    def discard(self, message: Message) -> None:
        """Forget a message."""
        message.left = True
        queue_id = message.row.queue_id
        messages = self.messages[queue_id]
        if len(messages) == 1:
            del self.messages[queue_id]
            self._current.pop(queue_id, None)
        else:
            messages.remove(message)

    def _begin(self, messages: list[Message], queue_id: str, at: int, origin: int, mark: Mark | None) -> Message:
        arrived = arrival_of(queue_id)
        if arrived is not None and abs(arrived - at) < _PLAUSIBLE:
            return new_message(self.host, queue_id, arrived, ORIGIN_SURE, at)
        message = new_message(self.host, queue_id, _free(messages, at), origin, at)
        message.mark = mark
        return message

    def _choose(self, messages: list[Message], at: int, origin: int, message_id: str | None) -> Message | None:
        """Choose for a line that is no sure origin: the newest message that had begun by then."""
        newest_first = messages[::-1]
        message = next((m for m in newest_first if m.first <= at), None) or next(
            (m for m in newest_first if m.arrived <= at + TOLERANCE), None
        )
        if message is not None and len(messages) > 1:
            message = self._of_one_second(message, at)
        if message is None:  # all began later: one whose origin wasn't seen may have begun earlier than it seems
            oldest = messages[0]
            if oldest.row.origin != ORIGIN_UNSEEN or oldest.arrived - at >= self.lifetime:
                return None
            if origin == ORIGIN_CLEANUP or not oldest.settled:
                oldest.move_to(at)
            oldest.raise_origin(origin)
            return oldest
        if not self._may_take(message, at, origin, message_id):
            return None
        if origin > message.row.origin:
            if at <= message.arrived + TOLERANCE:
                message.move_to(at)
            message.raise_origin(origin)
        elif origin == message.row.origin and not message.settled:
            message.move_to(min(at, message.arrived))
        return message

    def _of_one_second(self, message: Message, at: int) -> Message:
        """Return the message whose origin line came last, if it arrived in the same second as *message*, the newest.

        An id may come again within a second; when such lines are read again, times don't tell the messages apart.
        """
        current = self._current.get(message.row.queue_id)
        if current is None or current.left or current.first > at or message.arrived - current.arrived >= MICROSECONDS:
            return message
        return current

    def _may_take(self, message: Message, at: int, origin: int, message_id: str | None) -> bool:
        """Tell whether a line that is no sure origin, logged at *at* after the message began, can be one of its."""
        if at - message.arrived >= self.lifetime or _is_before(message.end, at - TOLERANCE):
            return False
        if origin != ORIGIN_CLEANUP:
            return True
        row = message.row
        if at - message.arrived >= TRANSACTION or _is_before(row.queued_at, at - TOLERANCE):
            return False
        # cleanup names a message before it is over: what it names otherwise then is one that has the id next.
        over = message.end or row.rejected_at or row.discarded_at
        named_otherwise = None not in {message_id, row.message_id} and message_id != row.message_id
        return not (named_otherwise and _is_before(over, at))

    def _absorb(self, messages: list[Message], message: Message) -> None:
        """Merge into *message* the parts that began after it: those whose lines it would have taken in order."""
        for part in messages[messages.index(message) + 1 :]:
            if (
                part.settled
                or part.row.origin == ORIGIN_SURE
                or not self._may_take(message, part.arrived, part.row.origin, part.row.message_id)
            ):
                break
            if (
                part.row.origin == ORIGIN_CLEANUP
                and message.row.origin != ORIGIN_SURE
                and part.arrived > message.arrived + TOLERANCE
            ):
                break  # cleanup begins each of them: only behind a `client=` does its line come late
            if part.row.origin > message.row.origin and part.arrived <= message.arrived + TOLERANCE:
                message.move_to(part.arrived)
            message.absorb(part)
            part.left = True
            messages.remove(part)
            self.absorbed.append(part)

    def _choose_for_origin(self, messages: list[Message], at: int, mark: Mark | None) -> Message | None:
        """Choose for a sure origin line: the message that had it already, else one that lacks it."""
        for message in messages:
            if message.mark == mark:
                return message
        for message in messages:
            if message.row.origin == ORIGIN_SURE:
                if message.arrived >= at:
                    break  # what follows belongs to that one
                continue
            near = self.lifetime if message.row.origin == ORIGIN_UNSEEN else TRANSACTION
            if at - TOLERANCE <= message.arrived < at + near and not _is_before(message.end, at):
                others = [other for other in messages if other is not message]
                message.move_to(_free(others, at))
                message.raise_origin(ORIGIN_SURE)
                message.mark = mark
                messages.sort(key=_arrived)
                return message
        return None


def _arrived(message: Message) -> int:
    return message.arrived


def _free(messages: list[Message], arrived: int) -> int:
    """Return *arrived*, or the next microsecond that no message has: an id used twice in a second of the log."""
    if not messages:
        return arrived
    taken = {message.arrived for message in messages}
    while arrived in taken:
        arrived += 1
    return arrived


def _is_before(moment: str | None, at: int) -> bool:
    return moment is not None and moment < to_text(at)
