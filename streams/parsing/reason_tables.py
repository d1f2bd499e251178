"""The reasons why mail was not delivered, and what says which: words of replies, enhanced status codes, SMTP codes."""

from typing import Final

REASONS: Final[dict[str, str]] = {
    "unknown-user": "the mailbox does not exist",
    "mailbox-disabled": "the mailbox exists and takes no mail: inactive, suspended, moved",
    "mailbox-full": "the mailbox is over its quota",
    "too-large": "the message is larger than the receiver takes",
    "greylisted": "refused for the first time, to be tried again soon",
    "rate-limited": "too much mail or too many connections in a while",
    "reputation": "the client's address is on a block list or has a bad name",
    "authentication-failed": "SPF, DKIM, DMARC or reverse DNS of the sender does not hold",
    "virus": "a virus or a dangerous attachment",
    "spam": "the content looks like spam",
    "content": "the content is not taken for another reason: header, line length, MIME, encoding",
    "sender-refused": "the envelope sender is not taken: unknown, of an unknown domain, blocked",
    "helo-refused": "the name in HELO is not taken",
    "relay-denied": "the receiver does not relay for the client, or is not responsible for the domain",
    "login-required": "the receiver wants the client to log in, or the login failed",
    "tls-required": "the receiver or the sender wants an encrypted connection",
    "tls-failed": "an encrypted connection could not be had: handshake, certificate, policy",
    "policy": "a rule of the receiver, not said more exactly",
    "unknown-domain": "the domain does not exist or takes no mail",
    "dns": "name servers did not answer, or wrongly",
    "connection-refused": "the next host takes no connection",
    "timed-out": "the next host did not answer in time",
    "unreachable": "no route to the next host",
    "connection-lost": "the next host hung up",
    "protocol-error": "the two hosts did not understand each other",
    "loop": "the mail goes round in circles",
    "too-many-recipients": "more recipients than the receiver takes at once",
    "unavailable": "the receiver can't take mail now: overload, full disk, maintenance",
    "local-error": "this host could not deliver: configuration, a program, a disk, a table",
    "suspended": "not tried: the destination failed before, or the administrator holds it back",
    "expired": "given up after the queue's lifetime",
    "other": "none of these",
}
"""Every reason, and what it means."""

PHRASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("loop", (
        "mail forwarding loop", "loops back to myself", "too many hops", "hop count exceeded", "mail loop",
        "routing loop",
        "too many received",
    )),
    # What speaks of the mailbox, the sender or the client comes before "policy" and "denied", which all of them say.
    ("greylisted", ("greylist", "graylist", "grey list", "gray list", "unknown triplet", "please come back later")),
    ("mailbox-full", (
        "mailbox full", "mailbox is full", "mailbox quota", "quota exceeded", "over quota", "overquota",
        "exceeded quota", "quota limit", "insufficient quota", "out of storage", "exceeded storage", "storage quota",
        "over the quota", "exceeds quota", "exhausted allowed storage", "overfull", "inbox is full", "disk quota",
        "not enough storage", "mailbox size limit exceeded", "mailfolder is full", "insufficient mailbox storage",
        "error writing message file too large",  # local(8): what mailbox_size_limit allows
    )),
    ("too-large", (
        "message size exceeds", "message too large", "message too big", "message is too large", "size exceeds",
        "size limit exceeded", "exceeds size limit", "exceeds fixed limit", "exceeds fixed maximum", "too large",
        "file too big", "maximum message size", "message length exceeds",
    )),
    ("mailbox-disabled", (
        "account disabled", "account is disabled", "mailbox disabled", "mailbox is disabled", "account is inactive",
        "account inactive", "inactive mailbox", "mailbox is inactive", "account has been disabled",
        "account suspended", "user is suspended", "account has been suspended", "mailbox locked", "no longer active",
        "user disabled", "is not accepting messages", "not accepting mail", "no longer accepts mail",
        "recipient suspended", "account closed", "account locked", "email account that you tried to reach is disabled",
    )),
    ("sender-refused", (
        "sender address rejected", "sender rejected", "sender denied", "sender not allowed", "sender is not allowed",
        "sender verify failed", "sender address has been blocked", "sender domain must exist", "domain of sender",
        "sender s domain", "blocked sender", "sender blocked", "sender is blocked", "from address is not allowed",
        "not owned by user", "invalid sender", "sender address does not", "bad sender", "unable to verify sender",
    )),
    ("helo-refused", (
        "helo command rejected", "helo name", "bad helo", "invalid helo", "ehlo helo", "helo ehlo", "helo rejected",
        "need fully qualified hostname",
    )),
    ("unavailable", ("verification in progress",)),
    ("dns", ("host not found try again", "type mx host not found try again")),
    ("policy", ("resolver rst",)),  # Exchange: the recipient takes mail of some senders only
    ("unknown-domain", (
        "domain not found", "domain does not exist", "domain doesn t exist", "unknown domain", "no such domain",
        "host not found", "unknown host", "nullmx", "null mx", "does not accept mail", "nxdomain", "no mx",
        "name or service not known", "malformed domain", "domain invalid", "bad destination system", "dns domain",
        "host found but no data record",
    )),
    ("unknown-user", (
        "user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such address",
        "unknown recipient", "recipient unknown", "recipient not found", "recipientnotfound", "user not found",
        "mailbox not found", "mailbox unavailable", "does not exist", "doesn t exist", "unknown address",
        "address unknown", "invalid recipient", "invalid mailbox", "invalid address", "unrouteable address",
        "unroutable address", "no mailbox here", "not a valid mailbox", "unknown local", "no such person",
        "not our customer", "undeliverable address", "bad destination mailbox", "user doesn t have a",
        "unknown virtual", "unverified address", "unknown or illegal alias", "mailbox unknown",
        "no account by that name", "account not available", "no valid recipients", "nonexistent", "non existent",
        "nosuchuser", "user invalid", "no such account", "alias not found", "doesn t have an account",
        "not a valid recipient",
    )),
    ("virus", (
        "virus", "malware", "infected", "trojan", "banned file", "banned attachment", "blocked attachment",
        "dangerous attachment", "illegal attachment", "executable attachment", "attachment type",
        "potentially dangerous", "potential security issue",
    )),
    # A rate is told with the address, or the domain that SPF or DKIM vouch for, that it is the rate of.
    ("rate-limited", ("unusual rate",)),
    ("reputation", ("ip you re using to send",)),  # Gmail, of an address that homes have
    ("authentication-failed", (
        "spf", "dkim", "dmarc", "sender policy framework", "unauthenticated", "not authorized to send",
        "not permitted to send", "openspf", "ptr record", "ptr resource record", "reverse dns", "rdns",
        "cannot find your hostname", "cannot find your reverse", "no ptr", "reverse lookup", "fcrdns",
        "authentication checks", "sender authentication", "message not authenticated", "does not pass authentication",
        "required authentication level",
    )),
    ("reputation", (
        "blocked using", "blacklist", "black list", "blocklist", "block list", "denylist", "spamhaus", "spamcop",
        "barracudacentral", "sorbs", "dnsbl", "rbl", "reputation", "poor ip", "ip has been blocked", "your ip",
        "client host blocked", "listed by", "listed at", "listed on", "listed in rbl", "senderbase", "senderscore",
        "banned sending ip", "ip address blocked", "ip blocked", "s3150", "cloudmark", "invaluement", "uceprotect",
        "user complaints", "network is on our", "bad ip", "dialup", "dynamic ip", "permanently deferred",
        "problem occurred ask your postmaster",
    )),
    ("local-error", (
        "command time limit exceeded", "command died", "mail system configuration error", "unable to create",
        "cannot update mailbox", "alias database", "maildir delivery failed", "user lookup error",
        "unknown mail transport error", "command line usage error", "command output", "queue file write error",
        "server configuration", "permission denied", "input output error", "read only file system", "cannot lock",
        "local data error", "internal software error", "local configuration error", "cannot open", "table lookup",
        "lookup problem", "temporary lookup failure", "error writing message", "can t create user output file",
        "mail transport unavailable", "server configuration problem",
    )),
    ("rate-limited", (
        "rate limit", "ratelimit", "too many connections", "too many messages", "too many concurrent",
        "too much mail", "too many emails", "throttl", "slow down", "rate exceeded", "connection rate",
        "concurrent connections", "connections from your", "too fast", "sending limit", "message limit",
        "temporarily deferred", "limit exceeded", "receiving mail too quickly", "receiving mail at a rate",
        "too frequently", "hourly limit", "daily limit", "daily user sending", "exceeded the limit",
        "too many sessions", "too many smtp sessions", "limits for how many messages",
    )),
    ("too-many-recipients", (
        "too many recipients", "recipients limit", "recipient limit", "too many rcpt", "maximum recipients",
    )),
    ("spam", (
        "spam", "junk mail", "unsolicited", "bulk mail", "uribl", "surbl", "phish", "considered uce", "bad content",
        "content filter", "high probability",
    )),
    ("tls-required", (
        "must issue a starttls", "starttls first", "tls required", "tls is required", "encryption required",
        "requires encryption", "requires tls", "requires starttls", "tls is not available", "starttls is required",
        "starttls required", "must use tls", "requiretls", "tls is required but was not offered",
        "encrypted connection",
    )),
    ("tls-failed", (
        "cannot start tls", "tls handshake", "certificate not trusted", "server certificate", "certificate verif",
        "untrusted certificate", "ssl connect", "handshake fail", "mta sts", "tlsa", "dane ", "no matching certificate",
        "tls negotiation", "no client certificate", "certificate has expired", "tls currently unavailable",
    )),
    ("login-required", (
        "authentication required", "authentication is required", "auth required", "must authenticate",
        "not logged in", "authentication failed", "authentication failure", "please log in", "smtp auth",
        "not authenticated", "invalid login", "username or password", "authenticate first", "invalid credentials",
    )),
    ("relay-denied", (
        "relay access denied", "relaying denied", "relay denied", "unable to relay", "relaying not",
        "relay not permitted", "not permitted to relay", "domain not hosted", "we do not relay", "not a relay",
        "relay prohibited", "open relay", "relaying is not", "not local", "allowed rcpthosts",
    )),
    ("dns", (
        "name service error", "host or domain name", "name server", "nameserver", "server failure", "servfail",
        "mx lookup", "unable to look up", "dns",
    )),
    ("connection-refused", ("connection refused", "actively refused")),
    ("timed-out", ("timed out", "timeout", "time out")),
    ("unreachable", (
        "no route to host", "network is unreachable", "host is unreachable", "host is down", "network unreachable",
        "address family not supported", "cannot assign requested address",
    )),
    ("connection-lost", (
        "lost connection", "connection reset", "connection closed", "broken pipe", "dropped connection",
        "connection dropped", "connection aborted",
    )),
    ("content", (
        "message content rejected", "line too long", "line length", "bare lf", "bare newline", "header", "mime ",
        "8bitmime", "smtputf8", "non ascii", "character set", "body type", "rfc 5322", "rfc5322", "rfc 2822",
        "rfc2822", "missing subject", "malformed message", "missing message id", "missing date", "missing from",
    )),
    ("suspended", ("deferred transport", "transport is held")),
    ("unavailable", (
        "service unavailable", "service not available", "service is unavailable", "service currently unavailable",
        "insufficient system", "insufficient disk",
        "out of memory", "disk full", "low on resources", "system not accepting", "temporarily unavailable",
        "temporary failure", "system load", "too busy", "server busy", "server ports busy", "resources temporarily",
        "internal error", "local problem", "internal server error", "shutting down", "maintenance", "try again",
        "overload", "no space left", "temporary local", "temporary error", "temporary problem", "server error",
    )),
    ("protocol-error", (
        "syntax error", "protocol error", "command not recognized", "command unrecognized", "bad sequence",
        "not implemented", "pipelining", "invalid command", "unrecognized command", "protocol synchronization",
        "malformed address", "bad address syntax", "without valid rcpt", "unexpected command",
    )),
    ("expired", ("administratively expired",)),
    ("policy", (
        "access denied", "policy", "rejected by", "not allowed", "not permitted", "administrative", "prohibited",
        "rejected due to", "blocked", "banned", "go away", "unauthorized", "client host rejected", "disallowed",
        "command rejected", "not welcome", "denied",
    )),
    ("connection-refused", ("refused to talk to me",)),
    ("suspended", ("delivery temporarily suspended",)),
)  # fmt: skip
"""Reasons by words that name them, only letters and digits, from the beginning of a word on (and to the end of one,
where a blank ends the phrase): the first decides."""

