"""The JSON Schema files say what the structs say."""

import pytest

from schemas.json_schemas import FOLDER, RECORDS, text_of


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_file_is_up_to_date(name: str) -> None:
    file = FOLDER / f"{name}.schema.json"
    assert file.read_text(encoding="utf-8") == text_of(name), "run `make schemas`"


def test_there_is_no_other_schema_file() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.schema.json" for name in RECORDS}
