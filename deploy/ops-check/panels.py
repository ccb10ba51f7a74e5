"""Prints every query of the dashboards as a recording rule, for promtool to read; ends with 1 when a dashboard cannot be laid out."""

import json
import re
import sys

import yaml

COLUMNS = 24
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*"}


def overlap(one, other):
    """Whether two panels lie on one another."""
    return (one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"])


def faults(board):
    """What is wrong with the layout, a line each."""
    panels = board["panels"]
    numbers = [panel["id"] for panel in panels]
    if len(set(numbers)) != len(numbers):
        yield "two panels have one id"
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for index, panel in enumerate(panels):
        place, title = panel["gridPos"], panel["title"]
        if place["x"] + place["w"] > COLUMNS:
            yield f"{title}: wider than the grid"
        for other in panels[:index]:
            if overlap(place, other["gridPos"]):
                yield f"{title} lies on {other['title']}"
        if panel["type"] == "row":
            continue
        if not panel.get("description") or not panel.get("targets"):
            yield f"{title}: no description or no query"
        for name in re.findall(r"\$\{?(\w+)", json.dumps(panel)):
            if not name.startswith("__") and name not in variables:
                yield f"{title}: the variable {name} is not there"


rules, found = [], []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    found += [f"{path}: {fault}" for fault in faults(dashboard)]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": query})
yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, sys.stdout)
print("\n".join(found), file=sys.stderr)
sys.exit(bool(found))
