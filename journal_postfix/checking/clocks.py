"""Do the clocks agree? Times of mail come from mail hosts; days, retention and what is waited for go by the others'."""

from typing import Final

from journal_postfix.checking.finding import Finding

MOST: Final = 5.0
"""Seconds that two clocks may be apart."""

_ADVICE: Final = "let NTP set the clocks of both (timedatectl, chronyc tracking)"


def compared(whose: str, theirs: float, before: float, after: float) -> Finding:
    """Return what to say of a clock that showed *theirs* at a moment between *before* and *after* of ours.

    All are seconds since 1970.
    """
    ahead = max(theirs - after, 0.0) or min(theirs - before, 0.0)
    if abs(ahead) > MOST:
        which = "ahead of" if ahead > 0 else "behind"
        return Finding("clock", good=False, text=f"{whose} clock is {abs(ahead):.0f} s {which} ours", advice=_ADVICE)
    return Finding("clock", good=True, text=f"{whose} clock agrees with ours")


def newest_record(topic: str, newest: float, now: float) -> Finding:
    """Return what to say of *topic*, whose newest record is dated *newest*: nothing is written in the future.

    Both are seconds since 1970. A broker tells its clock to nobody, but takes no record that is much ahead of it.
    """
    ahead = newest - now
    if ahead > MOST:
        return Finding(
            "clock",
            good=False,
            text=f"a record of {topic} is dated {ahead:.0f} s ahead of our clock: one of them is wrong",
            advice=_ADVICE,
        )
    return Finding("clock", good=True, text=f"no record of {topic} is dated ahead of our clock")
