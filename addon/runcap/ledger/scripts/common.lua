-- Shared by all scripts: numbers, the clock, the calendar, the audit stream.
--
-- Every script is given KEYS[1], the prefix of its namespace, such as 'runcap:{default}:'. All other keys are made
-- from it (keys.py lists them): the hash tag puts them into one slot, so that one script may see all caps of a call.
-- Rule of the house: whatever a script will write to, it has read before, so that a wrong type or a broken number
-- ends it before its first write.

local PREFIX = KEYS[1]
local META, AUDIT, OPEN = PREFIX .. 'meta', PREFIX .. 'audit', PREFIX .. 'open'
local RUN_IDS, LABELS = PREFIX .. 'run_ids', PREFIX .. 'labels'
local CAPS, FROZEN = PREFIX .. 'caps', PREFIX .. 'frozen'

local MAX_MICROS = 9007199254740991 -- 2^53 - 1: above it, Lua's numbers skip integers
local DEFAULT_AUDIT_LIMIT = 1000000

-- Reads a plain decimal integer below 2^53. tonumber() alone would take 'nan', '-1000', '0x10', '1e3' and ' 5',
-- and each of them would pass a cap.
local function number_of(text, what)
  local number = type(text) == 'string' and #text <= 16 and text:find('^%d+$') and tonumber(text)
  if not number or number > MAX_MICROS then
    error('RUNCAP ' .. what .. ' is no whole number below 2^53: ' .. tostring(text), 0)
  end
  return number
end

-- The same for a number that a script has written itself; quicker, since a call reads many.
local function stored_number(text, what)
  local number = tonumber(text)
  if not number or not (number >= 0 and number <= MAX_MICROS) or number % 1 ~= 0 then
    error('RUNCAP ' .. what .. ' holds no amount: ' .. tostring(text), 0)
  end
  return number
end

-- The same for a cap: '' says that there is none.
local function cap_of(text, what)
  if text == '' or not text then return nil end
  return number_of(text, what)
end

-- For strings and replies: tostring() would write large numbers with an exponent. A number that goes into redis.call
-- needs nothing: the server writes integers with all their digits.
local function text_of(number) return string.format('%.0f', number) end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Year, month and day (UTC) of a number of days since 1970-01-01, in integers: Howard Hinnant's civil_from_days
-- (https://howardhinnant.github.io/date_algorithms.html). The sandbox has no os.date.
local function civil(days)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local shifted_month = math.floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - math.floor((153 * shifted_month + 2) / 5) + 1
  local month = shifted_month < 10 and shifted_month + 3 or shifted_month - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return year, month, day
end

-- '2026-11-24'; its month is the first seven characters.
local function day_of(ms)
  return string.format('%04d-%02d-%02d', civil(math.floor(ms / 86400000)))
end

local function month_of(day) return day:sub(1, 7) end

-- When a window that began before ms begins anew, in ISO 8601; '' for total.
local function resets_at(window, ms)
  if window == 'day' then return day_of(ms + 86400000) .. 'T00:00:00Z' end
  if window == 'total' then return '' end
  local year, month = civil(math.floor(ms / 86400000))
  if month == 12 then year, month = year + 1, 0 end
  return string.format('%04d-%02d-01T00:00:00Z', year, month + 1)
end

-- nil if the ledger can be trusted. A ledger that was lost comes back without its epoch and would let all through.
local function distrust()
  if not redis.call('HGET', META, 'epoch') then return { 'UNTRUSTED' } end
  return nil
end

-- nil if reservations may end: a rebuild takes stock of them, and nothing may move meanwhile.
local function under_rebuild()
  local meta = redis.call('HMGET', META, 'epoch', 'rebuilding')
  if not meta[1] or meta[2] then return { 'UNTRUSTED' } end
  return nil
end

-- nil if an operator's change may be made. What a rebuild brings back comes without a detail, since the audit has its
-- row already, and while one runs nobody else changes anything.
local function no_change(detail)
  local meta = redis.call('HMGET', META, 'epoch', 'rebuilding')
  local rebuilding = meta[2] and true or false
  if not meta[1] or rebuilding ~= (detail == '') then return { 'UNTRUSTED' } end
  return nil
end

-- Which process of which server this is: a restart or a failover shows in it, and no file can bring it back.
local function server_id() return redis.call('INFO', 'server'):match('run_id:(%x+)') or '' end

-- nil and the epoch if calls may be decided: also not while a rebuild runs, nor while the auditor is too far behind.
local function not_ready()
  local meta = redis.call('HMGET', META, 'epoch', 'rebuilding', 'audit_limit')
  if not meta[1] or meta[2] then return { 'UNTRUSTED' } end
  local limit = meta[3] and number_of(meta[3], 'audit_limit') or DEFAULT_AUDIT_LIMIT
  if redis.call('XLEN', AUDIT) >= limit then return { 'AUDIT_FULL' } end
  return nil, meta[1]
end

-- One row of a call. `row` has: at_ms, run_id, label, decision, code, outcome, settled, spent, cap (level, selector,
-- window, micros) or nil, row (JSON), ending (JSON), and further fields by name and value, or nil. Rows are never
-- dropped: there is no MAXLEN.
local function audit_call(row)
  local cap = row.cap
  redis.call('XADD', AUDIT, '*', 'kind', 'call', 'at_ms', row.at_ms, 'run_id', row.run_id, 'label', row.label,
    'decision', row.decision, 'code', row.code, 'outcome', row.outcome, 'settled_micros', row.settled,
    'spent_micros', row.spent, 'cap_micros', cap and cap.micros or '', 'cap_level', cap and cap.level or '',
    'cap_selector', cap and cap.selector or '', 'cap_window', cap and cap.window or '',
    'row', row.row, 'end', row.ending, unpack(row.further or {}))
end

local function audit_admin(action, run_id, label, detail)
  if detail == '' then return end -- brought back by a rebuild
  redis.call('XADD', AUDIT, '*', 'kind', 'admin', 'at_ms', now_ms(), 'action', action, 'run_id', run_id,
    'label', label, 'detail', detail)
end
