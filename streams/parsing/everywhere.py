"""What any daemon may log besides its own lines: connections, TLS, tables, and what ``-v`` and debug settings add.

``src/tls/``, ``src/util/dict*.c``, ``src/master/*_server.c``, ``src/global/``, ``src/milter/``, ``src/dns/``.
"""

from typing import Final

from streams.parsing.formats import Format, quiet, quiet_pattern
from streams.parsing.sessions import SESSIONS
from streams.parsing.tokens import CLIENT

_TLS: Final = (
    *SESSIONS,
    *quiet(
        "tls", "Anonymous TLS connection ", "Untrusted TLS connection ", "Trusted TLS connection ",
        "Verified TLS connection ", "TLS connection ", "SSL_connect", "SSL_accept", "SSL3 alert ",
        "TLS library problem",
        "setting up TLS connection ", "initializing the ", "Server certificate ", "server certificate ",
        "Peer certificate ", "Client certificate ", "certificate verification failed", "certificate peer name ",
        "Cannot start TLS", "TLSA lookup ", "TLS SNI ", "TLSRPT: ", "TLS handshake ", "TLS cipher ",
        "Host offered STARTTLS",
        "Used TLS for ", "Unverified: ", "Verified: ", "Verified ", "Trusted: ", "Untrusted: ", "fingerprint=",
        "subject=",
        "subject_CN=", "issuer=", "issuer_CN=", "cannot load ", "cannot set default OpenSSL ", "cannot get ",
        "TLS support is not ", "no shared cipher", "reloaded session ", "Reusing old session", "remove session ",
        "looking for session ", "save session ", "write smtp TLS cache ", "write smtpd TLS cache ", "lookup smtp",
        "put smtp", "delete smtp", "open smtp", "close smtp", "auto-", "request from client ", "exiting to reopen ",
        "lost connection to EGD ", "DANE TLSA ", "ignoring DNS RR: ", "removing session ", "using DANE RR: ",
        "read from ", "write to ", "tls_",
    ),
    quiet_pattern("tls", r"[0-9a-f]{4} (?:[0-9a-f]{2}[ -]|- <)", "hex dumps"),
)  # fmt: skip

_TABLES: Final = quiet(
    "housekeeping", "table ", "database ", "dict_", "close database ", "open database ", "Run-time linked ",
    "using config files in ", "using backwards-compatible ", "To disable backwards compatibility ",
    "Postfix is using ", "Postfix is running ", "See http", "skipping address family ", "cache ", "redirecting ",
    "statistics: ", "end of-", "name_mask: ", "running: ", "discarding EHLO ", "import_", "process ",
    "running out of ", "configuration ", "reload", "refreshing ", "starting ", "stopping ", "terminating ", "run-time ",
    "daemon started", "mapping DSN ", "master exit time ", "idle timeout", "watchdog ",
)  # fmt: skip

_CONNECTIONS: Final = (
    *quiet(
        "connection", "connect from ", "disconnect from ", "lost connection ", "timeout ", "connect to ", "connection ",
        "Connection ", "trying... ", "conversation with ", "host ", "hostname ", "peer ", "private/", "public/",
        "problem talking to ", "premature end-of-input", "unexpected attribute ", "milter ", "event: ", "proxymap ",
    ),
    quiet_pattern("connection", rf"{CLIENT}(?:: | )", "host[address]: …"),
)  # fmt: skip

_DEBUGGING: Final = (
    *quiet(
        "debug", "> ", "< ", ">>> ", "<<< ", "input attribute ", "send attr ", "wanted attribute", "been_here: ",
        "report ", "reply: ", "abort ", "disconnect event ", "vstream_", "fd=", "proxy-", "free ", "lookup ",
        "initial envelope ", "extracted envelope ", "done incoming ", "done deferred ", "start move ", "end move ",
        "request: ", "request ignored", "wakeup ", "recipient limit ", "connecting to ", "global TLS level: ",
        "fsspace: ", "before input_", "after input_", "cleanup flags = ", "send ", "receive ", "inspect content ",
        "enter cleanup_", "leave cleanup_", "PUSH boundary ", "POP boundary ", "read A ", "read E ", "read F ",
        "read L ", "read M ", "read N ", "read R ", "read S ", "read T ", "read X ",
        "fp: ", "offset: ", "sender: ", "recipient: ", "user: ", "domain: ", "local: ", "extension: ", "unmatched: ",
        "owner: ", "delivered: ", "relay: ", "why: ", "forward delivered=",
    ),
    quiet_pattern("debug", r"[\w.:/\[\]-]{1,80} socket: wanted attribute: ", "SERVICE socket: wanted attribute: …"),
    quiet_pattern("debug", r"[a-z][a-z0-9]*_[a-z0-9_]+(?::|\[| =|\(|$)", "function_name: …"),
)  # fmt: skip

EVERYWHERE: Final[tuple[Format, ...]] = (*_TLS, *_TABLES, *_CONNECTIONS, *_DEBUGGING)
"""Tried after a daemon's own formats, whatever stands before the text."""
