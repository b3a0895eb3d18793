"""Draws the vectors in Polars expressions alone.

POLARS_MAX_THREADS=2 python -m tests.conformance.expressions [SHUFFLE [NAME ...]]
"""

from __future__ import annotations

import json
import sys

import polars as pl

from tests.conformance import plain

STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
POWERS = pl.Series([2.0**n for n in range(64)])


def unsigned(number):
    """Return a literal of 64 bits without sign."""
    return pl.lit(number, dtype=pl.UInt64)


def finaliser(z):
    """Return splitmix64's finaliser of an expression; Polars' products wrap at 64 bits."""
    for shift, factor in STEPS:
        z = (z ^ (z // unsigned(2**shift))) * unsigned(factor)
    return z


def key(seed, purpose):
    """Return the sampling key of the column `k64`."""
    return finaliser(pl.col("k64") ^ unsigned(plain.seed64(seed, purpose)))


def unit(bits):
    """Return the upper 53 of 64 bits as a float."""
    return (bits // unsigned(2**11)).cast(pl.Float64)


def logarithm(u):
    """Return the natural logarithm of floats in (0, 1], by sums and products alone."""
    whole = u * 2.0**54
    length = 64 - whole.cast(pl.UInt64).bitwise_leading_zeros().cast(pl.Int64)
    fraction = whole / pl.lit(POWERS).gather(length)
    small = fraction < 0.7071067811865476
    mantissa = pl.when(small).then(fraction * 2.0).otherwise(fraction)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = pl.lit(1.0 / 23.0)
    for odd in range(21, 0, -2):
        series = series * (s * s) + 1.0 / odd
    return (length - 54 - small.cast(pl.Int64)).cast(pl.Float64) * 0.6931471805599453 + 2.0 * s * series


def wait(uniform, odds):
    """Return -ln(u) / odds of expressions."""
    return logarithm((unit(uniform) + 0.5) / 2.0**53).abs() / odds


def draw(vector, shuffle=None):
    """Return the blend's rows (sample id, role, repeats), in training order."""
    seed = vector["seed"]
    names = {"sample_id": pl.String, "stratum": pl.String, "role": pl.String, "odds": pl.Float64}
    rows = pl.DataFrame(plain.pool(vector, shuffle), schema=names, orient="row").lazy()
    quotas = pl.LazyFrame(
        {"stratum": list(vector["quotas"]), "quota": list(vector["quotas"].values())},
        schema={"stratum": pl.String, "quota": pl.Int64},
    )
    rows = rows.with_columns(k64=pl.col("sample_id").str.slice(16).str.to_integer(base=16, dtype=pl.UInt64))
    line = rows.with_columns(uniform=key(seed, "member")).with_columns(wait=wait(pl.col("uniform"), pl.col("odds")))
    ranked = line.sort("stratum", "wait", "uniform", "sample_id").with_columns(
        rank=pl.int_range(pl.len()).over("stratum"), held=pl.len().over("stratum").cast(pl.Int64)
    )
    taken = ranked.join(quotas, on="stratum").filter(pl.col("rank") < pl.min_horizontal("quota", "held"))
    taken = taken.with_columns(
        repeats=pl.col("quota") // pl.col("held") + (pl.col("rank") < pl.col("quota") % pl.col("held")),
        ahead=key(seed, "order"),
        jitter=unit(key(seed, "jitter")) / 2.0**53,
    )
    placed = taken.sort("stratum", "ahead", "sample_id").with_columns(
        point=(pl.int_range(pl.len()).over("stratum") + pl.col("jitter")) / pl.len().over("stratum")
    )
    point = (pl.min_horizontal("point", 1.0 - 2.0**-53) * 2.0**63).cast(pl.UInt64)
    return placed.sort(point, "sample_id").select("sample_id", "role", "repeats").collect().rows()


def main():
    """Print Polars' version and the content id of each vector, as JSON."""
    shuffle = int(sys.argv[1]) if sys.argv[1:] else None
    found = {v["name"]: plain.content_id(draw(v, shuffle)) for v in plain.chosen(sys.argv[2:])}
    sys.stdout.write(json.dumps({"version": pl.__version__, "threads": pl.thread_pool_size(), "ids": found}) + "\n")


if __name__ == "__main__":
    main()
