"""A connection that fails is for a person to mend, or will work by itself later."""

import pytest

from schemas.database_refusals import what_to_do


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ('FATAL: password authentication failed for user "u"', "database.password_file"),
        ("fe_sendauth: no password supplied", "database.password_file"),
        ('FATAL: no pg_hba.conf entry for host "h", user "u", database "d", no encryption', "pg_hba.conf"),
        ('FATAL: no pg_hba.conf entry for host "h", user "u", database "d", SSL encryption', "pg_hba.conf"),
        ('private key file "k" has group or world access; file must have permissions u=rw (0600)', "database.sslkey"),
        ("SSL error: certificate verify failed", "database.sslrootcert"),
        ('root certificate file "none.pem" does not exist', "database.sslrootcert"),
        ('server certificate for "a" does not match host name "b"', "database.host"),
        ('FATAL: certificate authentication failed for user "u"', "your own"),
        ('FATAL: role "u" does not exist', "database.user"),
        ("server does not support SSL, but SSL was required", "database.sslmode"),
    ],
)
def test_what_only_a_person_can_mend_names_the_setting(reason: str, named: str) -> None:
    assert named in (what_to_do(reason) or "")


@pytest.mark.parametrize(
    "reason",
    [
        "Connection refused", "FATAL: the database system is starting up", "SSL SYSCALL error: EOF detected",
        "SSL SYSCALL error: Connection reset by peer", "SSL connection has been closed unexpectedly",
        "SSL error: unexpected eof while reading", "timeout expired",
    ],
)  # fmt: skip
def test_what_passes_is_tried_again(reason: str) -> None:
    assert what_to_do(reason) is None
