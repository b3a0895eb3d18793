"""Draws rows of 20 sources at given shares with another library: `PYTHON draw.py PEER FOLDER ROWS`, in its interpreter.

FOLDER holds `source-NN.parquet` files (column `sample_id`) and `shares.json`. Prints one line of JSON: cpu, wall, rows,
what was done; or why it was not. Reading what the peer needs in its own format is not timed, drawing and writing are.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = {"map": "datasets", "iterable": "datasets", "trl": "trl", "streaming": "mosaicml-streaming"}


class Clock:
    """CPU-seconds and wall seconds since it was made."""

    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def told(self, rows, what):
        return {
            "cpu": time.process_time() - self.cpu,
            "wall": time.perf_counter() - self.wall,
            "rows": rows,
            "what": what,
        }


def sources(folder):
    """Return the files in order and their shares."""
    return sorted(folder.glob("source-*.parquet")), json.loads((folder / "shares.json").read_text("utf-8"))


def opened(files):
    from datasets import Dataset

    return [Dataset.from_parquet(str(path), cache_dir=str(path.parent / "cache")) for path in files]


def by_map(folder, rows):
    from datasets import interleave_datasets

    files, shares = sources(folder)
    parts = opened(files)
    clock = Clock()
    mixed = interleave_datasets(parts, probabilities=shares, seed=0, stopping_strategy="all_exhausted")
    mixed.select(range(rows)).to_parquet(str(folder / "map.parquet"))
    return clock.told(rows, "interleave_datasets, to_parquet; shares by chance")


def by_iterable(folder, rows):
    from datasets import interleave_datasets

    files, shares = sources(folder)
    parts = [part.to_iterable_dataset() for part in opened(files)]
    clock = Clock()
    mixed = interleave_datasets(parts, probabilities=shares, seed=0, stopping_strategy="all_exhausted")
    return clock.told(sum(1 for _ in mixed.take(rows)), "interleave_datasets as an iterable, read; shares by chance")


def by_trl(folder, rows):
    from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig, get_dataset

    files, shares = sources(folder)
    opened(files)
    parts = [
        DatasetConfig(path="parquet", data_files=str(path), split="train", fraction=share)
        for path, share in zip(files, shares, strict=True)
    ]
    get_dataset(DatasetMixtureConfig(datasets=parts))  # fills its cache
    clock = Clock()
    mixed = get_dataset(DatasetMixtureConfig(datasets=parts))["train"]
    mixed.to_parquet(str(folder / "trl.parquet"))
    return clock.told(mixed.num_rows, "get_dataset, to_parquet; the first rows of each file, a size of its own choice")


def by_streaming(folder, rows):
    import pyarrow.parquet as pq
    from streaming import MDSWriter, Stream, StreamingDataset

    files, shares = sources(folder)
    streams = []
    for path, share in zip(files, shares, strict=True):
        local = folder / "mds" / path.stem
        with MDSWriter(out=str(local), columns={"sample_id": "str"}) as writer:
            for name in pq.read_table(path)["sample_id"].to_pylist():
                writer.write({"sample_id": name})
        streams.append(Stream(local=str(local), proportion=share))
    clock = Clock()
    mixed = StreamingDataset(streams=streams, epoch_size=rows, shuffle=True, shuffle_seed=0, batch_size=64)
    return clock.told(sum(1 for _ in mixed), "StreamingDataset with proportions, read")


def main():
    """Print the line."""
    peer, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    try:
        found = {"version": f"{PACKAGES[peer]} {version(PACKAGES[peer])}"}
        draws = {"map": by_map, "iterable": by_iterable, "trl": by_trl, "streaming": by_streaming}
        found |= draws[peer](folder, rows)
    except (ImportError, PackageNotFoundError) as lacking:
        found = {"skipped": f"{type(lacking).__name__}: {lacking}".splitlines()[0]}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
