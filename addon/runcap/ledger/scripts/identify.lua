-- include: common runs policy
--
-- Says whose key it is and whether it is good, whatever its run may do. Writes nothing.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  SHA-256 of the vault key, hex
--
-- Returns {'OK', run_id, label}, a denial without a cap (policy.lua), {'UNTRUSTED'} or {'AUDIT_FULL'}.

local refusal = not_ready()
if refusal then return refusal end
local run, denial = run_of_key(ARGV[1], now_ms())
if run then return { 'OK', run.run_id, run.label } end
local whose = denial.run or { run_id = '', label = '' }
return { 'DENY', denial.code, whose.run_id, whose.label, '', '', '' }
