-- The manifest. Tables live in the schema `store` and are private; the views and macros below are the public contract.
-- Every statement works on DuckDB 1.4 and 2.x.

CREATE SCHEMA store;

CREATE TABLE store.meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE store.migrations (version INTEGER PRIMARY KEY, applied_at TIMESTAMP NOT NULL);
CREATE TABLE store.stages (
    stage VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, key VARCHAR NOT NULL, spec VARCHAR NOT NULL,
    position INTEGER NOT NULL, seconds DOUBLE NOT NULL, n_rows BIGINT NOT NULL, finished_at TIMESTAMP NOT NULL,
    CHECK (isfinite(seconds) AND seconds >= 0 AND n_rows >= 0)
);
CREATE TABLE store.sources (
    stage VARCHAR NOT NULL, source VARCHAR NOT NULL UNIQUE, role VARCHAR NOT NULL, uri VARCHAR NOT NULL,
    revision VARCHAR, licence VARCHAR NOT NULL, non_commercial BOOLEAN NOT NULL, rows BIGINT NOT NULL,
    samples BIGINT NOT NULL, rejects BIGINT NOT NULL, skipped BIGINT NOT NULL, sha256 VARCHAR NOT NULL,
    CHECK (role IN ('generalist', 'specialist', 'eval', 'knowledge')), CHECK (rows = samples + rejects)
);
CREATE TABLE store.samples (
    stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, content_id VARCHAR NOT NULL, k64 UBIGINT NOT NULL,
    source VARCHAR NOT NULL, role VARCHAR NOT NULL, task VARCHAR, prompt VARCHAR NOT NULL, response VARCHAR NOT NULL,
    system VARCHAR, messages VARCHAR NOT NULL, n_turns INTEGER NOT NULL, n_chars INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL, licence VARCHAR NOT NULL, meta VARCHAR NOT NULL, sample_no UINTEGER,
    CHECK (length(sample_id) = 32 AND length(content_id) = 32),
    CHECK (role IN ('generalist', 'specialist', 'eval', 'knowledge')),
    CHECK (n_turns > 0 AND n_chars >= 0 AND n_tokens > 0)
);
CREATE TABLE store.rejects (
    stage VARCHAR NOT NULL, source VARCHAR NOT NULL, line BIGINT NOT NULL, reason VARCHAR NOT NULL,
    raw_hash VARCHAR NOT NULL, CHECK (length(reason) > 0)
);
CREATE TABLE store.decisions (
    stage VARCHAR NOT NULL, step VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, source VARCHAR NOT NULL,
    kept BOOLEAN NOT NULL, reason VARCHAR, witness_id VARCHAR, similarity DOUBLE, detail VARCHAR,
    CHECK (kept OR reason IS NOT NULL), CHECK (witness_id IS NULL OR witness_id <> sample_id),
    CHECK (similarity IS NULL OR (isfinite(similarity) AND similarity BETWEEN -1 AND 1.000001))
);
CREATE TABLE store.scores (
    stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, scorer VARCHAR NOT NULL, value DOUBLE, status VARCHAR NOT NULL,
    why VARCHAR, key VARCHAR, CHECK (status IN ('ok', 'abstained', 'failed')),
    CHECK ((status = 'ok' AND value IS NOT NULL AND isfinite(value)) OR (status <> 'ok' AND value IS NULL))
);
CREATE TABLE store.verdicts (
    stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, judge VARCHAR NOT NULL, p_error DOUBLE, label VARCHAR,
    defect VARCHAR, claims VARCHAR, evidence VARCHAR, status VARCHAR NOT NULL, repair VARCHAR,
    CHECK (status IN ('ok', 'abstained', 'failed')), CHECK (label IS NULL OR label IN ('correct', 'wrong')),
    CHECK ((status = 'ok' AND p_error IS NOT NULL AND isfinite(p_error) AND p_error BETWEEN 0 AND 1)
        OR (status <> 'ok' AND p_error IS NULL))
);
CREATE TABLE store.quality (
    stage VARCHAR NOT NULL, scorer VARCHAR NOT NULL, measured_on VARCHAR NOT NULL, metric VARCHAR NOT NULL,
    value DOUBLE, ci_low DOUBLE, ci_high DOUBLE, n BIGINT NOT NULL, note VARCHAR,
    CHECK (value IS NULL OR isfinite(value)), CHECK (ci_low IS NULL OR isfinite(ci_low)),
    CHECK (ci_high IS NULL OR isfinite(ci_high)), CHECK (n >= 0)
);
CREATE TABLE store.labels (
    stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, label VARCHAR NOT NULL, defect VARCHAR, note VARCHAR,
    labelled_by VARCHAR NOT NULL, labelled_at TIMESTAMP NOT NULL,
    CHECK (label IN ('correct', 'wrong', 'unsure'))
);
CREATE TABLE store.coverage (
    stage VARCHAR NOT NULL, target VARCHAR NOT NULL, source VARCHAR NOT NULL, metric VARCHAR NOT NULL, value DOUBLE,
    CHECK (value IS NULL OR isfinite(value))
);
CREATE TABLE store.cells (
    stage VARCHAR NOT NULL, sample_id VARCHAR NOT NULL, space VARCHAR NOT NULL, cell INTEGER NOT NULL
);
CREATE TABLE store.blends (
    stage VARCHAR NOT NULL, blend VARCHAR NOT NULL UNIQUE, recipe_name VARCHAR NOT NULL, content_id VARCHAR NOT NULL,
    recipe VARCHAR NOT NULL, seed BIGINT NOT NULL, n_rows BIGINT NOT NULL, n_samples BIGINT NOT NULL,
    n_tokens BIGINT NOT NULL, created_at TIMESTAMP NOT NULL, CHECK (n_rows >= n_samples AND n_samples >= 0)
);
CREATE TABLE store.members (
    stage VARCHAR NOT NULL, blend VARCHAR NOT NULL, position BIGINT NOT NULL, sample_no UINTEGER NOT NULL,
    role VARCHAR NOT NULL, weight DOUBLE NOT NULL, repeats INTEGER NOT NULL, reason_no UINTEGER NOT NULL,
    CHECK (role IN ('generalist', 'specialist')), CHECK (isfinite(weight) AND weight > 0 AND repeats > 0)
);
CREATE TABLE store.reasons (stage VARCHAR NOT NULL, reason_no UINTEGER NOT NULL, reason VARCHAR NOT NULL);
CREATE TABLE store.strata (
    stage VARCHAR NOT NULL, blend VARCHAR NOT NULL, stratum VARCHAR NOT NULL, available BIGINT NOT NULL,
    requested DOUBLE NOT NULL, taken BIGINT NOT NULL, repeats INTEGER NOT NULL, limited_by VARCHAR, samples BIGINT,
    error_mass DOUBLE, note VARCHAR, CHECK (isfinite(requested) AND taken >= 0 AND available >= 0)
);
CREATE TABLE store.runs (
    stage VARCHAR NOT NULL, run VARCHAR NOT NULL UNIQUE, blend VARCHAR NOT NULL, trainer VARCHAR NOT NULL,
    base VARCHAR NOT NULL, seed BIGINT NOT NULL, status VARCHAR NOT NULL, steps BIGINT, tokens BIGINT, seconds DOUBLE,
    peak_memory BIGINT, content_id VARCHAR, note VARCHAR, cpu_seconds DOUBLE, parameters BIGINT,
    CHECK (status IN ('done', 'failed')), CHECK (status = 'failed' OR content_id IS NOT NULL)
);
CREATE TABLE store.losses (
    stage VARCHAR NOT NULL, run VARCHAR NOT NULL, step BIGINT NOT NULL, loss DOUBLE NOT NULL,
    CHECK (step >= 0 AND isfinite(loss))
);
CREATE TABLE store.results (
    stage VARCHAR NOT NULL, run VARCHAR NOT NULL, task VARCHAR NOT NULL, example_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, value DOUBLE, prediction VARCHAR, CHECK (value IS NULL OR isfinite(value))
);
CREATE TABLE store.leaderboard (
    stage VARCHAR NOT NULL, blend VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL, mean DOUBLE,
    ci_low DOUBLE, ci_high DOUBLE, n_examples BIGINT NOT NULL, n_seeds BIGINT NOT NULL,
    CHECK (mean IS NULL OR isfinite(mean))
);
CREATE TABLE store.comparisons (
    stage VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL, blend_a VARCHAR NOT NULL,
    blend_b VARCHAR NOT NULL, difference DOUBLE, ci_low DOUBLE, ci_high DOUBLE, p_value DOUBLE,
    verdict VARCHAR NOT NULL, minimum_detectable DOUBLE, n_examples BIGINT NOT NULL, n_seeds BIGINT NOT NULL,
    p_permutation DOUBLE, seeds_needed BIGINT, examples_needed BIGINT,
    CHECK (verdict IN ('helps', 'hurts', 'cannot tell')), CHECK (p_value IS NULL OR p_value BETWEEN 0 AND 1)
);

