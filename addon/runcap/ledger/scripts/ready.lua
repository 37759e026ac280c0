-- include: common
--
-- Ends a rebuild: calls are decided from now on.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  detail of the admin row, JSON
--
-- Returns {'OK'} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
redis.call('XLEN', AUDIT)
redis.call('HDEL', META, 'rebuilding')
redis.call('HSET', META, 'server', server_id())
audit_admin('ledger_rebuilt', '', '', ARGV[1])
return { 'OK' }
