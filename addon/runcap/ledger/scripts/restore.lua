-- include: common runs counters reservations
--
-- Puts back, while the ledger is rebuilt, what the audit says it held. Writes no audit row: the audit has them.
--
-- KEYS[1]  the namespace's prefix
-- ARGV     items, one behind the other, each:
--            'hash', key without prefix, how long it lives in ms or '', number of values, field, value, field, value, …
--            'text', key without prefix, how long it lives in ms, value
--            'open', reservation id, deadline in ms, its text (reservations.lua)
--
-- Returns {'OK'}, {'NOT_REBUILDING'} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
if not redis.call('HGET', META, 'rebuilding') then return { 'NOT_REBUILDING' } end

-- A reservation of the ledger that was lost, as open as it was: it is held in the same buckets, and also by the fleets
-- whose first cap the lost ledger did not know any more.
local function reopen(id, deadline_ms, text)
  redis.call('SET', PREFIX .. 'resv:' .. id, text)
  local reservation = load_reservation(id)
  local held_by, lines = {}, {}
  for _, selector in ipairs(reservation.selectors) do held_by[selector] = true end
  for _, fleet in ipairs((counted_fleets(reservation.label))) do
    if not held_by[fleet] then lines[#lines + 1] = hold_line(fleet, reservation.amounts[1]) end
  end
  redis.call('APPEND', reservation.key, table.concat(lines))
  redis.call('ZADD', OPEN, text_of(number_of(deadline_ms, 'deadline_ms')), id)
  reservation = load_reservation(id)
  for index, selector in ipairs(reservation.selectors) do
    local counters = open_counters(selector, reservation.day)
    add(counters, HELD, reservation.amounts[index])
    counters.new_day = false -- the first call of the day drops what is old
    save_counters(counters, 0)
  end
end

local index = 1
while index <= #ARGV do
  if ARGV[index] == 'hash' then
    local key, ttl_ms, count = PREFIX .. ARGV[index + 1], ARGV[index + 2], number_of(ARGV[index + 3], 'count')
    redis.call('HSET', key, unpack(ARGV, index + 4, index + 3 + count))
    if ttl_ms ~= '' then redis.call('PEXPIRE', key, text_of(number_of(ttl_ms, 'ttl_ms'))) end
    index = index + 4 + count
  elseif ARGV[index] == 'text' then
    redis.call('SET', PREFIX .. ARGV[index + 1], ARGV[index + 3], 'PX', ARGV[index + 2])
    index = index + 4
  elseif ARGV[index] == 'open' then
    reopen(ARGV[index + 1], ARGV[index + 2], ARGV[index + 3])
    index = index + 4
  else
    error('RUNCAP no such item: ' .. ARGV[index], 0)
  end
end
return { 'OK' }
