-- include: common runs counters objects reservations ending
--
-- Ends a reservation and writes the call's audit row. Once: ending it again changes nothing.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  reservation id
-- ARGV[2]  'settled', 'released' or 'unknown'
-- ARGV[3]  actual cost in micros (with an object: its total), or '' for the quote; only read if settled
-- ARGV[4]  the vendor's object id that the answer named, or ''
-- ARGV[5]  '1' if the object has reached an end state, else '0'
-- ARGV[6]  what the audit row learns at the end, JSON
-- ARGV[7-12]  epoch in which it was reserved, run_id, vendor, quote in micros, object or '', the audit row so far, JSON:
--          what a ledger that was rebuilt since needs, if the lost one took the reservation with it. ARGV[7] is '' if
--          the call counts nothing in any case
--
-- Returns {'OK', settled micros (negative: given back), the run's total in micros}, {'ALREADY'} or {'UNTRUSTED'}.

local KNOWN_TTL_MS = '3600000' -- far longer than anybody tries to bring an end to the ledger

local refusal = under_rebuild()
if refusal then return refusal end
local ending = ARGV[2]
if ending ~= 'settled' and ending ~= 'released' and ending ~= 'unknown' then
  error('RUNCAP no such ending: ' .. ending, 0)
end

-- A call that was under way when the ledger was lost, and that the rebuilt one has never heard of: it is reserved after
-- the fact, holding nothing and past all caps, since the money is gone. 'known:<id>' marks those that it has heard of,
-- open or ended: they need none of that.
local function reserve_late(id, now)
  local run_id, vendor = ARGV[8], ARGV[9]
  local digest = redis.call('HGET', RUN_IDS, run_id)
  local run = digest and load_run(digest)
  if not run or redis.call('EXISTS', PREFIX .. 'known:' .. id) == 1 then return end
  local holds = { hold_line('run:' .. run_id, 0), hold_line('vendor:' .. vendor, 0) }
  for _, fleet in ipairs((counted_fleets(run.label))) do holds[#holds + 1] = hold_line(fleet, 0) end
  save_reservation(id, { run_id, run.label, vendor, text_of(number_of(ARGV[10], 'the quote')), day_of(now), ARGV[11], '',
    '', text_of(now), '', '', '', '', '', '', ARGV[12] }, holds)
  redis.call('ZADD', OPEN, text_of(now), id)
  redis.call('SET', PREFIX .. 'known:' .. id, '1', 'PX', KNOWN_TTL_MS)
end

local lost = ARGV[7] ~= '' and ARGV[7] ~= redis.call('HGET', META, 'epoch')
if lost and ending ~= 'released' and not redis.call('ZSCORE', OPEN, ARGV[1]) then reserve_late(ARGV[1], now_ms()) end
local actual = ARGV[3] ~= '' and number_of(ARGV[3], 'micros') or nil
local settled, spent = end_reservation(ARGV[1], ending, actual, ARGV[4], ARGV[5] == '1', ARGV[6], now_ms())
if not settled then return { 'ALREADY' } end
return { 'OK', text_of(settled), text_of(spent) }
