-- include: common runs counters
--
-- Moves what was spent for one call to what it really cost, once its vendor says so: in every selector and window where
-- the call was counted. Once for each of the vendor's resources: doing it again changes nothing.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  run_id
-- ARGV[2]  vendor
-- ARGV[3]  the vendor's id of what the call made
-- ARGV[4]  day on which the call was counted, '2026-11-24'
-- ARGV[5]  difference in micros, with '-' in front if it cost less than was counted
-- ARGV[6]  detail of the admin row, JSON
--
-- Returns {'OK'}, {'ALREADY'}, {'NONE'} if there is no such run, {'UNTRUSTED'} or {'AUDIT_FULL'}.

local KNOWN_MS = 30 * 86400000 -- far longer than anybody asks for a price

local refusal = not_ready()
if refusal then return refusal end
local run_id, vendor, resource, day = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local sign, digits = ARGV[5]:match('^(%-?)(%d+)$')
local difference = number_of(digits, 'the difference') * (sign == '-' and -1 or 1)
if not day:find('^%d%d%d%d%-%d%d%-%d%d$') then error('RUNCAP no day: ' .. day, 0) end
local known = PREFIX .. 'adjusted:' .. vendor .. ':' .. resource
if redis.call('GET', known) then return { 'ALREADY' } end
local digest = redis.call('HGET', RUN_IDS, run_id)
local run = digest and load_run(digest)
if not run then return { 'NONE' } end

-- A fleet is counted from its first cap on, and began with what its runs had counted: so each that is counted now has
-- this call in it.
local selectors = { 'run:' .. run_id, 'vendor:' .. vendor }
for _, fleet in ipairs((counted_fleets(run.label))) do selectors[#selectors + 1] = fleet end
local now, all_counters = now_ms(), {}
for index, selector in ipairs(selectors) do
  local counters = open_counters(selector, day_of(now))
  if counters.missing then return { 'UNTRUSTED' } end
  count_on(counters, day, difference)
  all_counters[index] = counters
end

-- From here on only writes, to keys that have been read above.
for _, counters in ipairs(all_counters) do save_counters(counters, now) end
redis.call('SET', known, ARGV[5], 'PX', text_of(KNOWN_MS))
audit_admin('adjusted', run_id, run.label, ARGV[6])
return { 'OK' }
