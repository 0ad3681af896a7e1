"""What Prometheus would see: metrics over HTTP, or in a file, read by its own library."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bus import eventually


class Scraped:
    """Metrics in the text format of Prometheus."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for each in self.families.values()
            for sample in each.samples
        }

    def __getitem__(self, name: str) -> float:
        """The value of a metric without labels."""
        return self.samples[(name,)]

    def of(self, name: str, **labels: str) -> float:
        """The value of a metric with exactly these labels."""
        return self.samples[(name, *sorted(labels.items()))]

    def names(self) -> set[str]:
        """The names that a query can ask for."""
        return {str(sample[0]) for sample in self.samples}


def scrape(address: str) -> Scraped:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return Scraped(answer.read().decode())


def scrape_until(address: str, name: str, value: float, **labels: str) -> Scraped:
    """Scrape until a metric has a value."""
    seen: dict[str, Any] = {}

    def has_it() -> bool:
        try:
            seen["last"] = scrape(address)
        except urllib.error.URLError:  # it starts
            return False
        key = (name, *sorted(labels.items()))
        return bool(seen["last"].samples.get(key) == value)

    eventually(has_it, f"{name} of {value} for {labels} at {address}")
    last: Scraped = seen["last"]
    return last


def complaints_of_promtool(text: str) -> str:
    """What ``promtool check metrics`` says of metrics; empty where all is well."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert checked.returncode in (0, 3), checked.stderr  # 3: it complains
    return checked.stdout + checked.stderr


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression of PromQL asks for, functions and labels left out."""
    without_texts = re.sub(r'"(\\.|[^"\\])*"', '""', expression)
    without_labels = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)|\{[^}]*\}", "", without_texts)
    names = re.findall(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()", without_labels)
    return {name for name in names if name not in {"or", "and", "unless", "bool", "offset"}}
