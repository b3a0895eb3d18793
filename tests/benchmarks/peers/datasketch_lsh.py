"""datasketch: MinHash.bulk, MinHashLSH of 16 x 8 and union-find; `estimate` drops pairs estimated below .7."""

import sys

from corpus import clusters, shingles, texts, write
from datasketch import MinHash, MinHashLSH


def main(path, out, *options):
    rows = texts(path)
    hashes = MinHash.bulk(([gram.encode() for gram in shingles(text)] for text in rows), num_perm=128)
    lsh = MinHashLSH(num_perm=128, params=(16, 8))
    pairs = []
    for row, found in enumerate(hashes):
        pairs += [(other, row) for other in lsh.query(found)]
        lsh.insert(row, found, check_duplication=False)
    if "estimate" in options:
        pairs = [(i, j) for i, j in pairs if hashes[i].jaccard(hashes[j]) >= 0.7]
    write(out, cluster=clusters(len(rows), pairs), pairs=pairs)


if __name__ == "__main__":
    main(*sys.argv[1:])
