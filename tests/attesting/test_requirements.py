"""What can be asked of a scan, and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.attesting.requirements import check_age, check_requirements, parse_age
from auditor.errors import UsageError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def scanned(**other: Any) -> dict[str, Any]:
    return {
        "verdict": "pass",
        "findings": {"info": 3, "low": 0, "medium": 2, "high": 0, "critical": 0},
        "coverage": {"refused": 0},
        "detectors": [{"id": "shortcut", "status": "ok"}, {"id": "loss", "status": "inapplicable"}],
        "power": [{"attack": "badnets", "count": 20, "high": 40},
                  {"attack": "wanet", "count": None, "high": None}],
        "timeScanned": "2026-02-01T00:00:00Z",
        **other,
    }  # fmt: skip


@pytest.mark.parametrize(
    "met",
    ["pass", "any", "complete", "no-high", "no-critical", "detector:shortcut", "power:badnets<=50",
     "power:badnets<=40", "pass, no-high,complete"],
)  # fmt: skip
def test_met(met: str) -> None:
    assert check_requirements(scanned(), [met]) == []


@pytest.mark.parametrize(
    ("unmet", "says"),
    [
        ("no-medium", "2 medium"),
        ("no-info", "3 info, 2 medium"),
        ("detector:loss", "inapplicable"),
        ("detector:spectral", "absent"),
        ("power:badnets<=39", "as many as 40"),
        ("power:wanet<=1000", "can not promise"),
        ("power:sig<=50", "no figure for 'sig'"),
    ],
)
def test_unmet(unmet: str, says: str) -> None:
    (problem,) = check_requirements(scanned(), [unmet])
    assert says in problem


def test_a_failed_or_partial_scan() -> None:
    assert check_requirements(scanned(verdict="fail"), ["pass"])
    assert check_requirements(scanned(coverage={"refused": 2}), ["complete"])
    failed = scanned(detectors=[{"id": "loss", "status": "failed"}])
    assert check_requirements(failed, ["complete"]) == ["required complete, loss failed"]


def test_what_is_not_said_is_not_met() -> None:
    for text in ("pass", "complete", "no-high", "detector:x", "power:x<=1"):
        assert check_requirements({}, [text]), text


@pytest.mark.parametrize("text", ["", "no-big", "power:badnets", "power:badnets<50", "detector:"])
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(UsageError, match="expected pass, complete"):
        check_requirements(scanned(), [text])


def test_ages() -> None:
    assert parse_age("30d") == timedelta(days=30)
    assert parse_age("90m") == timedelta(minutes=90)
    for text in ("30", "d", "-1d", "1y", "999999d"):
        with pytest.raises(UsageError, match="such as 30d"):
            parse_age(text)


def test_a_scan_may_be_too_old_or_from_the_future() -> None:
    assert check_age(scanned(), None, NOW) == []
    assert check_age(scanned(), timedelta(days=28), NOW) == []
    (old,) = check_age(scanned(), timedelta(days=27), NOW)
    assert "28 days ago, allowed are 27 days" in old
    (ahead,) = check_age(scanned(timeScanned="2026-03-01T01:00:00Z"), None, NOW)
    assert "future" in ahead
    for time in ("", "2026-02-01T00:00:00", None):
        assert check_age(scanned(timeScanned=time), None, NOW)
