"""Compare what the cloud sent before a power cut with what was published: published.py SESSIONS.jsonl EVENTS.jsonl."""

import json
import sys
from collections import Counter
from pathlib import Path


def lines(file: str) -> list[dict]:
    """Return the JSON objects of a file, a line each."""
    return [json.loads(line) for line in Path(file).read_text().splitlines() if line.startswith("{")]


sent = Counter(line["request_id"] for line in lines(sys.argv[1]) if line["what"] == "event")
published = lines(sys.argv[2])
[(session, count)] = sent.most_common(1) or [("", 0)]
ours = [event["id"].split("/") for event in published if event["session"] == session]
numbers = [int(number) for *_, scope, number in ours if scope == session]
gaps = [event["data"]["reason"] for event in published if event["type"] == "coverage.gap"]
print(f"{count} events came before the cut, {len(numbers)} of that session were published; gaps: {', '.join(gaps)}")
whole = set(range(1, count + 1)) <= set(numbers) and numbers == sorted(numbers)
sys.exit(not (count and whole and "power_cut" in gaps))
