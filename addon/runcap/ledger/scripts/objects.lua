-- Shared: what has been counted for a vendor's object over its life. Needs common and counters.
--
-- obj:<vendor>:<object id> is a hash: selector → lines 'day micros', oldest first: when how much was counted for it.
-- A payment that is created, confirmed and captured counts once, and a cancel can be given back where it was counted.

local OBJECT_TTL_MS = 400 * 86400000

local function object_key(vendor, object) return PREFIX .. 'obj:' .. vendor .. ':' .. object end

local function read_entries(text)
  local entries = {}
  for day, micros in text:gmatch('([%d-]+) (%d+)\n') do
    entries[#entries + 1] = { day = day, micros = number_of(micros, 'an object\'s entry') }
  end
  return entries
end

local function write_entries(entries)
  local lines = {}
  for _, entry in ipairs(entries) do lines[#lines + 1] = entry.day .. ' ' .. text_of(entry.micros) .. '\n' end
  return table.concat(lines)
end

-- The entries of each selector, in order; the first selector is the run's own. A fleet that began to be counted after
-- the object did has none yet: its counters were then made from its runs', so the run's entries are its own.
local function load_entries(vendor, object, selectors)
  local raw = redis.call('HMGET', object_key(vendor, object), unpack(selectors))
  local all = {}
  for index, selector in ipairs(selectors) do
    local text = raw[index]
    if not text and selector:find('^fleet:') then text = raw[1] end
    all[index] = read_entries(text or '')
    all[index].known = text and true or false
  end
  return all
end

local function counted_by(entries)
  local sum = 0
  for _, entry in ipairs(entries) do sum = sum + entry.micros end
  return sum
end

local function append_entry(entries, day, micros)
  local last = entries[#entries]
  if last and last.day == day then
    last.micros = last.micros + micros
  else
    entries[#entries + 1] = { day = day, micros = micros }
  end
end

-- Takes an amount back, newest entries first, from the very buckets where it was counted.
local function give_back(counters, entries, amount)
  while amount > 0 and #entries > 0 do
    local last = entries[#entries]
    local part = math.min(amount, last.micros)
    take_back(counters, last.day, part)
    last.micros, amount = last.micros - part, amount - part
    if last.micros == 0 then entries[#entries] = nil end
  end
end

-- Brings what is counted for an object to its new total, in memory; returns the difference.
local function count_object(counters, entries, day, total, final)
  local difference = total - counted_by(entries)
  if difference > 0 then
    add(counters, SPENT, difference)
    append_entry(entries, day, difference)
    return difference
  end
  -- Less than before says nothing while the object may still change: only an end state gives back.
  if difference < 0 and final then
    give_back(counters, entries, -difference)
    return difference
  end
  return 0
end

local function save_entries(vendor, object, selectors, all)
  local fields = {}
  for index, selector in ipairs(selectors) do
    fields[#fields + 1] = selector
    fields[#fields + 1] = write_entries(all[index])
  end
  redis.call('HSET', object_key(vendor, object), unpack(fields))
  redis.call('PEXPIRE', object_key(vendor, object), OBJECT_TTL_MS)
end
