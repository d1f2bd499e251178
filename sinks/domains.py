"""Which recipient domains fail: the few that fail most often of late, whatever a log has of others."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from schemas.deliveries import DeliveryTo

_is_domain = re.compile(r"[\w.\-:\[\]]{1,253}").fullmatch
_KEPT_FOR_EACH: Final = 8
"""Domains counted for each one that is told: one that fails a little is not forgotten for one that came once."""
_HALF_LIFE_SECONDS: Final = 900.0
_FORGOTTEN: Final = 0.05
"""Weight of a domain that is counted no more: a failure of an hour ago."""

FAILED: Final = frozenset({"deferred", "bounced", "SOFTBOUNCE", "expired"})


class DomainCounts(NamedTuple):
    """Deliveries to a domain since it began to be counted: the latest attempts of a while, not a sum of all mail."""

    domain: str
    attempts: int
    failed: int


class _Counted:
    __slots__ = ("attempts", "failed", "weight")

    def __init__(self, weight: float) -> None:
        self.attempts = self.failed = 0
        self.weight = weight


class FailingDomains:
    """Counts attempts by recipient domain, for at most so many: space-saving by failures that lose weight with age.

    A domain enters when a delivery to it fails, in the place of the one with the least weight, which it inherits: one
    that fails often is in it, however many others fail once.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell of *most* domains; 0: count nothing."""
        self._most: Final = most
        self._clock: Final = clock
        self._halved_at = clock()
        self._counted: dict[str, _Counted] = {}

    def count(self, deliveries: Iterable[DeliveryTo]) -> None:
        """Count the latest attempt of each delivery."""
        if not self._most:
            return
        self._forget()
        attempts = Counter([(row.recipient.rpartition("@")[2], row.status in FAILED) for row in deliveries])
        failed: Counter[str] = Counter()
        tried: Counter[str] = Counter()
        for (written, bad), times in attempts.items():
            if _is_domain(domain := written.lower()):
                tried[domain] += times
                if bad:
                    failed[domain] += times
        new = Counter({domain: times for domain, times in failed.items() if domain not in self._counted})
        for domain, _ in new.most_common(self._most):  # to make room takes time: not for each of thousands
            self._enter(domain)
        for domain, times in failed.items():
            if (counted := self._counted.get(domain)) is None:
                continue
            counted.failed += times
            counted.weight += times
        for domain, times in tried.items():
            if (known := self._counted.get(domain)) is not None:
                known.attempts += times

    def worst(self) -> Iterator[DomainCounts]:
        """Yield the domains that fail most often of late, at most so many; for any thread."""
        ranked = sorted(self._counted.copy().items(), key=lambda item: (-item[1].weight, item[0]))
        for domain, counted in ranked[: self._most]:
            yield DomainCounts(domain, counted.attempts, counted.failed)

    def _enter(self, domain: str) -> None:
        weight = 0.0
        if len(self._counted) >= self._most * _KEPT_FOR_EACH:
            least = min(self._counted, key=lambda name: self._counted[name].weight)
            weight = self._counted.pop(least).weight
        self._counted[domain] = _Counted(weight)

    def _forget(self) -> None:
        """Halve the weights now and then, and forget who has hardly any."""
        if self._clock() - self._halved_at < _HALF_LIFE_SECONDS:
            return
        self._halved_at = self._clock()
        for counted in self._counted.values():
            counted.weight /= 2
        self._counted = {name: counted for name, counted in self._counted.items() if counted.weight > _FORGOTTEN}
