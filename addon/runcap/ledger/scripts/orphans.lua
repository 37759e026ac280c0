-- include: common
--
-- Finds reservations that nothing will ever end, in a part of the namespace.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  cursor: '0' at first, then what the last call returned
-- ARGV[2]  how many keys to look at, about: the server stands still for them
--
-- Returns {'OK', the next cursor, '0' at the end, then each difference in plain English}.

local page = redis.call('SCAN', ARGV[1], 'MATCH', PREFIX .. 'resv:*', 'COUNT', ARGV[2])
local reply = { 'OK', page[1] }
for _, key in ipairs(page[2]) do
  local id = key:sub(#PREFIX + 6)
  if not redis.call('ZSCORE', OPEN, id) then
    reply[#reply + 1] = string.format('The reservation %s has no deadline.', id)
  end
end
return reply
