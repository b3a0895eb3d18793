"""data-juicer: DocumentMinhashDeduplicator with 3-grams of white-space words, 128 hashes, 16 x 8, .7."""

import sys

from corpus import write
from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator import document_minhash_deduplicator as module
from datasets import Dataset


def main(path, out):
    made = []

    class Watched(module.UnionFind):
        """The peer's own union-find, which is not in its result."""

        def __init__(self):
            super().__init__()
            made.append(self)

    module.UnionFind = Watched
    step = module.DocumentMinhashDeduplicator(
        tokenization="space",
        window_size=3,
        num_permutations=128,
        jaccard_threshold=0.7,
        num_bands=16,
        num_rows_per_band=8,
    )
    rows = NestedDataset(Dataset.from_parquet(path, columns=["id", "text"]))
    before = len(rows)
    rows, _ = step.process(rows.map(step.compute_hash, num_proc=1))
    write(out, kept=list(rows["id"]), cluster=[made[0].find(row) for row in range(before)])


if __name__ == "__main__":
    main(*sys.argv[1:])
