-- include: common runs policy
--
-- Writes the audit row of a call that was refused before the ledger was asked.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  SHA-256 of the vault key, hex, or ''
-- ARGV[2]  'blocked' or 'refused'
-- ARGV[3]  code
-- ARGV[4]  the audit row, JSON
-- ARGV[5]  '1', or '0' to write nothing if no run has that key
--
-- Returns {'OK', run_id, label} (both '' if the key is unknown), {'UNTRUSTED'} or {'AUDIT_FULL'}.

local refusal = not_ready()
if refusal then return refusal end
local run = ARGV[1] ~= '' and load_run(ARGV[1]) or nil
if not run and ARGV[5] == '0' then return { 'OK', '', '' } end
local run_id, label = run and run.run_id or '', run and run.label or ''
audit_call({ at_ms = now_ms(), run_id = run_id, label = label, decision = ARGV[2], code = ARGV[3], outcome = '',
  settled = '', spent = spent_of(run), cap = nil, row = ARGV[4], ending = '' })
return { 'OK', run_id, label }
