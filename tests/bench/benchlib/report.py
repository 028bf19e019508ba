# SPDX-License-Identifier: Apache-2.0
"""report - docs/benchmarks.md from the results of one run."""

HEAD = """<!-- Made by `./dev bench`; do not edit. -->
# Benchmarks

One run on one machine, {when}, {took}. Times are medians with the 10th and 90th percentile and the number of measurements. The machines run
under {accelerator}. `./dev bench` measures again and writes this file.
"""


def number(value, unit):
    if unit == "/s":
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(value):
    if not isinstance(value, dict):
        return str(value)
    unit = {"us": "µs"}.get(value["unit"], value["unit"])
    return (f"**{number(value['median'], value['unit'])} {unit}** "
            f"({number(value['p10'], value['unit'])} - {number(value['p90'], value['unit'])}, n={value['n']})")


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cell(c).replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def targets(sections):
    rows = [[t["what"], t["wanted"], t["got"], "yes" if t["reached"] else "**no**"] for s in sections for t in s["targets"]]
    return "## Targets\n\n" + table(["what", "wanted", "got", "reached"], rows) if rows else ""


def section_text(section):
    parts = [f"## {section['title']}\n"] + [f"{text}\n" for text in section["text"]]
    if section.get("unavailable"):
        parts.append(f"Not measured: {section['unavailable']}\n")
    parts += [table(t["header"], t["rows"]) for t in section["tables"]]
    return "\n".join(parts)


def render(results):
    parts = [HEAD.format(when=results["when"], took=results["took"], accelerator=results["accelerator"])]
    if results["quick"]:
        parts.append("This was a quick run (`--quick`): few measurements each.\n")
    parts.append("## Machine\n\n" + table(["", ""], results["machine"]))
    parts.append(targets(results["sections"]))
    parts += [section_text(s) for s in results["sections"]]
    return "\n".join(p for p in parts if p)
