-- include: common runs policy
--
-- Checks a key and its policy for a call that needs a lookup before it can be priced. Holds no money.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  SHA-256 of the vault key, hex
-- ARGV[2]  vendor
-- ARGV[3]  operation
-- ARGV[4]  '1' if the operation is refused unless the run's policy names it, else '0'
-- ARGV[5]  the audit row, JSON; written only if it denies
-- ARGV[6]  the account that the call acts on, or '' for the secret's own
--
-- Returns {'OK', run_id, label}, a denial (policy.lua), {'UNTRUSTED'} or {'AUDIT_FULL'}.

local refusal = not_ready()
if refusal then return refusal end
local now = now_ms()
local run, denial = admit(ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[6], now)
if denial then return deny(denial, ARGV[5], now) end
return { 'OK', run.run_id, run.label }
