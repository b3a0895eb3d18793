-- Draws the members of a blend in SQL alone, row for row as mixers does: the test vectors are beside this file, in
-- conformance.jsonl. DuckDB 1.4 and 2. Nothing here depends on the number of threads or on the order of the rows.
--
-- Fill pool, quotas and seeds; members then holds the blend. seeds are the first 8 bytes, little-endian, of the
-- BLAKE2b-64 hash of "SEED:PURPOSE", as in "7:member".

-- splitmix64's finaliser (Stafford's Mix13) over a row's 64 bits, the low half of its sample id, xor a seed's
CREATE OR REPLACE MACRO shifted(z, n) AS xor(z, z >> n);
CREATE OR REPLACE MACRO multiplied(z, factor) AS
    ((z::UHUGEINT * factor::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT;
CREATE OR REPLACE MACRO mixed(z) AS
    shifted(multiplied(shifted(multiplied(shifted(z, 30), 13787848793156543929), 27), 10723151780598845931), 31);
CREATE OR REPLACE MACRO sampling_key(k64, seed64) AS mixed(xor(k64::UBIGINT, seed64::UBIGINT));
CREATE OR REPLACE MACRO k64_of(sample_id) AS ('0x' || right(sample_id, 16))::UBIGINT;

-- the natural logarithm of u = fraction * 2^power, fraction in 0.5 to 1, from sums and products alone
CREATE OR REPLACE MACRO series(s, q) AS 2e0 * s * (((((((((((
    1e0 / 23 * q + 1e0 / 21) * q + 1e0 / 19) * q + 1e0 / 17) * q + 1e0 / 15) * q + 1e0 / 13) * q + 1e0 / 11)
    * q + 1e0 / 9) * q + 1e0 / 7) * q + 1e0 / 5) * q + 1e0 / 3) * q + 1e0);

CREATE OR REPLACE TABLE pool (sample_id VARCHAR, stratum VARCHAR, role VARCHAR, odds DOUBLE);
CREATE OR REPLACE TABLE quotas (stratum VARCHAR, quota BIGINT);
CREATE OR REPLACE TABLE seeds (member UBIGINT, "order" UBIGINT, jitter UBIGINT);

-- a row's place in line: its sampling key; with odds, -ln(u) / odds, u the middle of one of 2^53 slices of (0, 1)
CREATE OR REPLACE VIEW line AS
    WITH keyed AS (
        SELECT p.*, sampling_key(k64_of(sample_id), seeds.member) AS uniform FROM pool p, seeds
    ), united AS (
        SELECT *, ((uniform >> 11)::DOUBLE + 0.5e0) / 9007199254740992e0 AS u FROM keyed
    ), measured AS (
        SELECT *, length(bin((u * 18014398509481984e0)::UBIGINT)) AS bits FROM united
    ), halved AS (
        SELECT *, u * 18014398509481984e0 / (1::UBIGINT << bits)::DOUBLE AS fraction FROM measured
    ), centred AS (
        SELECT *, fraction < 0.7071067811865476e0 AS small FROM halved
    ), stepped AS (
        SELECT *, CASE WHEN small THEN fraction * 2e0 ELSE fraction END AS mantissa,
            (bits - 54 - small::INTEGER)::DOUBLE AS power FROM centred
    ), reduced AS (
        SELECT *, (mantissa - 1e0) / (mantissa + 1e0) AS s FROM stepped
    ), logged AS (
        SELECT *, power * 0.6931471805599453e0 + series(s, s * s) AS logarithm FROM reduced
    )
    SELECT sample_id, stratum, role, uniform, (0e0 - logarithm) / odds AS wait FROM logged;

-- the first rows of each stratum; over what it holds, again from its first; in training order
CREATE OR REPLACE VIEW members AS
    WITH ranked AS (
        SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY wait, uniform, sample_id) - 1 AS place,
            count(*) OVER (PARTITION BY stratum) AS held FROM line
    ), taken AS (
        SELECT sample_id, stratum, role, quota // held + (place < quota % held)::INTEGER AS repeats
        FROM ranked JOIN quotas USING (stratum) WHERE place < least(quota, held)
    ), ordered AS (
        SELECT t.*, sampling_key(k64_of(sample_id), seeds."order") AS ahead,
            (sampling_key(k64_of(sample_id), seeds.jitter) >> 11)::DOUBLE / 9007199254740992e0 AS jitter
        FROM taken t, seeds
    ), placed AS (
        SELECT *, (row_number() OVER (PARTITION BY stratum ORDER BY ahead, sample_id) - 1 + jitter)
            / count(*) OVER (PARTITION BY stratum) AS point FROM ordered
    )
    SELECT row_number() OVER (
            ORDER BY trunc(least(point, 1e0 - 1e0 / 9007199254740992e0) * 9223372036854775808e0), sample_id
        ) - 1 AS position, sample_id, role, 1e0 AS weight, repeats FROM placed;
