"""Writes rows in an order with another library: `PYTHON export.py PEER FILE`, in its interpreter.

FILE is Parquet with `position`, `sample_id`, `messages` (JSON), `source`, `task` and `licence`. Prints one line of
JSON: cpu, what was done. Reading the rows is not timed, ordering and writing are.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def by_datasets(file):
    import datasets
    import numpy as np

    rows = datasets.Dataset.from_parquet(str(file), cache_dir=str(file.parent / "cache"))
    order = np.argsort(rows.with_format("numpy")["position"][:])
    start = time.process_time()
    rows.select(order).to_parquet(str(file.parent / "datasets.parquet"))
    return time.process_time() - start, f"datasets {datasets.__version__}: select, to_parquet"


def by_streaming(file):
    import pyarrow.parquet as pq
    import streaming

    rows = pq.read_table(file).sort_by("position").to_pylist()
    columns = {name: {"position": "int", "messages": "json"}.get(name, "str") for name in rows[0]}
    start = time.process_time()
    with streaming.MDSWriter(out=str(file.parent / "streaming"), columns=columns, size_limit=None) as writer:
        for row in rows:
            writer.write({**row, "messages": json.loads(row["messages"])})
    return time.process_time() - start, f"streaming {streaming.__version__}: MDSWriter"


def main():
    """Print what the peer took."""
    cpu, what = {"datasets": by_datasets, "streaming": by_streaming}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"cpu": cpu, "what": what}))


if __name__ == "__main__":
    main()
