"""Certificates of a test: an authority, servers as they should be and not, clients. PEM files, made anew each time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "key-canary-81c7"


class Pair:
    """A certificate and its key, as files; only their owner may read the key."""

    def __init__(self, folder: Path, name: str, leaf: trustme.LeafCert) -> None:
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self.both, self.encrypted_key = folder / f"{name}-both.pem", folder / f"{name}-encrypted.key"
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        self.certificate.write_bytes(chain)
        # PKCS #8: the one form that Java reads, too.
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEY_PASSWORD.encode()))
        for file, text in ((self.key, plain), (self.both, plain + chain), (self.encrypted_key, locked)):
            file.touch(mode=0o600)
            file.write_bytes(text)


class Authority:
    """An authority that issues certificates into *folder*; its own is `file`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def server(self, name: str, *hosts: str, expired: bool = False) -> Pair:
        """Issue a certificate for a server that is reached at *hosts*."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        leaf = self._authority.issue_cert(*hosts, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=until)
        return Pair(self._folder, name, leaf)

    def client(self, user: str, *, expired: bool = False) -> Pair:
        """Issue a certificate that says that its owner is *user*."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        leaf = self._authority.issue_cert(
            f"{user.replace('_', '-')}.clients.test",
            common_name=user,
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=until,
        )
        return Pair(self._folder, user if not expired else f"{user}-expired", leaf)
