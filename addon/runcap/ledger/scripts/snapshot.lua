-- include: common
--
-- All that the audit can vouch for, as it is in one moment, with the stream entry that it is up to. The server stands
-- still for it, about 0.1 s for 10,000 runs. For operators, not for calls.
--
-- KEYS[1]  the namespace's prefix
--
-- Returns {'OK', id of the stream's last entry, then lists: {'spend', selector, field, micros, …},
-- {'run', run_id, key digest, caps of day, month and total, revoked_ms}, {'cap', selector, 'day|month|total'},
-- {'frozen', what}, {'open', reservation id}} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end

local last_id = '0-0'
if redis.call('EXISTS', AUDIT) == 1 then
  local facts = redis.call('XINFO', 'STREAM', AUDIT)
  for index = 1, #facts, 2 do
    if facts[index] == 'last-generated-id' then last_id = facts[index + 1] end
  end
end
local reply = { 'OK', last_id }

local function add_counters(selector)
  local item = { 'spend', selector }
  for _, value in ipairs(redis.call('HGETALL', PREFIX .. 'spend:' .. selector)) do item[#item + 1] = value end
  reply[#reply + 1] = item
end

for _, field in ipairs(redis.call('HKEYS', META)) do
  local vendor = field:match('^counted:(.*)$')
  if vendor then add_counters('vendor:' .. vendor) end
end
local digests = redis.call('HGETALL', RUN_IDS)
for index = 1, #digests, 2 do
  local item = { 'run', digests[index], digests[index + 1] }
  local fields = redis.call('HMGET', PREFIX .. 'run:' .. digests[index + 1], 'cap_day', 'cap_month', 'cap_total',
    'revoked_ms')
  for field = 1, 4 do item[#item + 1] = fields[field] or '' end
  reply[#reply + 1] = item
  add_counters('run:' .. digests[index])
end
local caps = redis.call('HGETALL', CAPS)
for index = 1, #caps, 2 do
  reply[#reply + 1] = { 'cap', caps[index], caps[index + 1] }
  if caps[index]:find('^fleet:') then add_counters(caps[index]) end
end
for _, what in ipairs(redis.call('HKEYS', FROZEN)) do reply[#reply + 1] = { 'frozen', what } end
for _, id in ipairs(redis.call('ZRANGE', OPEN, '0', '-1')) do reply[#reply + 1] = { 'open', id } end
return reply
