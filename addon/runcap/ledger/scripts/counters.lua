-- Shared: what a selector has held and spent. Needs common.
--
-- A selector is 'run:<run_id>', 'fleet:<label prefix>' or 'vendor:<name>'. Its counters are the hash spend:<selector>
-- with the fields 'day:2026-11-24:held', 'day:2026-11-24:spent', 'month:2026-11:held', …, 'total:held',
-- 'total:spent', all in micros. Runs and vendors are counted from the first key on, a fleet from its first cap on.

local WINDOWS = { 'day', 'month', 'total' }
local HELD, SPENT = 1, 2 -- where the two stand in the pair of fields of a window

-- The six fields of a day, its month and the total, held and spent by turns.
local fields_by_day = {}
local function fields_of(day)
  local fields = fields_by_day[day]
  if not fields then
    local in_day, in_month = 'day:' .. day, 'month:' .. month_of(day)
    fields = { in_day .. ':held', in_day .. ':spent', in_month .. ':held', in_month .. ':spent', 'total:held',
      'total:spent' }
    fields_by_day[day] = fields
  end
  return fields
end

-- Reads the counters of one day, its month and the total. `missing` says that there are none at all: a selector
-- that is counted has its total from the start, so a ledger without it has lost something.
local function open_counters(selector, day)
  local key, fields = PREFIX .. 'spend:' .. selector, fields_of(day)
  local raw = redis.call('HMGET', key, unpack(fields))
  local missing = not raw[5] or not raw[6]
  local counters = { selector = selector, key = key, fields = fields, values = raw, changed = {}, older = {},
    missing = missing, new_day = not raw[1] and not missing }
  for index = 1, 6 do raw[index] = raw[index] and stored_number(raw[index], selector) or 0 end
  return counters
end

-- Adds to held or spent of all three windows, in memory; save_counters writes. Never below zero: a counter that
-- somebody tampered with stays legible.
local function add(counters, kind, amount)
  if amount == 0 then return end
  local values = counters.values
  for index = kind, 6, 2 do
    local value = math.max(0, values[index] + amount)
    if value > MAX_MICROS then error('RUNCAP ' .. counters.selector .. ' would pass 2^53 micros', 0) end
    values[index] = value
  end
  counters.changed[kind] = true
end

-- Adds to what was spent on a day (a negative amount takes back), which need not be the one that the counters are open
-- for. A bucket that has been dropped since is skipped: nobody reads it any more.
local function count_on(counters, day, amount)
  local fields = fields_of(day)
  local function moved(value)
    local after = math.max(0, value + amount)
    if after > MAX_MICROS then error('RUNCAP ' .. counters.selector .. ' would pass 2^53 micros', 0) end
    return after
  end
  for index = SPENT, 6, 2 do
    local field = fields[index]
    if field == counters.fields[index] then
      counters.values[index], counters.changed[SPENT] = moved(counters.values[index]), true
    else
      local value = counters.older[field] or redis.call('HGET', counters.key, field)
      if value then counters.older[field] = moved(stored_number(value, field)) end
    end
  end
end

local function take_back(counters, day, amount) count_on(counters, day, -amount) end

-- What a window (1 day, 2 month, 3 total) has counted, held included.
local function counted_in(counters, window)
  return counters.values[2 * window - 1] + counters.values[2 * window]
end

-- Drops days before yesterday and months before the last one, but none that still holds something. Runs only when a
-- hash gets its first field of a new day, so a call pays for it once a day.
local function drop_old(counters, now)
  local yesterday = day_of(now - 86400000)
  local year, month = civil(math.floor(now / 86400000))
  if month == 1 then year, month = year - 1, 13 end
  local last_month = string.format('%04d-%02d', year, month - 1)
  local fields = redis.call('HGETALL', counters.key)
  for index = 1, #fields, 2 do
    local name, window, period = fields[index]:match('^((%a+):([%d-]+)):held$')
    local old = window == 'day' and period < yesterday or window == 'month' and period < last_month
    if old and fields[index + 1] == '0' then redis.call('HDEL', counters.key, name .. ':held', name .. ':spent') end
  end
end

-- Writes what has changed, and on a new day all six. Redis writes a Lua number that is an integer below 2^53 with all
-- its digits.
local function save_counters(counters, now)
  local held, spent = counters.changed[HELD], counters.changed[SPENT]
  local key, f, v = counters.key, counters.fields, counters.values
  if held and spent or counters.new_day and (held or spent) then
    redis.call('HSET', key, f[1], v[1], f[2], v[2], f[3], v[3], f[4], v[4], f[5], v[5], f[6], v[6])
  elseif held then
    redis.call('HSET', key, f[1], v[1], f[3], v[3], f[5], v[5])
  elseif spent then
    redis.call('HSET', key, f[2], v[2], f[4], v[4], f[6], v[6])
  else
    return
  end
  for field, value in pairs(counters.older) do redis.call('HSET', counters.key, field, value) end
  if counters.new_day then drop_old(counters, now) end
end

-- Ceilings of a fleet or vendor are stored as 'day|month|total', each micros or empty.
local function split_caps(text)
  local day, month, total = text:match('^(%d*)|(%d*)|(%d*)$')
  if not day then error('RUNCAP caps are not readable: ' .. text, 0) end
  return { cap_of(day, 'day cap'), cap_of(month, 'month cap'), cap_of(total, 'total cap') }
end
