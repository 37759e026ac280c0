-- include: common runs
--
-- Freezes or unfreezes a run, a fleet, a vendor or all, for the very next call.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  what: 'run:<run_id>', 'fleet:<label prefix>', 'vendor:<name>' or 'all'
-- ARGV[2]  '1' to freeze, '0' to unfreeze
-- ARGV[3]  detail of the admin row, JSON; '' in a rebuild
--
-- Returns {'OK', '1' if that changed anything, else '0'}, {'NONE'} if there is no such run, or {'UNTRUSTED'}.

local refusal = no_change(ARGV[3])
if refusal then return refusal end
local what, frozen = ARGV[1], ARGV[2] == '1'
local run_id, label = what:match('^run:(.*)$') or '', ''
if run_id ~= '' then
  local digest = redis.call('HGET', RUN_IDS, run_id)
  local run = digest and load_run(digest)
  if not run then return { 'NONE' } end
  label = run.label
end
local was_frozen = redis.call('HGET', FROZEN, what) and true or false
if was_frozen == frozen then return { 'OK', '0' } end
redis.call('XLEN', AUDIT)
if frozen then
  redis.call('HSET', FROZEN, what, text_of(now_ms()))
else
  redis.call('HDEL', FROZEN, what)
end
audit_admin(frozen and 'frozen' or 'unfrozen', run_id, label, ARGV[3])
return { 'OK', '1' }
