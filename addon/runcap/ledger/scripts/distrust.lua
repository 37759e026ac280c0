-- include: common
--
-- Stops all calls and all ends of calls until the ledger has been rebuilt.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  'asked': an operator wants a rebuild, whatever the ledger holds
--          'seen':  it was found behind the audit: only if it is still the one that was compared
--          'begin': a rebuild begins: an operator's wish is fulfilled by it
-- ARGV[2]  seen: the epoch that was compared
-- ARGV[3]  seen: the anchor's seq that was compared, or ''
--
-- Returns {'OK', '1' if calls are stopped now, else '0'}.

local meta = redis.call('HMGET', META, 'epoch', 'anchor_seq', 'rebuilding')
if ARGV[1] == 'seen' then
  if (meta[1] or '') ~= ARGV[2] or (meta[2] or '') ~= ARGV[3] then return { 'OK', meta[3] and '1' or '0' } end
  if meta[3] then return { 'OK', '1' } end
end
redis.call('HSET', META, 'rebuilding', ARGV[1] == 'asked' and 'asked' or '1')
return { 'OK', '1' }
