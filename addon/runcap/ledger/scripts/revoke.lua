-- include: common runs
--
-- Revokes a run's key, for the very next call. Revoking it again keeps the first time.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  run_id
-- ARGV[2]  detail of the admin row, JSON
--
-- Returns {'OK'}, {'NONE'} if there is no such run, or {'UNTRUSTED'}.

local refusal = no_change(ARGV[2])
if refusal then return refusal end
local digest = redis.call('HGET', RUN_IDS, ARGV[1])
local run = digest and load_run(digest)
if not run then return { 'NONE' } end
if run.revoked_ms then return { 'OK' } end
redis.call('XLEN', AUDIT)
redis.call('HSET', run.key, 'revoked_ms', now_ms())
audit_admin('key_revoked', run.run_id, run.label, ARGV[2])
return { 'OK' }
