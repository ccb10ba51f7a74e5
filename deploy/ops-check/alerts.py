"""Each alert has a case in deploy/prometheus/tests, labels and texts that help, and a page in docs/runbook; each page has an alert."""

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/runbook"
PREFIX = "https://rastro.example/docs/runbook/"
SEVERITIES = {"critical", "warning"}
# What a page must tell.
PARTS = ("## What it means", "## How to see", "## What to do", "## How to know that it is over")


def faults():
    """What is wrong, a line each."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/alerts.yml").read_text(encoding="utf-8"))
    cases = yaml.safe_load((ROOT / "deploy/prometheus/tests/alerts.yml").read_text(encoding="utf-8"))
    raised, named = set(), set()
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            named.add(case["alertname"])
            if case["exp_alerts"]:
                raised.add(case["alertname"])
    linked = set()
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for rule in alerts:
        name, notes = rule["alert"], rule.get("annotations", {})
        if name not in raised:
            yield f"{name}: no case raises it"
        if rule.get("labels", {}).get("severity") not in SEVERITIES:
            yield f"{name}: its severity is none of {sorted(SEVERITIES)}"
        for note in ("summary", "description", "runbook_url"):
            if not notes.get(note):
                yield f"{name}: no {note}"
        link = notes.get("runbook_url", "")
        page = link.removeprefix(PREFIX)
        linked.add(page)
        if not link.startswith(PREFIX) or not (PAGES / page).is_file():
            yield f"{name}: {link} is no page of docs/runbook"
            continue
        text = (PAGES / page).read_text(encoding="utf-8")
        if name not in text:
            yield f"{page}: does not name {name}"
        for part in PARTS:
            if part not in text:
                yield f"{page}: no '{part}'"
    for name in named - {rule["alert"] for rule in alerts}:
        yield f"{name}: has a case and is no alert"
    index = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    for page in sorted(PAGES.glob("*.md")):
        if f"runbook/{page.name}" not in index:
            yield f"docs/runbook.md does not lead to {page.name}"
        of_an_alert = PARTS[0] in page.read_text(encoding="utf-8")
        if of_an_alert and page.name not in linked:
            yield f"{page.name}: no alert leads to it"
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", index):
        if not (ROOT / "docs" / target).exists():
            yield f"docs/runbook.md leads to {target}, which is not there"


found = list(faults())
print("\n".join(found))
sys.exit(bool(found))
