"""The ledger of tests ported from zarr-python: every test it names is there, and none of theirs is listed twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from ported_ledger import COVERED, LEFT

TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize("file", COVERED)
def test_the_tests_that_the_ledger_names_are_there(file: str) -> None:
    for ours in COVERED[file]:
        module, name = ours.split("::")
        assert re.search(rf"^def {name}\(", (TESTS / module).read_text("utf-8"), re.MULTILINE), ours


@pytest.mark.parametrize("file", COVERED)
def test_the_ledger_lists_each_of_their_tests_once(file: str) -> None:
    names = [name for part in (COVERED[file], LEFT[file]) for listed in part.values() for name in listed.split()]
    assert [name for name, times in Counter(names).items() if times > 1] == []
