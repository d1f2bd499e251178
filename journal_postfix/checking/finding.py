"""What ``check`` says of one thing."""

from typing import Literal

import msgspec

Stage = Literal["produce", "stream", "sink", "read"]
"""Whose needs and rights are looked at: a stage's, or those of whoever looks at the mail."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    part: str
    """What it belongs to: ``settings``, ``log``, ``Kafka``, ``PostgreSQL``, ``clock``."""
    good: bool
    text: str
    advice: str = ""
    """What to do about it."""
