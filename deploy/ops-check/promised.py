"""Each test that SECURITY.md names is in the repository."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("shared", "ingest-service", "processor-service", "deploy")
# Names of tests are sentences.
SENTENCE = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`")

sources = "\n".join(
    path.read_text(encoding="utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("*.rs") if "target" not in path.parts
)
named = set(SENTENCE.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8")))
unknown = sorted(name for name in named if not re.search(rf"fn {name}\b", sources))
print("\n".join(f"no test is called {name}" for name in unknown))
sys.exit(bool(unknown) or not named)
