-- include: common runs counters reservations
--
-- Sets or removes caps of a run, a fleet or a vendor, for the very next call.
--
-- KEYS[1]    the namespace's prefix
-- ARGV[1]    selector: 'run:<run_id>', 'fleet:<label prefix>' or 'vendor:<name>'
-- ARGV[2-4]  day, month, total: micros, 'none' to remove the cap, or '' to leave it as it is
-- ARGV[5]    action of the admin row
-- ARGV[6]    detail of the admin row, JSON; '' in a rebuild
--
-- Returns {'OK', '1' if that changed anything, else '0'}, {'NONE'} if there is no such run, or {'UNTRUSTED'}.

local refusal = no_change(ARGV[6])
if refusal then return refusal end
local selector = ARGV[1]
local level, name = selector:match('^(%a+):(.*)$')

local function changed_caps(caps)
  local changed, texts = false, {}
  for index = 1, #WINDOWS do
    local before, wish = caps[index] and text_of(caps[index]) or '', ARGV[index + 1]
    local after = before
    if wish == 'none' then after = '' elseif wish ~= '' then after = text_of(number_of(wish, 'the cap')) end
    changed, texts[index] = changed or after ~= before, after
  end
  return changed, texts
end

-- What the runs of a fleet have counted so far, field by field, as the fleet's first counters: a cap that is set in the
-- middle of the day counts the whole day.
local function sum_of_runs(prefix)
  local sums = { ['total:held'] = 0, ['total:spent'] = 0 }
  local from, to = '[' .. prefix, '(' .. prefix .. '\255'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', LABELS, from, to)) do
    local run_id = member:match('%z(.*)$')
    local fields = redis.call('HGETALL', PREFIX .. 'spend:run:' .. run_id)
    for index = 1, #fields, 2 do
      sums[fields[index]] = (sums[fields[index]] or 0) + number_of(fields[index + 1], fields[index])
    end
  end
  return sums
end

-- Open reservations of the fleet's runs, each with the line that adds the fleet to its holds, so that they end there too.
local function further_holds(prefix)
  local lines = {}
  for _, id in ipairs(redis.call('ZRANGE', OPEN, '0', '-1')) do
    local reservation = load_reservation(id)
    if reservation and reservation.label:sub(1, #prefix) == prefix then
      lines[reservation.key] = hold_line('fleet:' .. prefix, reservation.amounts[1])
    end
  end
  return lines
end

redis.call('XLEN', AUDIT)
if level == 'run' then
  local digest = redis.call('HGET', RUN_IDS, name)
  local run = digest and load_run(digest)
  if not run then return { 'NONE' } end
  local changed, texts = changed_caps(run.caps)
  if not changed then return { 'OK', '0' } end
  redis.call('HSET', run.key, 'cap_day', texts[1], 'cap_month', texts[2], 'cap_total', texts[3])
  audit_admin(ARGV[5], name, run.label, ARGV[6])
  return { 'OK', '1' }
end

local stored = redis.call('HGET', CAPS, selector)
local changed, texts = changed_caps(stored and split_caps(stored) or {})
if not changed then return { 'OK', '0' } end
if level == 'fleet' and not stored then
  -- From its first cap on a fleet is counted for good, also while it has none: so its counters are always true.
  local sums, lines = sum_of_runs(name), further_holds(name)
  redis.call('DEL', PREFIX .. 'spend:' .. selector)
  for field, value in pairs(sums) do redis.call('HSET', PREFIX .. 'spend:' .. selector, field, value) end
  for key, line in pairs(lines) do redis.call('APPEND', key, line) end
end
redis.call('HSET', CAPS, selector, table.concat(texts, '|'))
local lengths = redis.call('HGET', META, 'fleet_lengths')
if level == 'fleet' and not is_asked_for(name, lengths) then
  redis.call('HSET', META, 'fleet_lengths', lengths .. #name .. ',')
end
audit_admin(ARGV[5], '', '', ARGV[6])
return { 'OK', '1' }
