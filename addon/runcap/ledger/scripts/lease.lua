-- include: common
--
-- Who may write the audit: of several hosts that share the ledger one at a time.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  holder: random, kept beside an audit file
-- ARGV[2]  for how long it wants to hold the lease, in ms; 0: give it back
--
-- Returns {'OK', '1' if the holder has it now, else '0'}.

local meta = redis.call('HMGET', META, 'auditor', 'auditor_until', 'epoch')
-- A ledger that is empty stays so: it can only be initialised, or rebuilt, as long as there is nothing.
if not meta[3] then return { 'OK', ARGV[2] == '0' and '0' or '1' } end
local now, ttl_ms = now_ms(), number_of(ARGV[2], 'ttl_ms')
if meta[1] and meta[1] ~= ARGV[1] and stored_number(meta[2], 'auditor_until') > now then return { 'OK', '0' } end
if ttl_ms == 0 and meta[1] ~= ARGV[1] then return { 'OK', '0' } end
redis.call('HSET', META, 'auditor', ARGV[1], 'auditor_until', text_of(now + ttl_ms))
return { 'OK', ttl_ms > 0 and '1' or '0' }
