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

local cursor, seen = '0', {}
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', PREFIX .. 'spend:*', 'COUNT', '1000')
  for _, key in ipairs(page[2]) do
    if not seen[key] then
      seen[key] = true -- SCAN may name a key twice
      local item = { 'spend', key:sub(#PREFIX + 7) }
      for _, value in ipairs(redis.call('HGETALL', key)) do item[#item + 1] = value end
      reply[#reply + 1] = item
    end
  end
  cursor = page[1]
until cursor == '0'

local digests = redis.call('HGETALL', RUN_IDS)
for index = 1, #digests, 2 do
  local item = { 'run', digests[index], digests[index + 1] }
  local fields = redis.call('HMGET', PREFIX .. 'run:' .. digests[index + 1], 'cap_day', 'cap_month', 'cap_total',
    'revoked_ms')
  for field = 1, 4 do item[#item + 1] = fields[field] or '' end
  reply[#reply + 1] = item
end
local caps = redis.call('HGETALL', CAPS)
for index = 1, #caps, 2 do reply[#reply + 1] = { 'cap', caps[index], caps[index + 1] } end
for _, what in ipairs(redis.call('HKEYS', FROZEN)) do reply[#reply + 1] = { 'frozen', what } end
for _, id in ipairs(redis.call('ZRANGE', OPEN, '0', '-1')) do reply[#reply + 1] = { 'open', id } end
return reply