CREATE OR REPLACE VIEW stages AS SELECT stage, kind, key, seconds, n_rows, finished_at FROM store.stages ORDER BY position, stage;
CREATE OR REPLACE VIEW sources AS
    SELECT source, role, uri, revision, licence, non_commercial, rows, samples, rejects, sha256, skipped
    FROM store.sources;
CREATE OR REPLACE VIEW samples AS
    SELECT s.sample_id, s.content_id, s.source, s.role, s.task, s.prompt, s.response, s.system, s.messages, s.n_turns,
        s.n_chars, s.licence, s.meta, d.sample_id IS NULL AS kept, s.n_tokens, s.k64
    FROM store.samples s LEFT JOIN (SELECT DISTINCT sample_id FROM store.decisions WHERE NOT kept) d USING (sample_id);
CREATE OR REPLACE VIEW rejects AS SELECT source, line, reason, raw_hash FROM store.rejects;
CREATE OR REPLACE VIEW decisions AS
    SELECT sample_id, step, kept, reason, witness_id, similarity, detail FROM store.decisions;
CREATE OR REPLACE VIEW conflicts AS
    SELECT d.step, coalesce(d.witness_id, d.sample_id) AS conflict_id, d.sample_id, s.source, s.prompt, s.response,
        d.similarity
    FROM store.decisions d JOIN store.samples s USING (sample_id) WHERE d.kept AND d.reason = 'conflict';
CREATE OR REPLACE VIEW funnel AS
    SELECT stage, step, source, count(*) AS n_in, count(*) FILTER (WHERE kept) AS n_kept,
        count(*) FILTER (WHERE NOT kept) AS n_dropped, CAST(NULL AS VARCHAR) AS reason
    FROM store.decisions GROUP BY stage, step, source
    UNION ALL
    SELECT stage, step, source, NULL, NULL, count(*), reason
    FROM store.decisions WHERE NOT kept GROUP BY stage, step, source, reason;
CREATE OR REPLACE VIEW scores AS SELECT sample_id, scorer, value, status, why, key FROM store.scores;
CREATE OR REPLACE VIEW verdicts AS
    SELECT sample_id, judge, p_error, label, defect, claims, evidence, status, repair FROM store.verdicts;
CREATE OR REPLACE VIEW quality AS
    SELECT scorer, measured_on, metric, value, ci_low, ci_high, n, note FROM store.quality;
CREATE OR REPLACE VIEW labels AS
    SELECT sample_id, label, defect, note, labelled_by, labelled_at FROM store.labels;
CREATE OR REPLACE VIEW coverage AS SELECT target, source, metric, value FROM store.coverage;
CREATE OR REPLACE VIEW cells AS SELECT sample_id, space, cell FROM store.cells;
CREATE OR REPLACE VIEW blends AS
    SELECT blend, content_id, recipe, seed, n_rows, n_samples, n_tokens, created_at, recipe_name FROM store.blends;
CREATE OR REPLACE VIEW blend_members AS
    SELECT m.blend, m.position, s.sample_id, m.role, m.weight, m.repeats, r.reason
    FROM store.members m JOIN store.samples s USING (sample_no) JOIN store.reasons r USING (reason_no);
CREATE OR REPLACE VIEW composition AS
    SELECT m.blend, s.source, m.role, s.task, sum(m.repeats)::BIGINT AS n_rows,
        sum(m.repeats) / sum(sum(m.repeats)) OVER (PARTITION BY m.blend) AS share
    FROM store.members m JOIN store.samples s USING (sample_no) GROUP BY m.blend, s.source, m.role, s.task;
CREATE OR REPLACE VIEW strata AS
    SELECT blend, stratum, available, requested, taken, repeats, limited_by, samples, error_mass, note FROM store.strata;
CREATE OR REPLACE VIEW runs AS
    SELECT run, blend, trainer, base, seed, status, steps, tokens, seconds, peak_memory, content_id, note, cpu_seconds,
        parameters
    FROM store.runs;
