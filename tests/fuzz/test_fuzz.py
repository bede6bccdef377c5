"""A short run of every target with a fixed seed, and that a run notices whatever goes wrong in it."""

from __future__ import annotations

import sys
from random import Random

import pytest

from tests.fuzz import targets

if sys.platform != "linux":
    pytest.skip("needs Linux's limits on memory and processor time", allow_module_level=True)

from tests.fuzz.running import run

FAULTY = "tests.fuzz.targets.faulty"


@pytest.mark.parametrize(
    ("name", "cases"),
    [("modelfile", 1000), ("go", 300), ("jinja", 60), ("gguf", 600), ("sources", 120), ("messages", 200)],
)
def test_nothing_is_found(name: str, cases: int) -> None:
    report = run(targets.MODULES[name], 1, cases=cases)
    assert report.finds == []
    assert report.cases == cases
    assert 0 < report.accepted < cases


def test_every_fault_is_found() -> None:
    cases = [targets.load(FAULTY).case(Random(f"14 {index}")) for index in range(12)]
    assert set(cases) == {"fine", "refused", "raises", "runs on", "dies", "hoards"}
    report = run(FAULTY, 14, cases=len(cases))
    said = {
        "raises": "LookupError: odd",
        "runs on": "more processor time than a case may take",
        "dies": "killed by signal 6",
        "hoards": "MemoryError",
    }
    assert [find.case for find in report.finds] == [index for index, case in enumerate(cases) if case in said]
    for find in report.finds:
        assert said[cases[find.case]] in find.report
    assert report.cases == len(cases)
    assert report.accepted == cases.count("fine")
