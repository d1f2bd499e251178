"""May this Kafka user do its stage's work? The broker tells what a user may do with topics and groups that it asks for.

It does not tell what it may do with transactional ids: that shows when a stream worker starts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from journal_postfix import access
from journal_postfix.access import Rule
from journal_postfix.broker import TIMEOUT
from journal_postfix.checking.finding import Finding
from schemas.settings import Settings

_REFUSED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})

Lacking = Mapping[tuple[str, str], tuple[str, ...]]
"""By resource and name, as in a `Rule`: the operations that are not allowed."""


def lacking_rights(admin: AdminClient, rules: Sequence[Rule]) -> Lacking:
    """Return what the user of *admin* may not do of *rules*, as far as the broker tells.

    A topic or group that is not there lacks nothing, where the user may know that.
    """
    options: Mapping[str, Any] = {"include_authorized_operations": True, "request_timeout": TIMEOUT}
    ask: Mapping[str, Callable[[list[str]], Mapping[str, Any]]] = {
        "topic": lambda names: admin.describe_topics(TopicCollection(names), **options),
        "group": lambda names: admin.describe_consumer_groups(names, **options),
    }
    lacking = {}
    for resource, describe in ask.items():
        needed = {rule.name: rule.operations for rule in rules if rule.resource == resource}
        for name, future in describe([*needed]).items() if needed else ():
            allowed = _allowed(future)
            if allowed is not None and (missing := [o for o in needed[name] if o.lower() not in allowed]):
                lacking[resource, name] = tuple(missing)
    return lacking


def rights_findings(settings: Settings, work: access.Work, lacking: Lacking) -> Iterator[Finding]:
    """Yield what to say of the rights of *work*, of which *lacking* are missing."""
    user = settings.kafka.sasl_username or "NAME"
    for (resource, name), operations in lacking.items():
        yield Finding(
            "Kafka",
            good=False,
            text=f"{resource} {name}: this user lacks the right to {', '.join(operations)}",
            advice=f"give it: `journal-postfix acls {work} --principal User:{user}` prints how",
        )
    if not lacking:
        unseen = "; those for transactional ids show when a worker starts" if work == "stream" else ""
        yield Finding("Kafka", good=True, text=f"this user has the rights to topics and groups that it needs{unseen}")


def _allowed(future: Any) -> set[str] | None:
    """Return the names of the operations that are allowed, lower case; None where that is not known."""
    try:
        told = future.result().authorized_operations
    except KafkaException as error:
        return set() if error.args[0].code() in _REFUSED else None
    return None if told is None else {operation.name.replace("_", "").lower() for operation in told}
