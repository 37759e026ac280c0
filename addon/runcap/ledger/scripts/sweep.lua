-- include: common counters objects reservations ending
--
-- Ends reservations past their deadline as unknown, each with its audit row: what nobody can tell counts as spent.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  how many at most
--
-- Returns {'OK', how many were ended, how many could not be read} or {'UNTRUSTED'}.

local RETRY_MS = 60000

local refusal = under_rebuild()
if refusal then return refusal end
local limit, now = number_of(ARGV[1], 'limit'), now_ms()
local ended, unreadable = 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', text_of(now), 'LIMIT', '0', text_of(limit))) do
  -- One that cannot be read must not keep all behind it from ending: it stays held, and its turn comes again.
  local readable, settled = pcall(end_reservation, id, 'unknown', nil, '', false, '', now)
  if not readable then
    unreadable = unreadable + 1
    redis.call('ZADD', OPEN, text_of(now + RETRY_MS), id)
  elseif not settled then
    redis.call('ZREM', OPEN, id)
  else
    ended = ended + 1
  end
end
return { 'OK', text_of(ended), text_of(unreadable) }
