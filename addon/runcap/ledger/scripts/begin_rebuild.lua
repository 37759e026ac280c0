-- include: common
--
-- Makes the wiped namespace a new ledger that continues the audit; calls stay refused until ready.lua.
--
-- KEYS[1]    the namespace's prefix
-- ARGV[1]    epoch, random
-- ARGV[2-4]  the audit's last row: seq, hash, stream id
-- ARGV[5]    detail of the admin row, JSON
--
-- Returns {'OK'}, {'NOT_REBUILDING'} or {'NOT_EMPTY'}.

if not redis.call('HGET', META, 'rebuilding') then return { 'NOT_REBUILDING' } end
for _, key in ipairs({ AUDIT, OPEN, RUN_IDS, CAPS, FROZEN }) do
  if redis.call('EXISTS', key) == 1 then return { 'NOT_EMPTY' } end
end

local seq, now = number_of(ARGV[2], 'seq'), now_ms()
local last_ms, last_sequence = ARGV[4]:match('^(%d+)%-(%d+)$')
local limit = redis.call('HGET', META, 'audit_limit')
redis.call('DEL', META)
redis.call('HSET', META, 'epoch', ARGV[1], 'created_ms', text_of(now), 'rebuilding', '1', 'anchor_seq', text_of(seq),
  'anchor_hash', ARGV[3], 'anchor_id', ARGV[4], 'fleet_lengths', '')
if limit then redis.call('HSET', META, 'audit_limit', limit) end
-- An entry's id makes its row unique, so the new stream begins above the old one's last, whatever the clock says.
local id = '*'
if last_ms and tonumber(last_ms) >= now then id = last_ms .. '-' .. text_of(tonumber(last_sequence) + 1) end
redis.call('XADD', AUDIT, id, 'kind', 'admin', 'at_ms', text_of(now), 'action', 'ledger_initialised', 'run_id', '',
  'label', '', 'detail', ARGV[5])
return { 'OK' }
