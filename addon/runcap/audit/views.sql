-- Views for people, made for sqlite-utils and Datasette. Columns in _usd are dollars, rounded to a micro for
-- reading; where there is a sum, the exact integer stands beside it in _micros. Nothing is ever decided by them.

-- What counts of a call: settled and unknown ones at what the ledger keeps for them (unknown is never free), released
-- ones not at all, and a call that gave money back with its negative amount.
CREATE VIEW counted_calls AS
SELECT
    seq, at, substr(at, 1, 10) AS day, run_id, label, vendor, decision,
    CASE
        WHEN decision <> 'allowed' OR outcome = 'released' THEN 0
        ELSE coalesce(settled_micros, cost_micros, 0)
    END AS counted_micros
FROM calls;

-- Where the vendor tells the price later, the difference is a row of its own on the day of the call, which is no call.
CREATE VIEW adjustments AS
SELECT
    seq, json_extract(detail, '$.day') AS day, run_id, label, json_extract(detail, '$.vendor') AS vendor,
    json_extract(detail, '$.micros') AS counted_micros
FROM admin
WHERE action = 'adjusted';

-- Both summed up, for each run (which has one label) and for each day. Apart, and only then together: so millions of
-- calls go by in the order of an index, or in nothing but an index, and what is left to be added up is short.
CREATE VIEW counted_runs AS
SELECT
    run_id, max(label) AS label, count(*) AS calls, sum(decision = 'blocked') AS blocked,
    sum(decision = 'refused') AS refused, sum(counted_micros) AS counted_micros, min(at) AS first_at, max(at) AS last_at
FROM counted_calls
GROUP BY run_id
UNION ALL
SELECT run_id, max(label), 0, 0, 0, sum(counted_micros), NULL, NULL
FROM adjustments
GROUP BY run_id;

CREATE VIEW counted_days AS
SELECT
    day, vendor, count(*) AS calls, sum(decision = 'blocked') AS blocked, sum(decision = 'refused') AS refused,
    sum(counted_micros) AS counted_micros
FROM counted_calls
WHERE vendor IS NOT NULL
GROUP BY day, vendor
UNION ALL
SELECT day, vendor, 0, 0, 0, sum(counted_micros)
FROM adjustments
WHERE vendor IS NOT NULL
GROUP BY day, vendor;

CREATE VIEW run_spend AS
SELECT
    run_id,
    max(label) AS label,
    sum(calls) AS calls,
    sum(blocked) AS blocked,
    sum(refused) AS refused,
    round(sum(counted_micros) / 1e6, 6) AS spent_usd,
    sum(counted_micros) AS spent_micros,
    min(first_at) AS first_at,
    max(last_at) AS last_at
FROM counted_runs
WHERE run_id IS NOT NULL
GROUP BY run_id;

-- A fleet here is the label up to and with its last dash: billing- for billing-nightly and billing-hourly. (rtrim
-- takes off the end whatever is not a dash.) A label without a dash is a fleet of its own.
CREATE VIEW fleet_spend AS
SELECT
    coalesce(nullif(rtrim(label, replace(label, '-', '')), ''), label) AS fleet,
    count(DISTINCT label) AS labels,
    count(DISTINCT run_id) AS runs,
    sum(calls) AS calls,
    sum(blocked) AS blocked,
    sum(refused) AS refused,
    round(sum(counted_micros) / 1e6, 6) AS spent_usd,
    sum(counted_micros) AS spent_micros,
    min(first_at) AS first_at,
    max(last_at) AS last_at
FROM counted_runs
WHERE label IS NOT NULL
GROUP BY 1;

CREATE VIEW vendor_daily AS
SELECT
    day,
    vendor,
    sum(calls) AS calls,
    sum(blocked) AS blocked,
    sum(refused) AS refused,
    round(sum(counted_micros) / 1e6, 6) AS spent_usd,
    sum(counted_micros) AS spent_micros
FROM counted_days
GROUP BY day, vendor;

-- spent_usd is the run's when the call was decided; the cap may be that of a fleet or vendor.
CREATE VIEW blocked AS
SELECT
    seq, at, run_id, label, vendor, operation, code,
    round(cost_micros / 1e6, 6) AS requested_usd,
    round(spent_micros / 1e6, 6) AS spent_usd,
    round(cap_micros / 1e6, 6) AS cap_usd,
    cap_level, cap_selector, cap_window,
    cost_micros AS requested_micros, spent_micros, cap_micros
FROM calls
WHERE decision = 'blocked';

-- Linear: what the month has cost so far, over the time since its start (a day at the least, or the first hours
-- would foretell nonsense), times its length.
CREATE VIEW month_forecast AS
WITH
clock AS (
    SELECT
        date('now', 'start of month') AS month_start,
        julianday('now', 'start of month', '+1 month') - julianday('now', 'start of month') AS month_days,
        max(1.0, julianday('now') - julianday('now', 'start of month')) AS elapsed_days
),
month AS (
    SELECT vendor, sum(counted_micros) AS spent_micros
    FROM (
        SELECT vendor, counted_micros FROM counted_calls WHERE at >= (SELECT month_start FROM clock)
        UNION ALL
        SELECT vendor, counted_micros FROM adjustments WHERE day >= (SELECT month_start FROM clock)
    )
    WHERE vendor IS NOT NULL
    GROUP BY vendor
)
SELECT
    substr(month_start, 1, 7) AS month,
    vendor,
    round(spent_micros / 1e6, 6) AS spent_usd,
    round(spent_micros * month_days / elapsed_days / 1e6, 2) AS forecast_usd,
    spent_micros,
    CAST(round(spent_micros * month_days / elapsed_days / 1e4) AS INTEGER) * 10000 AS forecast_micros
FROM month, clock;
