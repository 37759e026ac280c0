-- include: common runs policy counters objects reservations
--
-- Decides one call and holds its quote against every cap that applies, or against none.
--
-- KEYS[1]   the namespace's prefix
-- ARGV[1]   reservation id, never used before
-- ARGV[2]   SHA-256 of the vault key, hex
-- ARGV[3]   vendor
-- ARGV[4]   operation, 'METHOD /path/{template}'
-- ARGV[5]   quote in micros; with an object: the object's total after the call
-- ARGV[6]   how long the reservation may stay open, in ms
-- ARGV[7]   the audit row so far, JSON
-- ARGV[8]   the vendor's object id, or ''
-- ARGV[9]   '1' if the operation is refused unless the run's policy names it, else '0'
-- ARGV[10]  SHA-256 of the vendor's idempotency key, or ''
-- ARGV[11]  fingerprint of the canonical request
-- ARGV[12]  the account that the call acts on, or '' for the secret's own
-- ARGV[13]  the country that it reaches, or ''
-- ARGV[14]  the currency that it moves, or ''
-- ARGV[15]  '1' if it is a refund, which the run's policy may leave uncounted, else '0'
-- ARGV[16]  SHA-256 of a request that sends something to a person, or ''
-- ARGV[17]  '1' if it may wait for the first call under its idempotency key, else '0'
--
-- Returns {'OK', run_id, label, held micros of the run, the run's total in micros with it, remaining micros or '', epoch,
-- '1' if the run's policy bounds how many calls are under way, else '0'},
-- a denial (policy.lua), {'UNDER_WAY'} without a row, {'UNTRUSTED'} or {'AUDIT_FULL'}.

local IDEM_TTL_MS = 23 * 3600000 -- inside the 24 hours for which the vendors keep theirs

local id, digest, vendor, operation, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local micros, life_ms = number_of(ARGV[5], 'micros'), number_of(ARGV[6], 'deadline_ms')
local object, needs_allow, idem_digest, fingerprint = ARGV[8], ARGV[9] == '1', ARGV[10], ARGV[11]
local account, country, currency, is_refund, send_digest = ARGV[12], ARGV[13], ARGV[14], ARGV[15] == '1', ARGV[16]

local refusal, epoch = not_ready()
if refusal then return refusal end
if redis.call('ZSCORE', OPEN, id) then error('RUNCAP the reservation id is in use', 0) end

local now = now_ms()
local run, denial = admit(digest, vendor, operation, needs_allow, account, now)
if run and next(run.policy) then
  denial = denial_by_rules(run, vendor, micros, country, currency) or denial_by_pace(run, now)
end
if denial then return deny(denial, row, now) end

-- A key seen before: its first call counts, a retry does not.
local idem, replay, idem_ttl_ms = '', '', IDEM_TTL_MS
if idem_digest ~= '' then
  idem = run.run_id .. ':' .. idem_digest
  local known = redis.call('HMGET', PREFIX .. 'idem:' .. idem, 'fingerprint', 'state')
  if known[1] and known[1] ~= fingerprint then return deny({ code = 'idempotency_mismatch', run = run }, row, now) end
  if known[1] and known[2] ~= 'done' then
    if ARGV[17] == '1' then return { 'UNDER_WAY' } end
    return deny({ code = 'idempotency_in_progress', run = run }, row, now)
  end
  if known[1] then replay = '1' end
elseif send_digest ~= '' and run.policy.dedupe_ms then
  -- The same kind of record stands for a send that has no key: gone with a release, since then nothing was sent.
  idem, fingerprint, idem_ttl_ms = run.run_id .. ':send-' .. send_digest, send_digest, run.policy.dedupe_ms
  if redis.call('HGET', PREFIX .. 'idem:' .. idem, 'fingerprint') then
    return deny({ code = 'duplicate', run = run, detail = text_of(idem_ttl_ms) }, row, now)
  end
end
local uncounted = is_refund and run.policy.count_refunds == false
local counts = replay == '' and not uncounted

-- Every selector that counts this call, with its caps. A run and a vendor are always counted.
local day = day_of(now)
local vendor_caps = redis.call('HGET', CAPS, 'vendor:' .. vendor)
local selectors = { 'run:' .. run.run_id, 'vendor:' .. vendor }
local caps = { run.caps, vendor_caps and split_caps(vendor_caps) or {} }
local fleets, fleet_caps = counted_fleets(run.label)
for index, fleet in ipairs(fleets) do
  selectors[#selectors + 1], caps[#caps + 1] = fleet, split_caps(fleet_caps[index])
end

local entries = object ~= '' and load_entries(vendor, object, selectors) or nil
local all_counters, deltas = {}, {}
local tightest, hit
for index, selector in ipairs(selectors) do
  local counters = open_counters(selector, day)
  if counters.missing then return { 'UNTRUSTED' } end
  local delta = counts and micros or 0
  if entries and counts then delta = math.max(0, micros - counted_by(entries[index])) end
  all_counters[index], deltas[index] = counters, delta
  for window, window_name in ipairs(WINDOWS) do
    local ceiling = caps[index][window]
    if ceiling then
      local counted = counted_in(counters, window)
      local level, name = selector:match('^(%a+):(.*)$')
      local cap = { level = level, selector = name, window = window_name, micros = text_of(ceiling), counted = counted,
        delta = delta, left = ceiling - counted - delta, remaining = ceiling - counted }
      -- What adds nothing cannot pass a cap, even one that an actual cost above its quote has overrun.
      if delta > 0 and cap.left < 0 and (not hit or cap.remaining < hit.remaining) then hit = cap end
      if not tightest or cap.left < tightest.left then tightest = cap end
    end
  end
end
if hit then return deny({ code = 'cap_exhausted', run = run, requested = hit.delta, cap = hit }, row, now) end

local holds = {}
for index, counters in ipairs(all_counters) do
  add(counters, HELD, deltas[index])
  holds[index] = hold_line(counters.selector, deltas[index])
end
local spent = text_of(counted_in(all_counters[1], 3))

-- From here on only writes, to keys that have been read above.
local cap = tightest or { level = '', selector = '', window = '', micros = '' }
save_reservation(id, { run.run_id, run.label, vendor, text_of(micros), day, object, idem, replay, text_of(now), spent,
  cap.level, cap.selector, cap.window, cap.micros, uncounted and '1' or '', row }, holds)
redis.call('ZADD', OPEN, now + life_ms, id)
keep_pace(run, id, now, life_ms)
for _, counters in ipairs(all_counters) do save_counters(counters, now) end
if idem ~= '' and replay == '' then
  redis.call('HSET', PREFIX .. 'idem:' .. idem, 'fingerprint', fingerprint, 'state', 'open', 'reservation', id)
  redis.call('PEXPIRE', PREFIX .. 'idem:' .. idem, text_of(idem_ttl_ms))
end
return { 'OK', run.run_id, run.label, text_of(deltas[1]), spent,
  tightest and text_of(math.max(0, tightest.left)) or '', epoch,
  run.policy.max_concurrency and '1' or '0' }