CREATE OR REPLACE VIEW results AS SELECT run, task, example_id, metric, value, prediction FROM store.results;
CREATE OR REPLACE VIEW leaderboard AS
    SELECT l.blend, l.task, l.metric, l.mean, l.ci_low, l.ci_high, l.n_examples, l.n_seeds,
        coalesce(b.n_planned, 1)::BIGINT AS n_planned
    FROM store.leaderboard l LEFT JOIN (
        SELECT recipe_name, count(*) AS n_planned FROM store.blends GROUP BY recipe_name
    ) b ON b.recipe_name = split_part(l.blend, '/', 1);
CREATE OR REPLACE VIEW comparisons AS
    SELECT task, metric, blend_a, blend_b, difference, ci_low, ci_high, p_value, verdict, minimum_detectable,
        n_examples, n_seeds, p_permutation, seeds_needed, examples_needed
    FROM store.comparisons;
CREATE OR REPLACE VIEW best_sets AS
    WITH ranked AS (
        SELECT task, metric, blend, mean, split_part(blend, '/', 2) AS budget, row_number() OVER (
            PARTITION BY task, metric, split_part(blend, '/', 2) ORDER BY mean DESC, blend
        ) AS place
        FROM store.leaderboard
        WHERE mean IS NOT NULL AND split_part(blend, '/', 1) IN (SELECT recipe_name FROM store.blends)
    )
    SELECT r.task, r.metric, r.blend, r.mean, f.mean - r.mean AS behind, f.blend AS best, c.p_value,
        CASE WHEN r.place = 1 THEN TRUE WHEN c.verdict IS NOT NULL THEN c.verdict = 'cannot tell' END AS among_best
    FROM ranked r JOIN ranked f ON f.task = r.task AND f.metric = r.metric AND f.budget = r.budget AND f.place = 1
    LEFT JOIN store.comparisons c ON c.task = r.task AND c.metric = r.metric
        AND ((c.blend_a = f.blend AND c.blend_b = r.blend) OR (c.blend_a = r.blend AND c.blend_b = f.blend));
CREATE OR REPLACE VIEW costs AS
    SELECT r.run, b.recipe_name, r.seed, r.status, r.steps, r.tokens, r.seconds, r.cpu_seconds, r.peak_memory, r.parameters,
        6.0 * r.parameters * r.tokens AS flops, r.tokens / nullif(r.cpu_seconds, 0) AS tokens_per_cpu_second
    FROM store.runs r LEFT JOIN store.blends b ON b.blend = r.blend;
CREATE OR REPLACE VIEW learning_curve AS
    SELECT l.run, b.recipe_name, r.seed, l.step, l.loss, r.tokens * (l.step / nullif(r.steps, 0)) AS tokens
    FROM store.losses l JOIN store.runs r USING (run) LEFT JOIN store.blends b ON b.blend = r.blend;
CREATE OR REPLACE VIEW ratio_curve AS
    WITH dose AS (
        SELECT b.recipe_name AS blend, avg(m.generalist) AS generalist_rows, avg(b.n_rows - m.generalist) AS specialist_rows,
            avg(m.generalist / nullif(b.n_rows, 0)) AS generalist_share
        FROM store.blends b JOIN (
            SELECT blend, coalesce(sum(repeats) FILTER (WHERE role = 'generalist'), 0) AS generalist
            FROM store.members GROUP BY blend
        ) m USING (blend) GROUP BY b.recipe_name
    )
    SELECT l.task, l.metric, l.blend, d.specialist_rows, d.generalist_rows, d.generalist_share, l.mean, l.ci_low, l.ci_high,
        l.n_seeds
    FROM store.leaderboard l JOIN dose d ON d.blend = split_part(l.blend, '/', 1);

CREATE OR REPLACE VIEW judged AS
    SELECT sample_id, judge, p_error, label, status FROM store.verdicts WHERE judge = (
        SELECT v.judge FROM store.verdicts v JOIN store.stages g USING (stage)
        ORDER BY regexp_matches(g.stage, '^score:[0-9]+-factuality$') DESC, g.position DESC LIMIT 1
    );
CREATE OR REPLACE VIEW blend_facts AS
    SELECT b.blend, b.n_rows, b.n_samples, b.n_tokens, f.n_specialist / nullif(b.n_rows, 0) AS specialist_share,
        f.licences, f.n_non_commercial / nullif(b.n_rows, 0) AS non_commercial_share, f.error_mass,
        coalesce(f.n_unjudged, 0)::BIGINT AS n_unjudged,
        f.n_unjudged / nullif(b.n_rows - f.n_specialist, 0) AS unjudged_share
    FROM blends b LEFT JOIN (
        SELECT m.blend, string_agg(DISTINCT s.licence, ', ' ORDER BY s.licence) AS licences,
            coalesce(sum(m.repeats) FILTER (WHERE m.role = 'specialist'), 0) AS n_specialist,
            coalesce(sum(m.repeats) FILTER (WHERE o.non_commercial), 0) AS n_non_commercial,
            sum(j.p_error * m.weight * m.repeats) FILTER (WHERE m.role = 'generalist') AS error_mass,
            coalesce(sum(m.repeats) FILTER (WHERE m.role = 'generalist' AND j.p_error IS NULL), 0) AS n_unjudged
        FROM store.members m JOIN store.samples s USING (sample_no) JOIN sources o ON o.source = s.source
        LEFT JOIN judged j ON j.sample_id = s.sample_id GROUP BY m.blend
    ) f USING (blend);
CREATE OR REPLACE VIEW blend_overlap AS
    SELECT a.blend AS blend_a, b.blend AS blend_b, coalesce(n.n_both, 0) AS n_both,
        coalesce(n.n_both, 0) / nullif(a.n_samples + b.n_samples - coalesce(n.n_both, 0), 0) AS jaccard,
        coalesce(n.n_both, 0) / nullif(a.n_samples, 0) AS share_of_a,
        coalesce(n.n_both, 0) / nullif(b.n_samples, 0) AS share_of_b
    FROM blends a JOIN blends b ON a.blend < b.blend LEFT JOIN (
        SELECT x.blend AS blend_a, y.blend AS blend_b, count(*) AS n_both
        FROM store.members x JOIN store.members y USING (sample_no) WHERE x.blend < y.blend GROUP BY ALL
    ) n ON n.blend_a = a.blend AND n.blend_b = b.blend;
