"""The configuration of the lab's Postfix: main.cf, master.cf and their tables, as texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SERVICES: Final = ("smtpd", "submission", "filtered", "reinject", "milter", "postscreen")
"""The SMTP services; each has a port."""

SIZE_LIMIT: Final = 30_000
BOUNCE_LIFETIME: Final = 6
"""Seconds after which mail from the null sender expires."""
SASL_USER: Final = "alice@lab.test"
SASL_PASSWORD: Final = "correct horse"
REINJECT_CLIENT: Final = "127.0.0.1"


def main_cf(root: Path, *, long_ids: bool, syslog: bool, other: str | None = None) -> str:
    """Return main.cf of an instance that lives in *root*; with *syslog*, it logs there instead of to a file.

    *other* is the folder of a Postfix that is not the system's.
    """
    maps = root / "config"
    log = "" if syslog else f"maillog_file = {root}/log/mail.log\nmaillog_file_prefixes = {root}"
    programs = (
        f"command_directory = {other}/sbin\ndaemon_directory = {other}/libexec\nmeta_directory = {other}/etc\n"
        f"sendmail_path = {other}/sbin/sendmail\n"
        if other
        else ""
    )
    return (
        programs
        + f"""\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
{log}
enable_long_queue_ids = {"yes" if long_ids else "no"}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx1.lab.test
myorigin = lab.test
mydestination = lab.test
mynetworks = !127.77.0.0/16, 127.0.0.0/8
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
append_dot_mydomain = no
biff = no
notify_classes =
recipient_delimiter = +
propagate_unmatched_extensions = canonical, virtual, alias
default_privs = nobody
smtp_tls_security_level =
smtpd_tls_security_level =
smtpd_error_sleep_time = 0
message_size_limit = {SIZE_LIMIT}
bounce_queue_lifetime = {BOUNCE_LIFETIME}s
cyrus_sasl_config_path = {root}/config/sasl
alias_maps = texthash:{maps}/aliases
alias_database =
mail_spool_directory = {root}/spool/
transport_maps = texthash:{maps}/transport
virtual_alias_domains = alias.test
virtual_alias_maps = regexp:{maps}/virtual
virtual_mailbox_domains = vmail.test
virtual_mailbox_base = {root}/vmail
virtual_mailbox_maps = regexp:{maps}/mailboxes
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
header_checks = regexp:{maps}/header_checks
body_checks = regexp:{maps}/body_checks
smtpd_helo_required = yes
smtpd_client_restrictions = check_client_access cidr:{maps}/clients
smtpd_helo_restrictions = check_helo_access texthash:{maps}/helos
smtpd_sender_restrictions = check_sender_access regexp:{maps}/senders
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = warn_if_reject, check_recipient_access, regexp:{maps}/doubtful,
    check_recipient_access, regexp:{maps}/recipients