BY_STATUS: Final[dict[str, str]] = {
    "1.0": "unknown-user", "1.1": "unknown-user", "1.2": "unknown-domain", "1.3": "unknown-user", "1.4": "unknown-user",
    "1.6": "mailbox-disabled", "1.7": "sender-refused", "1.8": "sender-refused", "1.9": "sender-refused",
    "1.10": "unknown-domain",
    "2.0": "mailbox-disabled", "2.1": "mailbox-disabled", "2.2": "mailbox-full", "2.3": "too-large",
    "2.4": "unknown-user",
    "3.0": "unavailable", "3.1": "unavailable", "3.2": "unavailable", "3.3": "protocol-error", "3.4": "too-large",
    "3.5": "local-error",
    "4.0": "unreachable", "4.1": "timed-out", "4.2": "connection-lost", "4.3": "dns", "4.4": "unknown-domain",
    "4.5": "rate-limited", "4.6": "loop", "4.7": "expired",
    "5.0": "protocol-error", "5.1": "protocol-error", "5.2": "protocol-error", "5.3": "too-many-recipients",
    "5.4": "protocol-error", "5.5": "protocol-error", "5.6": "content",
    "6.0": "content", "6.1": "content", "6.2": "content", "6.3": "content", "6.5": "content", "6.6": "content",
    "6.7": "content", "6.9": "content", "6.10": "content",
    "7.0": "policy", "7.1": "policy", "7.2": "policy", "7.3": "policy", "7.4": "tls-failed", "7.5": "tls-failed",
    "7.8": "login-required", "7.9": "login-required", "7.10": "tls-required", "7.11": "tls-required",
    "7.13": "mailbox-disabled",
    "7.14": "policy", "7.17": "unknown-user", "7.18": "unknown-domain", "7.20": "authentication-failed",
    "7.21": "authentication-failed", "7.22": "authentication-failed", "7.23": "authentication-failed",
    "7.24": "authentication-failed", "7.25": "authentication-failed", "7.26": "authentication-failed",
    "7.27": "sender-refused", "7.28": "rate-limited", "7.29": "authentication-failed", "7.30": "tls-required",
}  # fmt: skip
"""Reasons by enhanced status code, without its class."""

BY_CODE: Final[dict[int, str]] = {
    421: "unavailable", 432: "rate-limited", 450: "unavailable", 451: "unavailable", 452: "unavailable",
    454: "unavailable",
    500: "protocol-error", 501: "protocol-error", 502: "protocol-error", 503: "protocol-error", 504: "protocol-error",
    521: "unknown-domain", 523: "too-large", 530: "login-required", 534: "login-required", 535: "login-required",
    538: "tls-required", 550: "policy", 551: "relay-denied", 552: "mailbox-full", 553: "policy", 554: "policy",
    555: "protocol-error", 556: "unknown-domain",
}  # fmt: skip
"""Reasons by SMTP code (RFC 5321, 4954, 7504)."""
