"""How many cases the mixers' property tests try, by law: runs them and adds up what hypothesis tells.

python -m tests.benchmarks.property_cases
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

from tests.benchmarks.gates import ROOT

LAWS = (
    ("no eval row in any blend", r"eval"),
    ("nesting: a smaller blend is a subset of a larger one", r"smaller|subset|nested|shrink"),
    ("determinism: any order of rows or strata, the same keys", r"order|shuffle|same_blend|agrees_with_plain"),
    ("quotas: exact sums, caps, within one row, repeats", r"quotas?_|schedule|total|requests|repeats|sum|marginal"),
    ("other", r""),
)
"""Each law, and what the names of its tests hold; the first that fits."""
TEST = re.compile(r"^(tests/mixers/\S+?::\S+?)(?:\[\S.*\])?:$", re.MULTILINE)
TRIED = re.compile(r"(\d+) passing, (\d+) failing")


def main() -> None:
    """Print the tests, cases and failures of each law."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/mixers", "--hypothesis-show-statistics"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    parts = TEST.split(done.stdout)[1:]
    tests: dict[str, set[str]] = {law: set() for law, _ in LAWS}
    cases: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for name, told in zip(parts[::2], parts[1::2], strict=True):
        law = next(law for law, words in LAWS if re.search(words, name.split("::")[1]))
        tests[law].add(name)
        for passing, failing in TRIED.findall(told):
            cases[law] += int(passing) + int(failing)
            failed[law] += int(failing)
    print(f"{'law':58} | tests | cases | failed")
    for law, names in tests.items():
        print(f"{law:58} | {len(names):5} | {cases[law]:5,} | {failed[law]:6}")
    print(f"{'all':58} | {sum(map(len, tests.values())):5} | {cases.total():5,} | {failed.total():6}")
    print(f"tests/mixers: exit status {done.returncode}")


if __name__ == "__main__":
    main()
