-- include: common
--
-- Keeps what the audit's last row is, so that a cut tail is found; never moves back.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  seq
-- ARGV[2]  hash
-- ARGV[3]  id of the last stream entry in it
-- ARGV[4]  hash of the anchor that the ledger must have now, or '' if whoever asks has not seen one yet
-- ARGV[5]  who must hold the lease (lease.lua), or '' for a rebuild
--
-- Returns {'OK'}, {'BEHIND'} if the anchor is already further, {'OTHER'} if it is not the expected one, or another
-- holds the lease: the ledger has lost something since, and moving its anchor would hide that; or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
local seq = number_of(ARGV[1], 'seq')
local known = redis.call('HGET', META, 'anchor_seq')
if known and number_of(known, 'anchor_seq') > seq then return { 'BEHIND' } end
if ARGV[5] ~= '' and redis.call('HGET', META, 'auditor') ~= ARGV[5] then return { 'OTHER' } end
if ARGV[4] ~= '' and redis.call('HGET', META, 'anchor_hash') ~= ARGV[4] then return { 'OTHER' } end
redis.call('HSET', META, 'anchor_seq', text_of(seq), 'anchor_hash', ARGV[2], 'anchor_id', ARGV[3],
  'auditor_wrote', ARGV[5])
return { 'OK' }
