-- include: common runs
--
-- Adds a run, and the counters that it and its vendors are counted in.
--
-- KEYS[1]   the namespace's prefix
-- ARGV[1]   SHA-256 of the vault key, hex
-- ARGV[2]   run_id
-- ARGV[3]   label
-- ARGV[4]   vendors: items with a newline before, between and behind
-- ARGV[5]   policy, JSON (policy.py)
-- ARGV[6-8] caps of day, month and total in micros, or ''
-- ARGV[9]   created_ms
-- ARGV[10]  expires_ms or ''
-- ARGV[11]  revoked_ms or '' (a rebuild brings revoked runs back too)
-- ARGV[12]  detail of the admin row, JSON; '' in a rebuild
--
-- Returns {'OK'}, {'EXISTS'} or {'UNTRUSTED'}.

local refusal = no_change(ARGV[#ARGV])
if refusal then return refusal end
local digest, run_id, label = ARGV[1], ARGV[2], ARGV[3]
for index = 6, 11 do cap_of(ARGV[index], 'argument ' .. index) end
read_policy(ARGV[5])
local run_key, counters_key = PREFIX .. 'run:' .. digest, PREFIX .. 'spend:run:' .. run_id
if load_run(digest) or redis.call('HGET', RUN_IDS, run_id) then return { 'EXISTS' } end
redis.call('HGET', counters_key, 'total:held')
redis.call('ZSCORE', LABELS, '')
redis.call('XLEN', AUDIT)

-- A vendor's counters are made once, with its first run: should they be missing later, they were lost.
local new_vendors = {}
for vendor in ARGV[4]:gmatch('[^\n]+') do
  local counted = redis.call('HGET', META, 'counted:' .. vendor)
  local total = redis.call('HGET', PREFIX .. 'spend:vendor:' .. vendor, 'total:held')
  if not counted and not total then new_vendors[#new_vendors + 1] = vendor end
end

redis.call('HSET', run_key, 'run_id', run_id, 'label', label, 'vendors', ARGV[4], 'policy', ARGV[5], 'cap_day', ARGV[6],
  'cap_month', ARGV[7], 'cap_total', ARGV[8], 'created_ms', ARGV[9], 'expires_ms', ARGV[10], 'revoked_ms', ARGV[11])
redis.call('HSET', RUN_IDS, run_id, digest)
redis.call('ZADD', LABELS, '0', label .. '\0' .. run_id)
redis.call('HSET', counters_key, 'total:held', '0', 'total:spent', '0')
for _, vendor in ipairs(new_vendors) do
  redis.call('HSET', META, 'counted:' .. vendor, '1')
  redis.call('HSET', PREFIX .. 'spend:vendor:' .. vendor, 'total:held', '0', 'total:spent', '0')
end
audit_admin('key_issued', run_id, label, ARGV[12])
return { 'OK' }
