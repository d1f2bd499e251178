"""Postfix's log lines as facts. Pure: text in, facts out.

>>> from streams.parsing import parse
>>> parse("postfix/qmgr", "3F2A1B4C5D: from=<a@example.com>, size=541, nrcpt=1 (queue active)").message
{'sender': 'a@example.com', 'size': 541, 'recipient_count': 1}
"""

from streams.parsing.dispatch import parse
from streams.parsing.facts import PARSER, Attempt, Child, Parsed, Refusal, Session
from streams.parsing.senders import verp_id

__all__ = ["PARSER", "Attempt", "Child", "Parsed", "Refusal", "Session", "parse", "verp_id"]
