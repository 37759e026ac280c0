-- include: common
--
-- Says of this very server process that it holds all that the audit knows. Calls need it: a server that was started
-- again, or took over from another, may have lost the last of what was written.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  the epoch that was compared
-- ARGV[2]  the server's id that was compared
--
-- Returns {'OK', '1' if it holds now, '0' if ledger or server are not those that were compared any more}.

local meta = redis.call('HMGET', META, 'epoch', 'rebuilding')
if meta[1] ~= ARGV[1] or meta[2] or server_id() ~= ARGV[2] then return { 'OK', '0' } end
redis.call('HSET', META, 'server', ARGV[2])
return { 'OK', '1' }
