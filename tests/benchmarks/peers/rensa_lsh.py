"""rensa: RMinHashLSH of 16 bands with union-find (`estimate` drops pairs estimated below .7), or its `dedup`."""

import sys

from corpus import clusters, shingles, texts, write
from rensa import RMinHash, RMinHashDeduplicator, RMinHashLSH


def main(path, out, *options):
    rows = texts(path)
    hashes = RMinHash.from_token_sets((list(shingles(text)) for text in rows), num_perm=128, seed=42)
    if "dedup" in options:
        seen = RMinHashDeduplicator(threshold=0.7, num_perm=128, use_lsh=True, num_bands=16)
        write(out, kept=[row for row, found in enumerate(hashes) if seen.add(str(row), found)])
        return
    lsh = RMinHashLSH(threshold=0.7, num_perm=128, num_bands=16)
    pairs = []
    for row, found in enumerate(hashes):
        pairs += [(other, row) for other in lsh.query(found)]
        lsh.insert(row, found)
    if "estimate" in options:
        pairs = [(i, j) for i, j in pairs if hashes[i].jaccard(hashes[j]) >= 0.7]
    write(out, cluster=clusters(len(rows), pairs), pairs=pairs)


if __name__ == "__main__":
    main(*sys.argv[1:])
