"""The unfinished messages of one host within a partition, and when each of them leaves the state."""

import heapq
from itertools import count

from streams.changelog import Records, arrival_in, rests
from streams.messages import PENDING, TOLERANCE, Message
from streams.outputs import Outputs
from streams.slots import Slots

_SWEEPS_IN_LIFETIME = 20
_NEVER = 1 << 63
"""A time, in microseconds, before which everything arrived."""


class Host:
    """Messages of one host; its clock is the latest time in its log."""

    def __init__(self, name: str, lifetime: int, outputs: Outputs) -> None:
        """Hold nothing yet. *lifetime* is in microseconds: what is older leaves."""
        self.slots = Slots(name, lifetime)
        self.changed: dict[Message, None] = {}
        """Messages that the next checkpoint writes, in the order in which they changed."""
        self._outputs = outputs
        self._lifetime = lifetime
        self._due: list[tuple[int, int, Message]] = []
        self._tick = count()

    def restore(self, queue_id: str, records: Records) -> None:
        """Take in the messages of an id that were stored as *records*."""
        self.slots.resting[queue_id] = records
        if all(rests(value) for _, value in records):
            return
        self.slots.wake(queue_id)
        for message in self.slots.messages[queue_id]:
            self._watch(message)

    def finish(self, touched: dict[Message, None], clock: int, clock_before: int) -> None:
        """Let go of what is done, after a record was merged: its rows are written and leave the state.

        *touched* are the messages that it changed; *clock* is the host's time with it and *clock_before* without.
        """
        for part in self.slots.absorbed:
            self.changed.pop(part, None)
            self._outputs.retract(part)
            self._outputs.forget(part)
        self.slots.absorbed.clear()
        for message in touched:
            if message.left:
                continue
            self.changed[message] = None
            if message.settled:
                self._let_deliveries_go(message)
            due = message.leaves_at()
            if due is not None and due <= clock:
                self._leave(message)
            else:
                self._watch(message, due)
        while self._due and self._due[0][0] <= clock:
            message = heapq.heappop(self._due)[2]
            if not message.left:
                self._come_due(message, clock)
        step = self._lifetime // _SWEEPS_IN_LIFETIME
        if clock // step != clock_before // step:
            self.sweep(clock - self._lifetime)

    def checkpoint(self) -> None:
        """Write what changed and stays."""
        for message in self.changed:
            self._outputs.write_message(message)
            self._outputs.store(message)
        self.changed.clear()

    def sweep(self, oldest: int) -> None:
        """Let go of messages from before *oldest*: no queue can hold them any more. That says nothing of them."""
        resting = self.slots.resting
        for queue_id in [q for q, records in resting.items() if any(arrival_in(key) < oldest for key, _ in records)]:
            self.slots.wake(queue_id)
        for message in [m for messages in self.slots.messages.values() for m in messages if m.arrived < oldest]:
            self._leave(message)

    def end(self) -> None:
        """Let go of all messages, of a host that is not heard of any more."""
        self.sweep(_NEVER)

    def __len__(self) -> int:
        """Return how many queue ids have an unfinished message."""
        return len(self.slots.messages) + len(self.slots.resting)

    def _watch(self, message: Message, due: int | None = None) -> None:
        if not message.settled:
            due = message.first + TOLERANCE
        elif due is None:
            due = message.leaves_at()
        if due is not None:
            heapq.heappush(self._due, (due, next(self._tick), message))

    def _come_due(self, message: Message, clock: int) -> None:
        if not message.settled:
            message.settled = True
            self.changed[message] = None
            message.touched.update(dict.fromkeys(message.deliveries))
            self._let_deliveries_go(message)
        due = message.leaves_at()
        if due is not None and due <= clock:
            self._leave(message)
        elif due is not None:
            self._watch(message, due)

    def _let_deliveries_go(self, message: Message) -> None:
        """Write the recipients that are done, and forget them: a list of 100,000 does not stay."""
        self._outputs.withdraw_moved(message)
        deliveries = message.deliveries
        for key in [key for key in message.touched if deliveries[key].status not in PENDING]:
            self._outputs.write_delivery(message, key)
            del deliveries[key], message.touched[key]

    def _leave(self, message: Message) -> None:
        self._outputs.write_message(message)
        self._outputs.forget(message)
        self.slots.discard(message)
        self.changed.pop(message, None)