smtpd_data_restrictions = check_sender_access regexp:{maps}/at_data
smtpd_end_of_data_restrictions = check_sender_access regexp:{maps}/at_end
postscreen_access_list = cidr:{maps}/postscreen
postscreen_blacklist_action = enforce
postscreen_greet_wait = 1s
"""
    )


def master_cf(root: Path, ports: Mapping[str, int], filter_port: int, milter_port: int) -> str:
    """Return master.cf without any chroot; *ports* by service of SERVICES."""
    smtpd = {
        "smtpd": "",
        "submission": "-o syslog_name=postfix/submission -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_path=smtpd",
        "filtered": f"-o content_filter=labfilter:[127.0.0.1]:{filter_port}",
        "reinject": "-o syslog_name=postfix/reinject -o smtpd_authorized_xforward_hosts=127.0.0.0/8"
        " -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters",
        "milter": f"-o smtpd_milters=inet:127.0.0.1:{milter_port} -o milter_default_action=tempfail",
    }
    lines = [f"127.0.0.1:{ports[name]} inet n - n - - smtpd {options}" for name, options in smtpd.items()]
    lines += [
        f"127.0.0.1:{ports['postscreen']} inet n - n - 1 postscreen",
        "smtpd pass - - n - - smtpd",
        "dnsblog unix - - n - 0 dnsblog",
        "tlsproxy unix - - n - 0 tlsproxy",
        "pickup unix n - n 1 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "verify unix - - n - 1 verify",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "proxywrite unix - - n - 1 proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp -o syslog_name=postfix/relay",
        "labfilter unix - - n - 10 smtp -o syslog_name=postfix/labfilter -o smtp_send_xforward_command=yes",
        "showq unix n - n - - showq",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "local unix - n n - - local",
        "virtual unix - n n - - virtual",
        "lmtp unix - - n - - lmtp",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "postlog unix-dgram n - n - 1 postlogd",
        *(
            f"{name} unix - n n - - pipe flags=Rq user=nobody argv={root}/bin/{name}"
            for name in ("labpipe", "labtemp", "labperm")
        ),
    ]
    return "\n".join(lines) + "\n"


def tables(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the lookup tables by file name; *ports* of the peers."""
    to = {name: f"[127.0.0.1]:{port}" for name, port in ports.items()}
    transport = {
        **{f"{name}.test": f"smtp:{to['smtp']}" for name in ("ok", "later", "trick", "fake", "src", "app.src")},
        **{f"{name}.test": f"smtp:{to[name]}" for name in ("soft", "hard", "data", "drop", "refused", "tar")},
        "trick.test": f"relay:{to['smtp']}",
        **{f"{name}.test": f"lmtp:inet:{to['lmtp']}" for name in ("lmtp", "full")},
        "pipeok.test": "labpipe:",
        "pipetemp.test": "labtemp:",
        "pipeperm.test": "labperm:",
        "discard.test": "discard:silently",
        "error.test": "error:5.1.2 lab: this domain is closed",
        "retry.test": "retry:4.3.0 lab: not today",
    }
    return {
        "transport": "".join(f"{domain} {target}\n" for domain, target in transport.items()),
        "aliases": 'away onward@ok.test\nrun "|cat >/dev/null"\nruntemp "|exit 75"\nrunperm "|exit 69"\n',
        "virtual": r"""/^one-(.*)@alias\.test$/ c-$1@ok.test
/^many-(.*)@alias\.test$/ a-$1@ok.test, b-$1@hard.test, d-$1@discard.test
/^(first|second)-(.*)@alias\.test$/ same-$2@ok.test
""",
        "mailboxes": "/^r[0-9-]+@vmail\\.test$/ box/\n",
        "header_checks": """/^X-Lab: reject/ REJECT lab rejects; from=<no@fake.example>
/^X-Lab: discard/ DISCARD lab discards
/^X-Lab: hold/ HOLD lab holds
/^X-Lab: warn/ WARN lab warns
/^X-Lab: redirect ([^ ]+)/ REDIRECT $1
/^Subject: .*status=sent/ INFO
""",
        "body_checks": "/^lab: reject this body/ REJECT lab rejects the body\n",
        "clients": "127.66.0.0/16 REJECT lab knows you\n127.77.0.0/16 DUNNO\n",
        "helos": "bad.helo.test REJECT lab rejects your name\n",
        "senders": "/@spam\\.test$/ 554 5.7.1 lab rejects your sender\n",
        "doubtful": "/^doubtful-/ REJECT lab doubts it\n",
        "recipients": """/^reject-/ 550 5.1.1 lab says no such user
/^grey-/ 450 4.2.0 lab says: come back later
/^hold-/ HOLD lab holds for the recipient
/^drop-/ DISCARD lab discards for the recipient
/^warn-/ WARN lab warns of the recipient
/^info-/ INFO lab likes the recipient
/^elsewhere-/ REDIRECT elsewhere@ok.test
""",
        "at_data": "/^nodata-/ 550 5.7.1 lab rejects at DATA\n",
        "at_end": "/^noend-/ 550 5.7.1 lab rejects at the end\n",
        "postscreen": "127.88.0.0/16 reject\n127.0.0.0/8 permit\n",
    }


PROGRAMS: Final = {
    "labpipe": "cat >/dev/null\n",
    "labtemp": "cat >/dev/null; echo 'try (later), status=sent'; exit 75\n",
    "labperm": "cat >/dev/null; echo 'no such service'; exit 69\n",
}
"""What pipe(8) runs: shell scripts by name."""

SASL_CONF: Final = """pwcheck_method: auxprop
auxprop_plugin: sasldb
mech_list: PLAIN LOGIN
sasldb_path: {root}/sasl/sasldb2
"""
