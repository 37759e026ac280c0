-- include: common
--
-- All open reservations, whatever state the ledger is in: a rebuild keeps those whose end the audit does not know.
--
-- KEYS[1]  the namespace's prefix
--
-- Returns {'OK', then for each a list: id, deadline in ms, its text (reservations.lua), the key of its idempotency
-- record without prefix or '', how long that lives in ms, its fields and values}.

local reply = { 'OK' }
local open = redis.call('ZRANGE', OPEN, '0', '-1', 'WITHSCORES')
for index = 1, #open, 2 do
  local id = open[index]
  local text = redis.call('GET', PREFIX .. 'resv:' .. id)
  if text then
    local item = { id, open[index + 1], text, '', '0' }
    local idem = 'idem:' .. (text:match('^' .. ('[^\n]*\n'):rep(6) .. '([^\n]*)\n') or '')
    local fields = idem ~= 'idem:' and redis.call('HGETALL', PREFIX .. idem) or {}
    if #fields > 0 then
      item[4], item[5] = idem, text_of(math.max(0, redis.call('PTTL', PREFIX .. idem)))
      for _, value in ipairs(fields) do item[#item + 1] = value end
    end
    reply[#reply + 1] = item
  end
end
return reply
