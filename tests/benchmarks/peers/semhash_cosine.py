"""semhash: SemHash.self_deduplicate at a cosine of OPTION, with the static model in the folder of the next option."""

import sys

from corpus import texts, write
from model2vec import StaticModel
from semhash import SemHash


def main(path, out, threshold, model):
    records = [{"row": row, "text": text} for row, text in enumerate(texts(path))]
    index = SemHash.from_records(records, columns=["text"], model=StaticModel.from_pretrained(model))
    result = index.self_deduplicate(threshold=float(threshold))
    cluster = list(range(len(records)))
    for found in result.filtered:
        cluster[found.record["row"]] = found.duplicate_of["row"]
    write(out, kept=[record["row"] for record in result.selected], cluster=cluster)


if __name__ == "__main__":
    main(*sys.argv[1:])