CREATE OR REPLACE VIEW cell_weights AS
    WITH held AS (
        SELECT c.space, c.cell, s.source, s.role = 'generalist' AS is_pool, count(*) AS n
        FROM store.cells c JOIN store.samples s USING (sample_id)
        WHERE s.role IN ('generalist', 'specialist', 'eval') GROUP BY ALL
    ), counted AS (
        SELECT t.space, t.target, h.cell, coalesce(sum(h.n) FILTER (WHERE NOT h.is_pool), 0)::BIGINT AS n_target,
            coalesce(sum(h.n) FILTER (WHERE h.is_pool), 0)::BIGINT AS n_pool
        FROM (SELECT DISTINCT space, source AS target FROM held WHERE NOT is_pool) t
        JOIN held h ON h.space = t.space AND (h.is_pool OR h.source = t.target) GROUP BY ALL
    ), shares AS (
        SELECT *, n_target / sum(n_target) OVER w AS target_share,
            n_pool / nullif(sum(n_pool) OVER w, 0) AS pool_share
        FROM counted WINDOW w AS (PARTITION BY space, target)
    )
    SELECT space, target, cell, n_target, n_pool, target_share, pool_share,
        target_share / nullif(pool_share, 0) AS weight
    FROM shares;
CREATE OR REPLACE VIEW blend_coverage AS
    SELECT b.blend, w.space, w.target, sum(CASE WHEN h.cell IS NULL THEN 0 ELSE w.n END) / sum(w.n) AS cell_recall,
        sum(w.n)::BIGINT AS n_target
    FROM blends b CROSS JOIN (
        SELECT c.space, s.source AS target, c.cell, count(*) AS n FROM store.cells c JOIN store.samples s USING (sample_id)
        WHERE s.role IN ('specialist', 'eval') GROUP BY ALL
    ) w LEFT JOIN (
        SELECT DISTINCT m.blend, c.space, c.cell FROM blend_members m JOIN store.cells c USING (sample_id)
        WHERE m.role = 'generalist'
    ) h ON h.blend = b.blend AND h.space = w.space AND h.cell = w.cell
    GROUP BY b.blend, w.space, w.target;

CREATE OR REPLACE MACRO blend(name) AS TABLE
    SELECT m.blend, m.position, s.sample_id, m.role, m.weight, m.repeats, r.reason, s.source, s.task, s.prompt,
        s.response, s.messages, s.licence
    FROM store.members m JOIN store.samples s USING (sample_no) JOIN store.reasons r USING (reason_no)
    WHERE m.blend = name OR split_part(m.blend, '@', 1) = name ORDER BY m.blend, m.position;
CREATE OR REPLACE MACRO blend_diff(a, b) AS TABLE
    SELECT s.sample_id,
        CASE WHEN x.sample_no IS NULL THEN 'added' WHEN y.sample_no IS NULL THEN 'removed'
            WHEN x.repeats <> y.repeats OR x.weight <> y.weight THEN 'changed' ELSE 'same' END AS change,
        x.repeats AS repeats_a, y.repeats AS repeats_b, x.weight AS weight_a, y.weight AS weight_b
    FROM (SELECT * FROM store.members WHERE blend = a) x
    FULL JOIN (SELECT * FROM store.members WHERE blend = b) y USING (sample_no)
    JOIN store.samples s USING (sample_no);
CREATE OR REPLACE MACRO why(id) AS TABLE
    WITH found AS (SELECT sample_id, sample_no, source, role FROM store.samples WHERE starts_with(sample_id, id))
    SELECT sample_id, what, name, detail, value FROM (
        SELECT sample_id, 1 AS rank, 'source' AS what, source AS name, role AS detail, NULL::DOUBLE AS value FROM found
        UNION ALL
        SELECT sample_id, 2, CASE WHEN kept THEN 'kept' ELSE 'dropped' END, step,
            concat_ws(': ', concat_ws(', witness ', reason, witness_id), detail), similarity
        FROM decisions SEMI JOIN found USING (sample_id)
        UNION ALL
        SELECT sample_id, 3, 'score', scorer, concat_ws(': ', status, why), value
        FROM scores SEMI JOIN found USING (sample_id)
        UNION ALL
        SELECT f.sample_id, 4, 'blend', m.blend, r.reason, m.weight * m.repeats
        FROM store.members m JOIN found f USING (sample_no) JOIN store.reasons r USING (reason_no)
    ) ORDER BY sample_id, rank, name;
CREATE OR REPLACE MACRO compare(a, b) AS TABLE
    SELECT task, metric, blend_a, blend_b, difference, ci_low, ci_high, p_value, verdict, minimum_detectable
    FROM comparisons WHERE blend_a = a AND blend_b = b
    UNION ALL
    SELECT task, metric, blend_b, blend_a, -difference, -ci_high, -ci_low, p_value,
        CASE verdict WHEN 'helps' THEN 'hurts' WHEN 'hurts' THEN 'helps' ELSE verdict END, minimum_detectable
    FROM comparisons WHERE blend_a = b AND blend_b = a;
CREATE OR REPLACE MACRO coverage_of(name) AS TABLE
    WITH held AS (
        SELECT DISTINCT m.blend, c.space, c.cell FROM blend_members m JOIN cells c USING (sample_id)
        WHERE m.role = 'generalist' AND (m.blend = name OR split_part(m.blend, '@', 1) = name)
    ), wanted AS (
        SELECT c.space, s.source AS target, c.cell, count(*) AS n FROM cells c JOIN samples s USING (sample_id)
        WHERE s.role IN ('specialist', 'eval') GROUP BY ALL
    )
    SELECT b.blend, w.space, w.target,
        sum(w.n) FILTER (WHERE h.cell IS NOT NULL) / sum(w.n) AS cell_recall, sum(w.n)::BIGINT AS n_target
    FROM wanted w CROSS JOIN (SELECT DISTINCT blend FROM held) b
    LEFT JOIN held h ON h.blend = b.blend AND h.space = w.space AND h.cell = w.cell
    GROUP BY b.blend, w.space, w.target ORDER BY b.blend, w.target;
CREATE OR REPLACE MACRO lineage(name) AS TABLE
    WITH held AS (
        SELECT m.*, s.sample_id, s.source, s.licence FROM store.members m JOIN store.samples s USING (sample_no)
        WHERE m.blend = name OR split_part(m.blend, '@', 1) = name
    ), passed AS (
        SELECT sample_id, string_agg(step, ', ' ORDER BY try_cast(split_part(step, '-', 1) AS INTEGER), step) AS steps,
            string_agg(concat_ws(': ', step, reason), '; ' ORDER BY step) FILTER (WHERE reason IS NOT NULL) AS remarks
        FROM decisions WHERE kept AND sample_id IN (SELECT sample_id FROM held) GROUP BY sample_id
    )
    SELECT h.blend, h.position, h.sample_id, h.source, o.uri, o.revision, o.sha256, h.licence, p.steps, p.remarks,
        j.judge, j.p_error, h.role, r.reason, h.weight, h.repeats
    FROM held h JOIN sources o ON o.source = h.source JOIN store.reasons r USING (reason_no)
    LEFT JOIN passed p ON p.sample_id = h.sample_id LEFT JOIN judged j ON j.sample_id = h.sample_id
    ORDER BY h.blend, h.position;

