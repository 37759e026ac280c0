-- include: common
--
-- Writes an admin row about a change that is not the ledger's own, such as a sealed secret.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  action of the admin row
-- ARGV[2]  detail of the admin row, JSON
--
-- Returns {'OK'} or {'UNTRUSTED'}.

local meta = redis.call('HMGET', META, 'epoch', 'rebuilding')
if not meta[1] or meta[2] then return { 'UNTRUSTED' } end
redis.call('XLEN', AUDIT)
audit_admin(ARGV[1], '', '', ARGV[2])
return { 'OK' }
