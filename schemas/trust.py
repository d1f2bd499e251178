"""Whom to trust where the settings name nobody: the certificate authorities of this system."""

import ssl
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

_USUAL: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Arch, Alpine
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),  # Fedora, Red Hat
    Path("/etc/ssl/ca-bundle.pem"),  # SUSE
    Path("/etc/ssl/cert.pem"),
)


def system_authorities(setting: str, usual: tuple[Path, ...] = _USUAL) -> Path:
    """Return the PEM file that Python trusts by default (``SSL_CERT_FILE``), else the first of the *usual* ones.

    The clients of Kafka and PostgreSQL come with an OpenSSL each, which look in the folders of the machines that they
    were built on, so they are told. Raises ConfigurationError, which names the *setting*, where there is none.
    """
    known = ssl.get_default_verify_paths().cafile
    if known is not None:
        return Path(known)
    for file in usual:
        if file.is_file():
            return file
    raise ConfigurationError(
        f"no certificate authorities were found on this system: install ca-certificates, or set {setting}"
    )
