-- The audit: one row for each call, one for each act of administration, chained over both tables by seq and hash.
-- Append-only. The triggers stop mistakes and casual tampering; whoever can write the file can drop them, which
-- `runcap audit verify` reports, as it does whatever was changed meanwhile (runcap/audit/chain.py has the rule).

CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,             -- 1, 2, 3, … over both tables, and over files (runcap/audit/files.py)
    at TEXT NOT NULL,                    -- when it was decided: UTC, 2026-11-24T09:30:00.123Z
    run_id TEXT,                         -- null: no valid vault key came with it
    label TEXT,
    vendor TEXT,
    method TEXT,
    path TEXT,                           -- without query, personal segments masked
    operation TEXT,                      -- METHOD /path/{template}
    decision TEXT NOT NULL,              -- allowed | blocked (by a rule of the operator) | refused
    code TEXT,                           -- why it was not allowed, or what went wrong upstream
    status INTEGER,                      -- of the answer to the agent
    outcome TEXT,                        -- settled | released | unknown; null: not forwarded
    cost_micros INTEGER,                 -- the quote, micro-USD
    settled_micros INTEGER,              -- what the run's counters keep for it; negative: it gave money back
    spent_micros INTEGER,                -- of the run when it was decided, held amounts included
    cap_micros INTEGER,                  -- the cap that it hit, or else the tightest that applied
    cap_level TEXT,                      -- run | fleet | vendor
    cap_selector TEXT,
    cap_window TEXT,                     -- day | month | total
    amount_minor INTEGER,                -- in the minor unit of currency; messages: segments; email: recipients
    currency TEXT,
    idempotency_digest TEXT,
    vendor_request_id TEXT,
    duration_ms INTEGER,
    overhead_us INTEGER,                 -- runcap's own part of it
    stream_id TEXT NOT NULL UNIQUE,      -- of the ledger's stream: an entry becomes a row exactly once
    extra TEXT,                          -- JSON object of whatever else the entry carried
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE admin (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    action TEXT NOT NULL,                -- key_issued, cap_set, …; unreadable_entry: detail holds it as it came
    run_id TEXT,
    label TEXT,
    detail TEXT,                         -- JSON
    stream_id TEXT NOT NULL UNIQUE,
    extra TEXT,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE INDEX calls_run_id ON calls (run_id);
-- With all that sums by day need: 38 bytes a row more, for reading a tenth of the file.
CREATE INDEX calls_at ON calls (at, vendor, decision, outcome, settled_micros, cost_micros);
-- A few among millions.
CREATE INDEX calls_blocked ON calls (seq) WHERE decision = 'blocked';

-- These run before a conflict is resolved, so REPLACE and upserts are refused on every connection, also on those
-- without recursive_triggers, where REPLACE deletes without firing the triggers on DELETE.
CREATE TRIGGER calls_append BEFORE INSERT ON calls BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: seq must follow the last row')
    WHERE NEW.seq IS NOT 1 + max(
        (SELECT coalesce(max(seq), 0) FROM calls), (SELECT coalesce(max(seq), 0) FROM admin)
    ) AND (EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM admin));
    SELECT RAISE(ABORT, 'the audit is append-only: this stream entry is a row already')
    WHERE EXISTS (SELECT 1 FROM calls WHERE stream_id = NEW.stream_id)
       OR EXISTS (SELECT 1 FROM admin WHERE stream_id = NEW.stream_id);
END;

CREATE TRIGGER admin_append BEFORE INSERT ON admin BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: seq must follow the last row')
    WHERE NEW.seq IS NOT 1 + max(
        (SELECT coalesce(max(seq), 0) FROM calls), (SELECT coalesce(max(seq), 0) FROM admin)
    ) AND (EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM admin));
    SELECT RAISE(ABORT, 'the audit is append-only: this stream entry is a row already')
    WHERE EXISTS (SELECT 1 FROM calls WHERE stream_id = NEW.stream_id)
       OR EXISTS (SELECT 1 FROM admin WHERE stream_id = NEW.stream_id);
END;

CREATE TRIGGER calls_no_update BEFORE UPDATE ON calls BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: no row can be changed');
END;

CREATE TRIGGER admin_no_update BEFORE UPDATE ON admin BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: no row can be changed');
END;

CREATE TRIGGER calls_no_delete BEFORE DELETE ON calls BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: no row can be deleted');
END;

CREATE TRIGGER admin_no_delete BEFORE DELETE ON admin BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only: no row can be deleted');
END;
