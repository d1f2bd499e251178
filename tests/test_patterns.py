"""No pattern uses what Python before 3.11.5 gets wrong: a possessive quantifier, or an atomic group, around a group.

Debian 12 has Python 3.11.2, where `(?:ab|c)*+` loses matches that it had: deliveries were once held to be cut lines.
"""

import json
import subprocess
import sys
from re import _parser as parser  # type: ignore[attr-defined]

_PATTERNS = """
import importlib, json, pkgutil, re, sys
ours, original = [], re.compile
packages = ("producers", "schemas", "streams", "sinks", "web", "journal_postfix")
def compile(pattern, flags=0):
    if sys._getframe(1).f_globals["__name__"].partition(".")[0] in packages:
        ours.append((pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern, int(flags)))
    return original(pattern, flags)
re.compile = compile
for package in map(importlib.import_module, packages):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", "journal_reader")):
            importlib.import_module(module.name)
print(json.dumps(ours))
"""


def _parts(tree: object) -> list[tuple[object, object]]:
    """Every operation of a parsed pattern, those inside others too."""
    found: list[tuple[object, object]] = []
    if isinstance(tree, tuple) and len(tree) == 2 and type(tree[0]).__name__ == "_NamedIntConstant":
        found.append((str(tree[0]), tree[1]))
    if not isinstance(tree, str | bytes | int | None) and hasattr(tree, "__iter__"):
        for part in tree:
            found += _parts(part)
    return found


def _risky(pattern: str, flags: int) -> bool:
    for operation, argument in _parts(list(parser.parse(pattern, flags))):
        if operation == "ATOMIC_GROUP":
            return True
        if operation == "POSSESSIVE_REPEAT":
            _, _, body = argument  # type: ignore[misc]
            if len(body) != 1 or str(body[0][0]) not in {"IN", "LITERAL", "NOT_LITERAL", "ANY"}:
                return True
    return False


def test_the_check_sees_what_it_is_for() -> None:
    assert _risky(r"x(?:ab|c)*+", 0)
    assert _risky(r"(?>ab)", 0)
    assert not _risky(r"[^,]*+(?:,[^,]*+)*a?+", 0)


def test_no_pattern_repeats_a_group_possessively() -> None:
    printed = subprocess.run([sys.executable, "-c", _PATTERNS], capture_output=True, text=True, check=True).stdout
    patterns = json.loads(printed)
    assert len(patterns) > 80
    assert [pattern for pattern, flags in patterns if _risky(pattern, flags)] == []
