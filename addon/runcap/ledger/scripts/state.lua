-- include: common
--
-- Where the ledger stands: what is compared with the audit before anybody trusts it.
--
-- KEYS[1]  the namespace's prefix
--
-- Returns {'OK', epoch or '', rebuilding ('', '1' or 'asked'), anchor's seq, hash and stream id (each '' if there is
-- none), the server's id, who has set the anchor (lease.lua; '' if nobody knows), '1' if somebody has vouched for this server, else '0'}.

local meta = redis.call('HMGET', META, 'epoch', 'rebuilding', 'anchor_seq', 'anchor_hash', 'anchor_id', 'server',
  'auditor_wrote')
local server = server_id()
return { 'OK', meta[1] or '', meta[2] or '', meta[3] or '', meta[4] or '', meta[5] or '', server,
  meta[7] or '', server ~= '' and meta[6] == server and '1' or '0' }
