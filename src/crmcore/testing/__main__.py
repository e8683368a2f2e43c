"""``python -m crmcore.testing URL``: holds the store that a URL names to the storage contract, and counts what ran."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence

from crmcore.errors import CRMError
from crmcore.storage import StoreURL
from crmcore.testing.clause import CONTRACT_VERSION
from crmcore.testing.contract import StoreContract
from crmcore.testing.places import places
from crmcore.testing.report import Report, Result, run_contract

OK, FAILED, USAGE = 0, 1, 2


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _contract(text: str) -> type[StoreContract]:
    """Raises :class:`ValueError` for what names no contract of a store."""
    module, _, name = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as problem:  # the module is somebody's
        raise ValueError(f"there is no contract {text}: {type(problem).__name__}: {problem}") from problem
    if not (isinstance(found, type) and issubclass(found, StoreContract)):
        raise ValueError(f"{text} is no subclass of StoreContract")
    return found


def _examples(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crmcore.testing", description=__doc__)
    parser.add_argument(
        "url", help="the store: a file (its folder is used, never the file itself) or an empty database"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--only", nargs="+", metavar="ID", help="only these clauses; no floors then")
    parser.add_argument("--examples", type=_examples, metavar="N", help="random cases per random clause (15)")
    parser.add_argument("--version", type=_version, default=CONTRACT_VERSION, help="the contract as of this version")
    parser.add_argument(
        "--contract",
        default="crmcore.testing:StoreContract",
        metavar="MODULE:CLASS",
        help="a subclass of the contract, with its expected failures",
    )
    return parser


def _told(report: Report) -> str:
    lines = [f"{'family':<14} passed  failed  expected  skipped"]
    for family, counts in report.counts().items():
        lines.append(
            f"{family:<14} {counts['passed']:>6}  {counts['failed']:>6}  {counts['expected']:>8}  {counts['skipped']:>7}"
        )
    return "\n".join([*lines, "", str(report)])


def _progress(result: Result) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{result.clause.id:<20} {result.outcome:<10}")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code: 0 all holds, 1 something is broken or wasn't tried, 2 it could not begin."""
    asked = _parser().parse_args(arguments)
    try:
        contract = _contract(asked.contract)
        with places(asked.url, examples=asked.examples) as harness:
            report = run_contract(harness, contract, only=asked.only, version=asked.version, tell=_progress)
            backend = harness().backend
    except (CRMError, ValueError, ImportError, OSError) as problem:
        sys.stderr.write(f"crmcore.testing: {problem}\n")
        return USAGE
    if asked.json:
        facts = {
            "url": str(StoreURL.parse(asked.url)),
            "backend": f"{type(backend).__module__}.{type(backend).__qualname__}",
            "capabilities": sorted(backend.capabilities),
            "contract": ".".join(map(str, asked.version)),
        }
        told = json.dumps({**facts, **report.to_plain()}, ensure_ascii=False, indent=2)
    else:
        told = _told(report)
    sys.stdout.write(f"{told}\n")
    return OK if report.ok else FAILED


if __name__ == "__main__":
    sys.exit(main())