COMMENT ON VIEW stages IS 'Every finished stage; a stage whose key is here is not run again';
COMMENT ON COLUMN stages.stage IS 'Name of the stage, such as step:2-fuzzy';
COMMENT ON COLUMN stages.kind IS 'read, step, score, cells, mix, base, train, measure, compare, search, quality or labels';
COMMENT ON COLUMN stages.key IS 'Hash of its spec, its inputs'' keys and its code''s version';
COMMENT ON COLUMN stages.seconds IS 'Wall time it took';
COMMENT ON COLUMN stages.n_rows IS 'Rows it wrote';
COMMENT ON COLUMN stages.finished_at IS 'When it was committed (UTC)';
COMMENT ON VIEW sources IS 'One row per source of the job';
COMMENT ON COLUMN sources.source IS 'Name given in the job';
COMMENT ON COLUMN sources.role IS 'generalist, specialist, eval or knowledge';
COMMENT ON COLUMN sources.uri IS 'File or hub id it was read from';
COMMENT ON COLUMN sources.revision IS 'Pinned revision of a hub id';
COMMENT ON COLUMN sources.licence IS 'Licence as given in the job';
COMMENT ON COLUMN sources.non_commercial IS 'True when the licence forbids commercial use';
COMMENT ON COLUMN sources.rows IS 'Rows read: samples + rejects';
COMMENT ON COLUMN sources.samples IS 'Rows that became samples';
COMMENT ON COLUMN sources.rejects IS 'Rows that did not, each in rejects with its reason';
COMMENT ON COLUMN sources.sha256 IS 'Hash of the bytes read';
COMMENT ON COLUMN sources.skipped IS 'Rows that select or limit left out of the source';
COMMENT ON VIEW samples IS 'Every row read, kept or not';
COMMENT ON COLUMN samples.sample_id IS 'Hash of (content_id, source, occurrence), 32 hex digits';
COMMENT ON COLUMN samples.content_id IS 'Hash of the messages, 32 hex digits';
COMMENT ON COLUMN samples.source IS 'Source it came from';
COMMENT ON COLUMN samples.role IS 'generalist, specialist, eval or knowledge';
COMMENT ON COLUMN samples.task IS 'Task it belongs to, NULL when unknown';
COMMENT ON COLUMN samples.prompt IS 'Turns before the last answer, system excluded';
COMMENT ON COLUMN samples.response IS 'The last answer';
COMMENT ON COLUMN samples.system IS 'System turns, NULL when none';
COMMENT ON COLUMN samples.messages IS 'JSON list of {role, content}';
COMMENT ON COLUMN samples.n_turns IS 'Number of messages';
COMMENT ON COLUMN samples.n_chars IS 'Characters of all messages';
COMMENT ON COLUMN samples.licence IS 'Licence of its source or row';
COMMENT ON COLUMN samples.meta IS 'JSON object: references, choices, user columns';
COMMENT ON COLUMN samples.kept IS 'False once a step has dropped it';
COMMENT ON COLUMN samples.n_tokens IS 'Estimate: UTF-8 bytes / 4';
COMMENT ON COLUMN samples.k64 IS '64-bit key that sampling hashes with a seed';
COMMENT ON VIEW rejects IS 'Rows that are not samples';
COMMENT ON COLUMN rejects.source IS 'Source it came from';
COMMENT ON COLUMN rejects.line IS 'Line or row, from 1';
COMMENT ON COLUMN rejects.reason IS 'Why it is not a sample';
COMMENT ON COLUMN rejects.raw_hash IS 'Hash of its raw bytes';
COMMENT ON VIEW decisions IS 'What each step decided on each sample it saw';
COMMENT ON COLUMN decisions.sample_id IS 'The sample';
COMMENT ON COLUMN decisions.step IS 'Step, by its place and kind in the job';
COMMENT ON COLUMN decisions.kept IS 'False when the step dropped it';
COMMENT ON COLUMN decisions.reason IS 'Why it was dropped, or a remark';
COMMENT ON COLUMN decisions.witness_id IS 'The sample kept in its stead, or the eval row it overlaps';
COMMENT ON COLUMN decisions.similarity IS 'Similarity to the witness, 0 to 1';
COMMENT ON COLUMN decisions.detail IS 'What was found, such as the n-gram that an eval row holds too';
COMMENT ON VIEW conflicts IS 'Rows kept although another row answers the same prompt differently: work for a judge';
COMMENT ON COLUMN conflicts.step IS 'Step that found the conflict';
COMMENT ON COLUMN conflicts.conflict_id IS 'First sample of the group: rows with one conflict_id answer one prompt';
COMMENT ON COLUMN conflicts.sample_id IS 'The sample';
COMMENT ON COLUMN conflicts.source IS 'Its source';
COMMENT ON COLUMN conflicts.prompt IS 'The prompt';
COMMENT ON COLUMN conflicts.response IS 'This row''s answer to it';
COMMENT ON COLUMN conflicts.similarity IS 'Similarity of its answer to that of the group''s first sample, 0 to 1, NULL for that one';
COMMENT ON VIEW funnel IS 'Rows in, kept and dropped per step and source';
COMMENT ON COLUMN funnel.stage IS 'Stage that decided';
COMMENT ON COLUMN funnel.step IS 'Step, by its place and kind in the job';
COMMENT ON COLUMN funnel.source IS 'Source of the rows';
COMMENT ON COLUMN funnel.n_in IS 'Rows the step saw (NULL in rows with a reason)';
COMMENT ON COLUMN funnel.n_kept IS 'Rows it kept (NULL in rows with a reason)';
COMMENT ON COLUMN funnel.n_dropped IS 'Rows it dropped, in all or for this reason';
COMMENT ON COLUMN funnel.reason IS 'NULL for the total, else one reason of dropping';
COMMENT ON VIEW scores IS 'One number per sample and scorer, or the reason for its absence';
COMMENT ON COLUMN scores.sample_id IS 'The sample';
COMMENT ON COLUMN scores.scorer IS 'Name of the scorer';
COMMENT ON COLUMN scores.value IS 'Finite number, NULL unless status is ok';
COMMENT ON COLUMN scores.status IS 'ok, abstained or failed';
COMMENT ON COLUMN scores.why IS 'Why it abstained or failed';
COMMENT ON COLUMN scores.key IS 'Key of the call in the cache';
COMMENT ON VIEW verdicts IS 'What a judge said of each sample';
COMMENT ON COLUMN verdicts.sample_id IS 'The sample';
COMMENT ON COLUMN verdicts.judge IS 'Name of the judge in the job';
COMMENT ON COLUMN verdicts.p_error IS 'Probability that the row is factually wrong, 0 to 1';
COMMENT ON COLUMN verdicts.label IS 'correct or wrong at the judge''s threshold';
COMMENT ON COLUMN verdicts.defect IS 'Class of the defect';
COMMENT ON COLUMN verdicts.claims IS 'JSON list of claims with a verdict each';
COMMENT ON COLUMN verdicts.evidence IS 'JSON list of evidence';
COMMENT ON COLUMN verdicts.status IS 'ok, abstained or failed';
COMMENT ON COLUMN verdicts.repair IS 'A corrected answer, where one was asked for';
COMMENT ON VIEW quality IS 'What is known of a scorer''s own errors, each number with a 95 % interval';
COMMENT ON COLUMN quality.scorer IS 'Name of the scorer or judge';
COMMENT ON COLUMN quality.measured_on IS 'The labels or probes that it was measured on';
COMMENT ON COLUMN quality.metric IS 'Name of the number, such as auroc, recall or false_pass_rate';
COMMENT ON COLUMN quality.value IS 'Its value, NULL where the rows do not define it';
COMMENT ON COLUMN quality.ci_low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN quality.ci_high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN quality.n IS 'Rows that the number is about';
COMMENT ON COLUMN quality.note IS 'What else must be known to read it';
COMMENT ON VIEW labels IS 'Verdicts by hand, brought in with import-labels';
COMMENT ON COLUMN labels.sample_id IS 'The sample';
COMMENT ON COLUMN labels.label IS 'correct, wrong or unsure';
COMMENT ON COLUMN labels.defect IS 'Class of the defect, NULL when not said';
COMMENT ON COLUMN labels.note IS 'What the reader wrote';
COMMENT ON COLUMN labels.labelled_by IS 'Who read it';
COMMENT ON COLUMN labels.labelled_at IS 'When it was brought in (UTC)';
COMMENT ON VIEW coverage IS 'How well a source covers a target, as numbers';
COMMENT ON COLUMN coverage.target IS 'Specialist or eval source or task';
COMMENT ON COLUMN coverage.source IS 'Source measured, or pool for all generalist rows';
COMMENT ON COLUMN coverage.metric IS 'Of the target alone: breadth, spread. Of target and source: nearness (ranks broad above narrow best), knn_recall, overlap, effective_share, cell_recall (1 wherever a source has many rows per cell), distance and novelty (small = covered; neither ranks targets)';
COMMENT ON COLUMN coverage.value IS 'Its value, 0 to 1; mixers.coverage_numbers.coverage defines each';
COMMENT ON VIEW cells IS 'The coverage cell of each sample';
COMMENT ON COLUMN cells.sample_id IS 'The sample';
COMMENT ON COLUMN cells.space IS 'Embedding and clustering it belongs to';
COMMENT ON COLUMN cells.cell IS 'Number of the cell';
COMMENT ON VIEW blends IS 'One row per drawn blend';
COMMENT ON COLUMN blends.blend IS 'name@seed';
COMMENT ON COLUMN blends.content_id IS 'Hash of the members in order';
COMMENT ON COLUMN blends.recipe IS 'JSON of the mixer that drew it';
COMMENT ON COLUMN blends.seed IS 'Seed of the draw';
COMMENT ON COLUMN blends.n_rows IS 'Rows with repeats';
COMMENT ON COLUMN blends.n_samples IS 'Distinct samples';
COMMENT ON COLUMN blends.n_tokens IS 'Estimated tokens with repeats';
COMMENT ON COLUMN blends.created_at IS 'When it was drawn (UTC)';
COMMENT ON COLUMN blends.recipe_name IS 'Name without the seed: what the leaderboard groups by';
COMMENT ON VIEW blend_members IS 'Which sample is in which blend, and why';
COMMENT ON COLUMN blend_members.blend IS 'name@seed';
COMMENT ON COLUMN blend_members.position IS 'Place in training order, from 0';
COMMENT ON COLUMN blend_members.sample_id IS 'The sample';
COMMENT ON COLUMN blend_members.role IS 'generalist or specialist';
COMMENT ON COLUMN blend_members.weight IS 'Weight of its loss';
COMMENT ON COLUMN blend_members.repeats IS 'How often it is shown in an epoch';
COMMENT ON COLUMN blend_members.reason IS 'Why it was drawn';
COMMENT ON VIEW composition IS 'What each blend is made of';
COMMENT ON COLUMN composition.blend IS 'name@seed';
COMMENT ON COLUMN composition.source IS 'Source';
COMMENT ON COLUMN composition.role IS 'generalist or specialist';
COMMENT ON COLUMN composition.task IS 'Task';
COMMENT ON COLUMN composition.n_rows IS 'Rows with repeats';
COMMENT ON COLUMN composition.share IS 'Share of the blend''s rows, 0 to 1';
COMMENT ON VIEW strata IS 'Requested against taken, per stratum of a blend';
COMMENT ON COLUMN strata.blend IS 'name@seed';
COMMENT ON COLUMN strata.stratum IS 'Name of the stratum; lines of raking that begin with marginal: count the same rows once more';
COMMENT ON COLUMN strata.available IS 'Rows that could be drawn, behind every gate';
COMMENT ON COLUMN strata.requested IS 'Rows asked for, before rounding and caps';
COMMENT ON COLUMN strata.taken IS 'Rows drawn, with repeats';
COMMENT ON COLUMN strata.repeats IS 'How often a row of it is shown at most';
COMMENT ON COLUMN strata.limited_by IS 'What kept taken below requested, NULL when nothing did: supply, epoch cap, where, score (rows without the score that is drawn by), target (rows that no example of the target names), hallucination budget, unjudged, contamination, rounding or infeasible (marginals)';
COMMENT ON COLUMN strata.samples IS 'Distinct rows drawn';
COMMENT ON COLUMN strata.error_mass IS 'Expected wrong rows drawn: sum of p_error x weight x repeats, NULL when no row has a p_error';
COMMENT ON COLUMN strata.note IS 'What a budget or a marginal did here';
COMMENT ON VIEW runs IS 'One fine-tuning of one blend';
COMMENT ON COLUMN runs.run IS 'Name of the run';
COMMENT ON COLUMN runs.blend IS 'Blend it was trained on';
COMMENT ON COLUMN runs.trainer IS 'Kind of the trainer';
COMMENT ON COLUMN runs.base IS 'Base model';
COMMENT ON COLUMN runs.seed IS 'Seed of order and initialisation';
COMMENT ON COLUMN runs.status IS 'done or failed';
COMMENT ON COLUMN runs.steps IS 'Optimizer steps';
COMMENT ON COLUMN runs.tokens IS 'Tokens trained on';
COMMENT ON COLUMN runs.seconds IS 'Wall time of the training';
COMMENT ON COLUMN runs.peak_memory IS 'Bytes at the peak';
COMMENT ON COLUMN runs.content_id IS 'Hash of the trained weights';
COMMENT ON COLUMN runs.note IS 'Why it failed, or what it skipped';
COMMENT ON COLUMN runs.cpu_seconds IS 'Processor time of the training, all threads together; NULL when not recorded, as for runs that were resumed or trained together';
COMMENT ON COLUMN runs.parameters IS 'Parameters of the model, base and adapter; NULL when not recorded';
COMMENT ON VIEW results IS 'One metric of one example under one run; more is always better';
COMMENT ON COLUMN results.run IS 'The run, RUN/again where it was measured a second time, or a baseline: base, majority, copy, demonstration';
COMMENT ON COLUMN results.task IS 'Name of the task';
COMMENT ON COLUMN results.example_id IS 'sample_id of the eval row';
COMMENT ON COLUMN results.metric IS 'Name of the metric';
COMMENT ON COLUMN results.value IS 'Finite, or NULL when undefined';
COMMENT ON COLUMN results.prediction IS 'What the model said, where it generates';
COMMENT ON VIEW leaderboard IS 'Mean of each metric per recipe, with a 95 % interval over examples and seeds';
COMMENT ON COLUMN leaderboard.blend IS 'Recipe name (recipe/unit where runs have several budgets), or a baseline: base, majority, copy, demonstration';
COMMENT ON COLUMN leaderboard.task IS 'Name of the task';
COMMENT ON COLUMN leaderboard.metric IS 'Name of the metric; more is better';
COMMENT ON COLUMN leaderboard.mean IS 'Mean over examples and seeds';
COMMENT ON COLUMN leaderboard.ci_low IS 'Lower end of the interval';
COMMENT ON COLUMN leaderboard.ci_high IS 'Upper end of the interval';
COMMENT ON COLUMN leaderboard.n_examples IS 'Examples measured';
COMMENT ON COLUMN leaderboard.n_seeds IS 'Seeds measured: the mean is over these alone';
COMMENT ON COLUMN leaderboard.n_planned IS 'Seeds that the recipe was drawn for; more than n_seeds when a run failed or is still to come';
COMMENT ON VIEW comparisons IS 'Paired difference of two recipes on the same examples and seeds';
COMMENT ON COLUMN comparisons.task IS 'Name of the task';
COMMENT ON COLUMN comparisons.metric IS 'Name of the metric; more is better';
COMMENT ON COLUMN comparisons.blend_a IS 'Recipe compared';
COMMENT ON COLUMN comparisons.blend_b IS 'Recipe it is compared with';
COMMENT ON COLUMN comparisons.difference IS 'Mean of a minus mean of b';
COMMENT ON COLUMN comparisons.ci_low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN comparisons.ci_high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN comparisons.p_value IS 'Holm-corrected over the comparisons of the task and metric';
COMMENT ON COLUMN comparisons.verdict IS 'helps, hurts or cannot tell, of a against b';
COMMENT ON COLUMN comparisons.minimum_detectable IS 'Smallest difference found with 80 % power at 5 %';
COMMENT ON COLUMN comparisons.n_examples IS 'Examples that both recipes were measured on';
COMMENT ON COLUMN comparisons.n_seeds IS 'Seeds that both recipes were run with';
COMMENT ON COLUMN comparisons.p_permutation IS 'P value of flipping the signs of whole examples (McNemar''s exact test for a binary metric and one seed), Holm-corrected; it speaks of these seeds alone';
COMMENT ON COLUMN comparisons.seeds_needed IS 'Seeds at which a difference as large as the one seen would be found with 80 % power, NULL when it is decided or more seeds alone never would';
COMMENT ON COLUMN comparisons.examples_needed IS 'Examples likewise, with the seeds as they are';
COMMENT ON VIEW best_sets IS 'Which recipes cannot be told from the best one of a task, metric and budget; those whose difference from it was not found at 5 % after Holm''s correction';
COMMENT ON COLUMN best_sets.task IS 'Name of the task';
COMMENT ON COLUMN best_sets.metric IS 'Name of the metric; more is better';
COMMENT ON COLUMN best_sets.blend IS 'Recipe name';
COMMENT ON COLUMN best_sets.mean IS 'Its mean over examples and seeds';
COMMENT ON COLUMN best_sets.behind IS 'How far its mean is behind the highest';
COMMENT ON COLUMN best_sets.best IS 'Recipe with the highest mean';
COMMENT ON COLUMN best_sets.p_value IS 'Of its comparison with that recipe, Holm-corrected; NULL for that recipe and where they were not compared';
COMMENT ON COLUMN best_sets.among_best IS 'True when no difference from the best was found, NULL when they were not compared';
COMMENT ON VIEW costs IS 'What each run took';
COMMENT ON COLUMN costs.run IS 'The run';
COMMENT ON COLUMN costs.recipe_name IS 'Recipe of its blend';
COMMENT ON COLUMN costs.seed IS 'Seed of order and initialisation';
COMMENT ON COLUMN costs.status IS 'done or failed';
COMMENT ON COLUMN costs.steps IS 'Optimizer steps';
COMMENT ON COLUMN costs.tokens IS 'Tokens trained on';
COMMENT ON COLUMN costs.seconds IS 'Wall time of the training';
COMMENT ON COLUMN costs.cpu_seconds IS 'Processor time of the training, all threads together; NULL when not recorded';
COMMENT ON COLUMN costs.peak_memory IS 'Bytes at the peak';
COMMENT ON COLUMN costs.parameters IS 'Parameters of the model, base and adapter; NULL when not recorded';
COMMENT ON COLUMN costs.flops IS '6 x parameters x tokens (Kaplan et al. 2020, attention left out); an adapter on a frozen base takes about two thirds of it';
COMMENT ON COLUMN costs.tokens_per_cpu_second IS 'Tokens per second of processor time';
COMMENT ON VIEW learning_curve IS 'Training loss of each run, step by step as it was logged';
COMMENT ON COLUMN learning_curve.run IS 'The run';
COMMENT ON COLUMN learning_curve.recipe_name IS 'Recipe of its blend';
COMMENT ON COLUMN learning_curve.seed IS 'Seed of order and initialisation';
COMMENT ON COLUMN learning_curve.step IS 'Optimizer steps done';
COMMENT ON COLUMN learning_curve.loss IS 'Mean loss per learnt token, in nats';
COMMENT ON COLUMN learning_curve.tokens IS 'Tokens trained on by then, in proportion to the steps';
COMMENT ON VIEW ratio_curve IS 'Score against the amount and share of generalist rows, one point per recipe';
COMMENT ON COLUMN ratio_curve.task IS 'Name of the task';
COMMENT ON COLUMN ratio_curve.metric IS 'Name of the metric; more is better';
COMMENT ON COLUMN ratio_curve.blend IS 'Recipe name';
COMMENT ON COLUMN ratio_curve.specialist_rows IS 'Specialist rows with repeats, mean over seeds';
COMMENT ON COLUMN ratio_curve.generalist_rows IS 'Generalist rows with repeats, mean over seeds';
COMMENT ON COLUMN ratio_curve.generalist_share IS 'Their share of the rows, 0 to 1, mean over seeds';
COMMENT ON COLUMN ratio_curve.mean IS 'Mean over examples and seeds';
COMMENT ON COLUMN ratio_curve.ci_low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN ratio_curve.ci_high IS 'Upper end of the interval';
COMMENT ON COLUMN ratio_curve.n_seeds IS 'Seeds measured';
COMMENT ON VIEW judged IS 'The verdict that recipes use as p_error: of the cascade, else of the last judge of the job';
COMMENT ON COLUMN judged.sample_id IS 'The sample';
COMMENT ON COLUMN judged.judge IS 'Name of that judge';
COMMENT ON COLUMN judged.p_error IS 'Probability that the row is factually wrong, NULL unless status is ok';
COMMENT ON COLUMN judged.label IS 'correct or wrong at the judge''s threshold';
COMMENT ON COLUMN judged.status IS 'ok, abstained or failed';
COMMENT ON VIEW blend_facts IS 'One row per blend: size, licences, expected errors';
COMMENT ON COLUMN blend_facts.blend IS 'name@seed';
COMMENT ON COLUMN blend_facts.n_rows IS 'Rows with repeats';
COMMENT ON COLUMN blend_facts.n_samples IS 'Distinct samples';
COMMENT ON COLUMN blend_facts.n_tokens IS 'Estimated tokens with repeats';
COMMENT ON COLUMN blend_facts.specialist_share IS 'Share of its rows that are specialist, 0 to 1';
COMMENT ON COLUMN blend_facts.licences IS 'Licences of its samples, in order';
COMMENT ON COLUMN blend_facts.non_commercial_share IS 'Share of its rows whose source forbids commercial use, 0 to 1';
COMMENT ON COLUMN blend_facts.error_mass IS 'Expected wrong generalist rows: sum of p_error x weight x repeats over the judged ones, NULL when none is';
COMMENT ON COLUMN blend_facts.n_unjudged IS 'Generalist rows, with repeats, without a p_error: error_mass leaves them out';
COMMENT ON COLUMN blend_facts.unjudged_share IS 'Their share of the generalist rows, 0 to 1; NULL without generalist rows';
COMMENT ON VIEW blend_overlap IS 'Samples that two blends share, one row per pair, blend_a before blend_b';
COMMENT ON COLUMN blend_overlap.blend_a IS 'name@seed';
COMMENT ON COLUMN blend_overlap.blend_b IS 'name@seed of the other';
COMMENT ON COLUMN blend_overlap.n_both IS 'Distinct samples in both';
COMMENT ON COLUMN blend_overlap.jaccard IS 'Samples in both / samples in either, 0 to 1; NULL when both are empty';
COMMENT ON COLUMN blend_overlap.share_of_a IS 'Share of a''s samples that b holds too, 0 to 1';
COMMENT ON COLUMN blend_overlap.share_of_b IS 'Share of b''s samples that a holds too, 0 to 1';
COMMENT ON VIEW cell_weights IS 'Importance weight of each cell for each target: how many times as common it is in the target as in the pool';
COMMENT ON COLUMN cell_weights.space IS 'Embedding and clustering of the cells';
COMMENT ON COLUMN cell_weights.target IS 'Specialist or eval source';
COMMENT ON COLUMN cell_weights.cell IS 'Number of the cell';
COMMENT ON COLUMN cell_weights.n_target IS 'Rows of the target in the cell';
COMMENT ON COLUMN cell_weights.n_pool IS 'Generalist rows in the cell';
COMMENT ON COLUMN cell_weights.target_share IS 'Share of the target''s rows that are in the cell';
COMMENT ON COLUMN cell_weights.pool_share IS 'Share of the generalist rows that are in the cell';
COMMENT ON COLUMN cell_weights.weight IS 'target_share / pool_share: above 1 = the target needs more than a random draw gives; NULL where the pool has no row';
COMMENT ON VIEW blend_coverage IS 'coverage_of for every blend';
COMMENT ON COLUMN blend_coverage.blend IS 'name@seed';
COMMENT ON COLUMN blend_coverage.space IS 'Embedding and clustering of the cells';
COMMENT ON COLUMN blend_coverage.target IS 'Specialist or eval source';
COMMENT ON COLUMN blend_coverage.cell_recall IS 'Share of the target''s rows whose cell holds a generalist row of the blend, 0 to 1';
COMMENT ON COLUMN blend_coverage.n_target IS 'Rows of the target that have a cell';
COMMENT ON MACRO TABLE blend IS 'Rows of a blend (name@seed) or of all seeds of a recipe, with their text';
COMMENT ON MACRO TABLE blend_diff IS 'Samples added, removed, changed or the same from blend a to blend b';
COMMENT ON MACRO TABLE why IS 'Everything that happened to a sample (id or a prefix of it)';
COMMENT ON MACRO TABLE compare IS 'Comparisons of recipe a with recipe b, in that direction';
COMMENT ON MACRO TABLE coverage_of IS 'Share of each target''s rows whose cell the blend holds';
COMMENT ON MACRO TABLE lineage IS 'One row per member of a blend (name@seed) or of all seeds of a recipe: file it was read from, steps it passed, p_error, why it was drawn';
