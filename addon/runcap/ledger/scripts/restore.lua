-- include: common policy counters
--
-- Counts again, while the ledger is rebuilt, what the audit says was spent. Writes no audit row: the audit has them.
--
-- KEYS[1]  the namespace's prefix
-- ARGV     by fours: run_id, vendor, day (2026-11-24), micros (with '-' in front: given back)
--
-- Returns {'OK'}, {'NOT_REBUILDING'} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
if not redis.call('HGET', META, 'rebuilding') then return { 'NOT_REBUILDING' } end

local function count(selector, day, amount)
  local counters = open_counters(selector, day)
  add(counters, SPENT, amount)
  counters.new_day = false -- the first call of the day drops what is old
  save_counters(counters, 0)
end

for index = 1, #ARGV, 4 do
  local run_id, vendor, day = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  local sign, digits = ARGV[index + 3]:match('^(%-?)(%d+)$')
  local amount = number_of(digits, 'micros') * (sign == '-' and -1 or 1)
  if not day:find('^%d%d%d%d%-%d%d%-%d%d$') then error('RUNCAP no day: ' .. day, 0) end
  local digest = redis.call('HGET', RUN_IDS, run_id)
  local run = digest and load_run(digest)
  local selectors = { 'vendor:' .. vendor }
  if run then
    selectors[2] = 'run:' .. run_id
    for _, fleet in ipairs(run.fleets) do
      if redis.call('HGET', CAPS, fleet) then selectors[#selectors + 1] = fleet end
    end
  end
  for _, selector in ipairs(selectors) do count(selector, day, amount) end
end
return { 'OK' }
