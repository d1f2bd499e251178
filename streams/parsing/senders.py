"""Variable envelope return paths: a sender whose local part says which recipient or mailing it was sent for."""


def verp_id(sender: str, marker: str) -> str | None:
    """Return what stands behind *marker* in the local part of *sender*; None where it has none.

    >>> verp_id("bounces+verp-4711@list.example", "+verp-")
    '4711'
    >>> verp_id("owner+erika=example.org@list.example", "+")
    'erika=example.org'
    """
    local, at, _ = sender.rpartition("@")
    _, found, behind = (local if at else sender).partition(marker)
    return behind if found and behind else None
