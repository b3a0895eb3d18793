"""datatrove: its four MinHash stages with their defaults (word 5-grams, 14 x 8), one worker, jsonl out."""

import sys
import tempfile
from pathlib import Path

from corpus import write
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter


def main(path, out):
    kept, clustered, config = [], {}, MinhashConfig()

    def collect(data, rank=0, world_size=1):
        for document in data:
            clustered[document.id] = document.metadata.get("minhash_cluster_id", -1)
            kept.append(document.id)
            yield document

    class Dropped(JsonlWriter):
        """The peer's writer of what it drops, which also notes the cluster."""

        def write(self, document, rank=0, **rest):
            clustered[document.id] = document.metadata.get("minhash_cluster_id", -1)
            super().write(document, rank, **rest)

    with tempfile.TemporaryDirectory() as root:
        reader = ParquetReader(str(Path(path).parent), glob_pattern=Path(path).name, read_metadata=False)
        stages = (
            [reader, MinhashDedupSignature(f"{root}/signatures", config)],
            [MinhashDedupBuckets(f"{root}/signatures", f"{root}/buckets", config=config)],
            [MinhashDedupCluster(f"{root}/buckets", f"{root}/remove", config=config, save_cluster_id=True)],
            [
                reader,
                MinhashDedupFilter(f"{root}/remove", Dropped(f"{root}/dropped"), load_cluster_ids=True),
                collect,
                JsonlWriter(f"{root}/kept"),
            ],
        )
        for number, stage in enumerate(stages):
            tasks = config.num_buckets if number == 1 else 1
            LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=f"{root}/logs{number}").run()
    first = {}
    cluster = []
    for row in range(len(clustered)):
        label = clustered[row]
        cluster.append(row if label < 0 else first.setdefault(label, row))
    write(out, kept=kept, cluster=cluster)


if __name__ == "__main__":
    main(*sys.argv[1:])
