"""Pseudonyms: the same made-up name for the same person wherever rows of a day that is old enough name one.

``anna@example.org`` becomes ``~`` and 20 hexadecimal digits before ``@example.org``; a client's address becomes that of
its network. A pseudonym's pseudonym is itself, and what a merge made of rows is the same as what it makes of their
pseudonyms: rows may come late, twice, and be rewritten in any order.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

import msgspec

from schemas.deliveries import DeliveryFrom, DeliveryTo, Rejection
from schemas.merging import MAX_ENTRY_REPLY, merge_deliveries
from schemas.tls_sessions import TlsSession
from sinks.batches import Batch

DIGITS: Final = 20
"""Hexadecimal digits of a digest that a pseudonym has."""
ERASED: Final = "erased.invalid"
"""Domain of those who were erased: theirs are no names any more."""

MADE: Final = rf"^~[0-9a-f]{{{DIGITS}}}([@.]|$)"
"""Regular expression, also PostgreSQL's: an address, a client's name or a word that is a pseudonym."""

_is_made: Final = re.compile(rf"~[0-9a-f]{{{DIGITS}}}").fullmatch
_REMEMBERED: Final = 100_000
_NO_PERSON: Final = frozenset({"unknown", "localhost"})
"""What Postfix calls clients without a name, and itself."""
_AT_HOME: Final = frozenset(
    {"arpa", "box", "corp", "home", "internal", "intranet", "lan", "local", "localdomain", "private"}
)
"""Last labels of names that are a machine's, not a domain's, though they have two."""
_IPV4: Final = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_IPV6: Final = r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{0,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})"

_quoted: Final = re.compile(
    # Each begins where its run of characters does: a long text without any is looked through once.
    r"(?P<address>(?:\"(?:[^\"\\]|\\.){0,64}\"|(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]+)"
    r"@(?:[\w-]+(?:\.[\w-]+)*|\[[^\]\s]{0,64}\]))"
    r"|(?P<verp>(?<![\w.+~-])[\w.+~-]+=(?:[\w-]+\.)+[A-Za-z]{2,})"
    r"|(?P<link>(?<![\w.+~-])[\w.+~-]+%40(?:[\w-]+\.)+[A-Za-z]{2,})"
    rf"|(?P<client>(?<![\w.~-])[\w.~-]+\[(?:{_IPV4}|{_IPV6})\])"
    r"|(?P<word><[^<>@\s\[\]]{1,255}>)"
    rf"|(?P<ip>(?<![\w.])(?:{_IPV4})(?!\w|\.\w)|(?<![\w:.])(?:{_IPV6})(?![\w:.]))"
)

_before_address: Final = re.compile(
    # The parameter of a page, what follows a path, or a field of a record: nobody's local part has these.
    r"(?:(?:.*[`{|?](?:.*&)?|/.*[/&])['=]*(?:[A-Za-z_][\w-]*=)?"
    # Quotes, and the word before a plain name; ``anna=example.org`` is a name as VERP writes it.
    r"|['=/}]*(?:(?:id|user|from|to|rcpt|mail|email)=|[A-Za-z_]\w*=(?=[^=.]*\Z))?)['`{|]*",
    re.DOTALL,
)
"""What stands before an address without a blank, of the characters that an address may have: ``'``, ``/?id=``."""


