"""What became of the tests of a policy: results, what they exercised, and the form CI reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from policies.polar.source import Span


@dataclass(frozen=True, slots=True)
class FailedAssertion:
    """An assertion that did not come true.

    `message` is one sentence; `details` are lines that say more: answers that are missing or
    unexpected, the rules of a proof, what was lacking.
    """

    span: Span
    message: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join((f"{self.span}: {self.message}", *self.details))


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one test."""

    name: str
    span: Span
    failures: tuple[FailedAssertion, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failures


@dataclass(frozen=True, slots=True)
class ConditionCoverage:
    """A condition, exercised if some denial that a test asserts rests on it alone."""

    span: Span
    exercised: bool


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """A rule, proved if the proof of some answer to an assertion uses it.

    `label` is the head of the rule, that of its expansion if it is a shorthand. `conditions` is
    empty for a run that did not look at them.
    """

    span: Span
    label: str
    proved: bool
    conditions: tuple[ConditionCoverage, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every rule that is written in the policy, in reading order; stated facts are no rules."""

    rules: tuple[RuleCoverage, ...]

    @property
    def unproved(self) -> tuple[RuleCoverage, ...]:
        return tuple(rule for rule in self.rules if not rule.proved)

    @property
    def unexercised(self) -> tuple[ConditionCoverage, ...]:
        return tuple(one for rule in self.rules for one in rule.conditions if not one.exercised)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the tests of a policy, in reading order."""

    results: tuple[TestResult, ...]
    coverage: Coverage

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


# What XML 1.0 cannot hold, even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """Return *report* as a JUnit XML document, one test case for each test."""
    failed = sum(not result.passed for result in report.results)
    seconds = sum(result.seconds for result in report.results)
    counts = {
        "tests": str(len(report.results)),
        "failures": str(failed),
        "errors": "0",
        "skipped": "0",
        "time": f"{seconds:.6f}",
    }
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": "policy", **counts})
    for result in report.results:
        suite.append(_case(result))
    ET.indent(suites)
    document = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _case(result: TestResult) -> ET.Element:
    file = _clean(result.span.file)
    about = {"name": _clean(result.name), "classname": file, "file": file}
    about |= {"line": str(result.span.line), "time": f"{result.seconds:.6f}"}
    case = ET.Element("testcase", about)
    if result.failures:
        # One element for all of them: many readers of this format show only the first.
        message = {"message": _clean(result.failures[0].message), "type": "assertion"}
        text = "\n".join(map(str, result.failures))
        ET.SubElement(case, "failure", message).text = _clean(text)
    return case


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
