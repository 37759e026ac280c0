-- Shared: what a run may do. Needs common and runs.
--
-- The policy of a run is one JSON document (policy.py says what each rule means). A rule that it leaves out restricts
-- nothing. One that looks at the call is a line in `rules`.

-- Lists are stored as '\nPOST /v1/refunds\nGET /v1/balance\n': membership is one plain find.
local function listed(list, item)
  return list:find('\n' .. item .. '\n', 1, true) ~= nil
end

local function has(items, item)
  if not items then return false end
  for index = 1, #items do
    if items[index] == item then return true end
  end
  return false
end

-- What freezes a call: 'run:…', 'fleet:…', 'vendor:…', 'all', or nil. One lookup, however many freezes there are.
local function freeze_of(run, vendor)
  if redis.call('HLEN', FROZEN) == 0 then return nil end
  local fields = { 'run:' .. run.run_id, unpack(fleets_of(run.label)) }
  fields[#fields + 1] = 'vendor:' .. vendor
  fields[#fields + 1] = 'all'
  local raw = redis.call('HMGET', FROZEN, unpack(fields))
  for index, field in ipairs(fields) do
    if raw[index] then return field end
  end
  return nil
end

-- Operations as a denial tells them, one a line.
local function operations(items) return table.concat(items or {}, '\n') end

-- The denial by a rule: which one, what the call has for it, and what would do.
local function against(run, rule, attempted, wanted)
  return { code = 'operation_not_allowed', run = run, detail = rule .. '\n' .. attempted .. '\n' .. operations(wanted),
    allowed = operations(run.policy.only) }
end

-- The run if the key is good, whatever it may do; else nil and the denial.
local function run_of_key(digest, now)
  local run = load_run(digest)
  if not run then return nil, { code = 'key_unknown' } end
  if run.revoked_ms then return nil, { code = 'key_revoked', run = run } end
  if run.expires_ms and now >= run.expires_ms then return nil, { code = 'key_expired', run = run } end
  return run, nil
end

-- The run if the key is good and its policy allows the operation on that account ('' for the secret's own); else nil
-- and the denial.
local function admit(digest, vendor, operation, needs_allow, account, now)
  local run, denial = run_of_key(digest, now)
  if not run then return nil, denial end
  local function denied(code, detail, allowed)
    return nil, { code = code, run = run, detail = detail, allowed = allowed }
  end
  local frozen = freeze_of(run, vendor)
  if frozen then return denied('frozen', frozen) end
  if not listed(run.vendors, vendor) then return denied('vendor_not_allowed', vendor, run.vendors) end
  local policy = run.policy
  if policy.only and not has(policy.only, operation) then
    return denied('operation_not_allowed', '', operations(policy.only))
  end
  -- An operation that is refused by default needs to be named by the run's policy, in whichever of its two lists.
  if needs_allow and not has(policy.allow, operation) and not has(policy.only, operation) then
    return denied('operation_not_allowed', '', operations(policy.allow))
  end
  if account ~= '' and not has(policy.stripe_accounts, account) then
    return nil, against(run, 'account', account, policy.stripe_accounts)
  end
  return run, nil
end

-- The denial of a call by its price and by what it reaches, or nil.
local function denial_by_rules(run, vendor, micros, country, currency)
  local policy = run.policy
  -- What the call has, the policy's list, and the vendor that always says what it has: so that a call of it that costs
  -- something and does not is refused.
  local rules = {
    { 'country', country, policy.countries, 'twilio' },
    { 'currency', currency, policy.currencies, 'stripe' },
  }
  for _, rule in ipairs(rules) do
    local name, value, wanted, always = unpack(rule, 1, 4)
    local concerned = wanted and (value ~= '' or vendor == always and micros > 0)
    if concerned and not has(wanted, value) then return against(run, name, value, wanted) end
  end
  local most = policy.max_call_micros and stored_number(policy.max_call_micros, 'max_call_micros')
  if most and micros > most then
    local denial = against(run, 'max_call', text_of(micros), { text_of(most) })
    denial.requested = micros
    return denial
  end
  return nil
end

-- The denial of a run that is too fast for its policy, or nil: too many calls under way (active:<run>, a sorted set of
-- reservations by their deadline), or too many begun in this minute of the ledger's clock (pace:<run>:<minute>).
local function denial_by_pace(run, now)
  local most = run.policy.max_concurrency and stored_number(run.policy.max_concurrency, 'max_concurrency')
  if most and redis.call('ZCOUNT', PREFIX .. 'active:' .. run.run_id, text_of(now), '+inf') >= most then
    return { code = 'rate_limited', run = run, detail = 'max_concurrency\n' .. text_of(most) .. '\n' }
  end
  most = run.policy.max_calls_per_minute and stored_number(run.policy.max_calls_per_minute, 'max_calls_per_minute')
  local begun = most and redis.call('GET', PREFIX .. 'pace:' .. run.run_id .. ':' .. text_of(math.floor(now / 60000)))
  if begun and number_of(begun, 'calls in this minute') >= most then
    local left = text_of(60000 - now % 60000)
    return { code = 'rate_limited', run = run, detail = 'max_calls_per_minute\n' .. text_of(most) .. '\n' .. left }
  end
  return nil
end

-- Counts a call that begins, if the policy of its run has to know.
local function keep_pace(run, id, now, life_ms)
  if run.policy.max_concurrency then
    redis.call('ZADD', PREFIX .. 'active:' .. run.run_id, text_of(now + life_ms), id)
    redis.call('PEXPIRE', PREFIX .. 'active:' .. run.run_id, text_of(life_ms + 60000))
  end
  if run.policy.max_calls_per_minute then
    local key = PREFIX .. 'pace:' .. run.run_id .. ':' .. text_of(math.floor(now / 60000))
    redis.call('INCR', key)
    redis.call('PEXPIRE', key, '120000')
  end
end

-- The audit's word for a code: see POLICY_CODES in decision.py.
local function decision_of(code)
  local blocked = { cap_exhausted = true, vendor_not_allowed = true, operation_not_allowed = true, frozen = true,
    duplicate = true, rate_limited = true }
  return blocked[code] and 'blocked' or 'refused'
end

-- The run's total, held included, as text; '' if there is no run or its counters are gone.
local function spent_of(run)
  if not run then return '' end
  local raw = redis.call('HMGET', PREFIX .. 'spend:run:' .. run.run_id, 'total:held', 'total:spent')
  if not raw[1] or not raw[2] then return '' end
  return text_of(number_of(raw[1], 'total:held') + number_of(raw[2], 'total:spent'))
end

-- Writes the denial's audit row, if it is a run's, and returns the reply:
-- {'DENY', code, run_id, label, detail, allowed, requested, cap: level, selector, window, micros, counted, resets_at}
local function deny(denial, row, now)
  local run, cap = denial.run, denial.cap
  local run_id, label = run and run.run_id or '', run and run.label or ''
  -- An unknown key is nobody's: the proxy bounds the number of such rows, and has those written that it lets through.
  if run then
    audit_call({ at_ms = now, run_id = run_id, label = label, decision = decision_of(denial.code), code = denial.code,
      outcome = '', settled = '', spent = spent_of(run), cap = cap, row = row, ending = '' })
  end
  local reply = { 'DENY', denial.code, run_id, label, denial.detail or '', denial.allowed or '',
    denial.requested and text_of(denial.requested) or '' }
  if cap then
    for _, value in ipairs({ cap.level, cap.selector, cap.window, cap.micros, text_of(cap.counted),
      resets_at(cap.window, now) }) do reply[#reply + 1] = value end
  end
  return reply
end