class Pseudonyms:
    """Puts pseudonyms into rows that arrived before a day."""

    def __init__(self, digest: Callable[[str], bytes], before: str) -> None:
        """Make them of *digest*, which has the installation's key, for rows before the day *before* (2026-11-23)."""
        self.before = before
        self._digest = digest
        self.address = lru_cache(maxsize=_REMEMBERED)(self._address)
        self.client = lru_cache(maxsize=_REMEMBERED)(self._client)

    def apply(self, batch: Batch) -> bool:
        """Put pseudonyms into the rows of *batch* that are older; tell whether there were any."""
        messages = [row for key, row in batch.messages.items() if key[2] < self.before]
        for message in messages:
            self.message(message)
        deliveries = [key for key in batch.deliveries if key[2] < self.before]
        for old in deliveries:
            delivery = batch.deliveries.pop(old)
            self.delivery(delivery)
            new = (*old[:3], delivery.recipient, delivery.orig_recipient)
            known = batch.deliveries.setdefault(new, delivery)
            if known is not delivery:  # two spellings of one address
                merge_deliveries(known, delivery)
        rejections = [line for line in batch.rejections if line[0] < self.before]
        for line in rejections:
            batch.rejections[line] = self.rejection(batch.rejections[line])
        sessions = [line for line in batch.sessions if line[0] < self.before]
        for line in sessions:
            batch.sessions[line] = self.session(batch.sessions[line])
        return bool(messages or deliveries or rejections or sessions)

    def message(self, row: DeliveryFrom) -> None:
        """Put pseudonyms into a message. Each depends on its field alone: versions of a row know of different ones."""
        row.sender = _given(self.address, row.sender)
        row.sasl_username = _given(self.address, row.sasl_username)
        row.sasl_sender = _given(self.address, row.sasl_sender)
        row.client_name = _given(self.client, row.client_name)
        row.client_address = _given(network, row.client_address)
        row.client_port = None
        row.helo = _given(self.client, row.helo)
        row.subject = _given(self._word, row.subject)
        row.verp_id = _given(self._word, row.verp_id)
        row.orig_client = _given(self.text, row.orig_client)
        row.discard_reply = _given(self.text, row.discard_reply)
        row.reject_reply = _given(self.text, row.reject_reply)

    def delivery(self, row: DeliveryTo) -> None:
        """Put pseudonyms into a delivery. Its reply is cut as those of earlier attempts are, which it may become."""
        names = (row.recipient, row.orig_recipient)
        row.recipient, row.orig_recipient = self.address(row.recipient), self.address(row.orig_recipient)
        row.reply = self._reply(row.reply, names)
        row.history = [self._entry(entry, names) for entry in row.history]

    def rejection(self, row: Rejection) -> Rejection:
        """Return a rejection with pseudonyms."""
        reply = row.reply
        for name in (row.client_name, row.helo):
            if name and (new := self.client(name)) != name:
                reply = re.sub(rf"(?<![\w.~-]){re.escape(name)}(?![\w-]|\.\w)", new, reply)
        return msgspec.structs.replace(
            row,
            sender=_given(self.address, row.sender),
            recipient=_given(self.address, row.recipient),
            sasl_username=_given(self.address, row.sasl_username),
            client_name=_given(self.client, row.client_name),
            client_address=_given(network, row.client_address),
            client_port=None,
            helo=_given(self.client, row.helo),
            reply=self.text(self._without_local_parts(reply, (row.sender or "", row.recipient or ""))),
        )

    def session(self, row: TlsSession) -> TlsSession:
        """Return a client's session with pseudonyms; one with a server as it is."""
        if row.direction != "from":
            return row
        return msgspec.structs.replace(
            row,
            peer_name=_given(self.client, row.peer_name),
            peer_address=_given(network, row.peer_address),
            peer_port=None,
        )

    def name(self, kind: str, name: str) -> str:
        """Return what stands for a name of `known_names`."""
        return self.client(name) if kind == "client" else self.address(name)

    def text(self, text: str) -> str:
        """Return a text that a server said, with pseudonyms for the addresses and clients that it quotes."""
        done = None
        while text != done:  # what a pseudonym stands beside may read as something else then
            done, text = text, self._with_stand_ins(text)
        return text

    def _with_stand_ins(self, text: str) -> str:
        parts, start = [], 0
        while found := _quoted.search(text, start):
            parts += [text[start : found.start()], self._stand_in(found)]
            start = found.end()
            if found.lastgroup == "address":  # behind it one may begin: ``anna@example.org|bob@example.org``
                text, start = text[start:], 0
        return "".join([*parts, text[start:]])

    def _address(self, name: str) -> str:
        local, at, domain = name.rpartition("@")
        if not at:
            local, domain = name, ""
        if not local or _is_made(local) or domain == ERASED:
            return name
        return f"{self._made(name)}{at}{domain.lower()}"

    def _client(self, name: str) -> str:
        """Return what stands for a host's name: its domain stays."""
        if not name or name.lower() in _NO_PERSON or _is_made(name.partition(".")[0]):
            return name
        bare = name.removeprefix("[").removesuffix("]")
        if _ip(bare) is not None:
            return name.replace(bare, network(bare))
        labels = name.lower().rstrip(".").split(".")
        if len(labels) == 2 and all(labels) and labels[1] not in _AT_HOME:  # noqa: PLR2004 - such as example.org
            return name
        return ".".join([self._made(name), *labels[1:][-2:]])

    def _word(self, text: str) -> str:
        return self._made(text) if text and not _is_made(text) else text

    def _made(self, name: str) -> str:
        return pseudonym(self._digest(name))

    def _entry(self, entry: str, names: Iterable[str]) -> str:
        """Return an attempt of a history (`schemas.merging.attempt_entry`): its last field is a reply."""
        *fields, reply = entry.split("\t", 6)
        return "\t".join([*fields, self._reply(reply, names)])

    def _reply(self, reply: str, names: Iterable[str]) -> str:
        """Return a reply of what the row and the history have in common, so that both become the same.

        The last word of what was cut may be half an address. One character shorter than what is cut: done once more,
        nothing is.
        """
        text = reply[:MAX_ENTRY_REPLY]
        if len(reply) >= MAX_ENTRY_REPLY:
            text = re.sub(r"\S+$", "", text)
        done = None
        while text != done:  # a pseudonym that was cut may read as something else
            done = text
            text = self.text(self._without_local_parts(text, names))[: MAX_ENTRY_REPLY - 1]
        return text

    def _without_local_parts(self, text: str, names: Iterable[str]) -> str:
        """Return *text* without the local parts of *names* where they stand alone: ``unknown user: "anna"``."""
        for name in names:
            local = name.rpartition("@")[0] or name
            if local and not _is_made(local) and local.lower() in text.lower():
                pattern = (
                    rf"(?:(?<=[\"'<(\[/])|(?<=\buser )|(?<=\buser: )|(?<=\bmailbox )){re.escape(local)}(?![\w@=+-])"
                )
                text = re.sub(pattern, self._made(name), text, flags=re.IGNORECASE)
        return text

    def _stand_in(self, match: re.Match[str]) -> str:
        found = match[0]
        kind = match.lastgroup
        if kind == "address":
            local = found.rpartition("@")[0]
            before = _before_address.match(local)
            start = before.end() if before is not None and not found.startswith('"') else 0
            return found if start == len(local) else found[:start] + self.address(found[start:])
        if kind in {"verp", "link"}:
            local, at, domain = found.rpartition("=" if kind == "verp" else "%40")
            return found if _is_made(local) else f"{self._made(f'{local}@{domain}')}{at}{domain.lower()}"
        if kind == "client":
            name, _, address = found[:-1].partition("[")
            return f"{self.client(name)}[{network(address)}]"
        if kind == "word":
            return f"<{self.client(found[1:-1])}>"
        return network(found)


def pseudonym(digest: bytes) -> str:
    """Return the local part, or the host's label, that stands for a name with *digest*."""
    return f"~{digest.hex()[:DIGITS]}"


@lru_cache(maxsize=_REMEMBERED)
def network(address: str) -> str:
    """Return the first address of the network (/24, /48) of an IP address; loopback, and what is none, as it is."""
    ip = _ip(address)
    if ip is None or ip.is_loopback:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return f"::ffff:{network(str(ip.ipv4_mapped))}"
    bits = 24 if ip.version == 4 else 48  # noqa: PLR2004 - the version's number
    return str(ipaddress.ip_network((ip, bits), strict=False).network_address)


def _given(change: Callable[[str], str], value: str | None) -> str | None:
    return None if value is None else change(value)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
