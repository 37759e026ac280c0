-- include: common
--
-- Deletes a part of the namespace, all but the meta hash, whose mark keeps the ledger untrusted meanwhile.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  cursor: '0' at first, then what the last call returned
-- ARGV[2]  how many keys to look at, about: the server stands still for them
--
-- Returns {'OK', the next cursor, '0' at the end} or {'NOT_REBUILDING'}.

if not redis.call('HGET', META, 'rebuilding') then return { 'NOT_REBUILDING' } end
local page = redis.call('SCAN', ARGV[1], 'MATCH', PREFIX .. '*', 'COUNT', ARGV[2])
for _, key in ipairs(page[2]) do
  if key ~= META then redis.call('UNLINK', key) end
end
return { 'OK', page[1] }
