"""text-dedup: its MinHash stages, word 3-grams, 128 hashes, 16 x 8, .7; `check` adds its check of false positives.

Without the check its output keeps the rows whose number is that of their cluster, and the polars-grouper that it
installs (0.6.1) numbers clusters from 1: most clusters vanish whole. `first` keeps the first row of each instead.
"""

import sys
import tempfile
from pathlib import Path

from corpus import write
from text_dedup import minhash
from text_dedup.config.base import load_config_from_toml

CONFIG = """
[input]
input_type = "local_files"
file_type = "parquet"
[input.read_arguments]
path = "parquet"
data_files = ["{path}"]
split = "train"
columns = ["text"]
cache_dir = "{cache}"
[algorithm]
algorithm_name = "minhash"
text_column = "text"
num_perm = 128
bands = 16
rows = 8
threshold = 0.7
ngram_size = 3
min_length = 1
num_proc = 1
check_false_positive = {check}
[output]
output_dir = "{cache}/out"
[debug]
"""


def main(path, out, *options):
    with tempfile.TemporaryDirectory() as cache:
        toml = Path(cache, "config.toml")
        toml.write_text(CONFIG.format(path=path, cache=cache, check=str("check" in options).lower()))
        config = load_config_from_toml(toml)
        rows, before, _ = minhash.load_and_preprocess(config)
        parents = minhash.cluster(config, minhash.fingerprint(config, rows))
        rows = minhash.assign(config, rows, parents)
        if "check" in options:
            rows, parents = minhash.check_false_positives(config, rows)
        kept = minhash.remove_duplicates(config, rows)["__INDEX__"]
        first = {}
        cluster = [first.setdefault(("cluster", parents[row]) if row in parents else row, row) for row in range(before)]
        write(out, kept=None if "first" in options else kept, cluster=cluster)


if __name__ == "__main__":
    main(*sys.argv[1:])
