import pytest

from web.searches.addresses import Asked, asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.org", Asked("whole", ("ann@example.org",))),
        (" <ann@example.org> ", Asked("whole", ("ann@example.org",))),
        ("Ann@Example.ORG", Asked("whole", ("Ann@Example.ORG", "Ann@example.org", "ann@example.org"))),
        ("ÖZ@ÄB.Org", Asked("whole", ("ÖZ@ÄB.Org", "ÖZ@Äb.org", "Öz@Äb.org", "öz@äb.org"))),
        ("@MÜNCHEN.Example", Asked("domain", ("mÜnchen.example",))),
        ("*ÖZ*", Asked("pattern", ("%Öz%",))),
        ("root", Asked("whole", ("root",))),
        ("<>", Asked("whole", ("",))),
        ("@Example.ORG", Asked("domain", ("example.org",))),
        ("*@*.example.org", Asked("pattern", ("%@%.example.org",))),
        ("a_b%\\*@X.org", Asked("pattern", ("a\\_b\\%\\\\%@x.org",))),
    ],
)
def test_an_address_is_asked_for_whole_by_domain_or_by_pattern(text: str, expected: Asked) -> None:
    assert asked(text) == expected
