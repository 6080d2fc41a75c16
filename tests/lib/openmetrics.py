# SPDX-License-Identifier: Apache-2.0
"""Checks OpenMetrics 1.0 text line by line, as a strict scraper would."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\})|(?=\})))*'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABELS})\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|NaN|[+-]Inf)$")
META = re.compile(rf"^# (TYPE|UNIT|HELP) ({NAME}) (.+)$")

SUFFIXES = {
    "counter": {"_total"},
    "gauge": {""},
    "info": {"_info"},
    "summary": {"", "_sum", "_count"},
}


def check(text):
    """Raises ValueError with the line's number; returns {family: [(name, labels, value)]}."""
    lines = text.split("\n")
    if lines[-1] != "" or lines[-2] != "# EOF":
        raise ValueError("the text doesn't end with '# EOF' and a line end")
    families, types, units, helps, seen = {}, {}, {}, set(), set()
    current = None
    for number, line in enumerate(lines[:-2], 1):
        meta = META.match(line)
        if meta:
            word, name, rest = meta.groups()
            if word == "TYPE":
                if name in types:
                    raise ValueError(f"line {number}: family {name} comes twice")
                if rest not in SUFFIXES:
                    raise ValueError(f"line {number}: unknown type {rest}")
                types[name], families[name], current = rest, [], name
            if name != current or families[name]:
                raise ValueError(f"line {number}: {word} of {name} is not at its family's head")
            if word == "UNIT":
                if not name.endswith("_" + rest):
                    raise ValueError(f"line {number}: {name} doesn't end with its unit {rest}")
                units[name] = rest
            if word == "HELP":
                helps.add(name)
            continue
        sample = SAMPLE.match(line)
        if not sample:
            raise ValueError(f"line {number}: no sample: {line!r}")
        name, labels, value = sample.groups()
        if current is None or name not in {current + suffix for suffix in SUFFIXES[types[current]]}:
            raise ValueError(f"line {number}: {name} is no sample of the family {current}")
        if (name, labels) in seen:
            raise ValueError(f"line {number}: {name} with the same labels again")
        if types[current] == "counter" and float(value) < 0:
            raise ValueError(f"line {number}: a counter below 0")
        seen.add((name, labels))
        families[current].append((name, labels, float(value)))
    for name, samples in families.items():
        if not samples:
            raise ValueError(f"family {name} has no sample")
        if name not in helps:
            raise ValueError(f"family {name} has no HELP")
        if not name.startswith("tern_"):
            raise ValueError(f"family {name} doesn't begin with tern_")
    return families
