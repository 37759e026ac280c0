-- include: common
--
-- Makes an empty namespace a ledger that may be trusted. Anything that is left there says that something was lost.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  epoch, random
-- ARGV[2]  detail of the admin row, JSON
--
-- Returns {'OK'} or {'NOT_EMPTY'}.

local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', PREFIX .. '*', 'COUNT', '1000')
  if #page[2] > 0 then return { 'NOT_EMPTY' } end
  cursor = page[1]
until cursor == '0'
redis.call('HSET', META, 'epoch', ARGV[1], 'created_ms', text_of(now_ms()), 'server', server_id(),
  'fleet_lengths', '')
audit_admin('ledger_initialised', '', '', ARGV[2])
return { 'OK' }
