# SPDX-License-Identifier: Apache-2.0
"""result - what a row of the benchmark says: tables of samples, and targets with what was reached. Plain data, so that it can be kept as JSON."""
from benchlib import Unavailable
from benchlib.measure import Sample


class Section:
    def __init__(self, name, title, *text):
        self.name, self.title = name, title
        self.text = list(text)
        self.tables = []
        self.targets = []
        self.missing = []

    def attempt(self, what, measure, *args):
        """Measures a part; when it cannot be had the others go on. What it returns, or None."""
        try:
            return measure(*args)
        except Unavailable as why:
            self.missing.append(f"{what}: {why}")
            return None

    def table(self, *header):
        """Rows are lists of texts and Samples, appended to what this returns."""
        rows = []
        self.tables.append({"header": list(header), "rows": rows})
        return rows

    def say(self, text):
        self.text.append(text)

    def target(self, what, wanted, got, reached):
        self.targets.append({"what": what, "wanted": wanted, "got": got, "reached": bool(reached)})

    def as_json(self):
        tables = [{"header": t["header"], "rows": [[c.as_json() if isinstance(c, Sample) else c for c in row] for row in t["rows"]]}
                  for t in self.tables]
        return {"name": self.name, "title": self.title, "text": self.text, "tables": tables, "targets": self.targets,
                "unavailable": "; ".join(self.missing)}
