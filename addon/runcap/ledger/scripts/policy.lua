-- Shared: whose key it is, and what that run may do. Needs common.

-- All fleets that a label may belong to: 'fleet:' and each of its prefixes, from the empty one to the label itself.
local function fleets_of(label)
  local fleets, whole = {}, 'fleet:' .. label
  for length = 6, #whole do fleets[length - 5] = whole:sub(1, length) end
  return fleets
end

-- Lists are stored as '\nPOST /v1/refunds\nGET /v1/balance\n': membership is one plain find.
local function listed(list, item)
  return list:find('\n' .. item .. '\n', 1, true) ~= nil
end

-- The run of a key, or nil.
local function load_run(digest)
  local key = PREFIX .. 'run:' .. digest
  local raw = redis.call('HMGET', key, 'run_id', 'label', 'vendors', 'only', 'allow', 'cap_day', 'cap_month',
    'cap_total', 'expires_ms', 'revoked_ms')
  if not raw[1] then return nil end
  return {
    key = key, run_id = raw[1], label = raw[2], fleets = fleets_of(raw[2]), vendors = raw[3], only = raw[4], allow = raw[5],
    caps = { cap_of(raw[6], 'cap_day'), cap_of(raw[7], 'cap_month'), cap_of(raw[8], 'cap_total') },
    expires_ms = cap_of(raw[9], 'expires_ms'), revoked_ms = cap_of(raw[10], 'revoked_ms'),
  }
end

-- What freezes a call: 'run:…', 'fleet:…', 'vendor:…', 'all', or nil. One lookup, however many freezes there are.
local function freeze_of(run, vendor)
  if redis.call('HLEN', FROZEN) == 0 then return nil end
  local fields = { 'run:' .. run.run_id, unpack(run.fleets) }
  fields[#fields + 1] = 'vendor:' .. vendor
  fields[#fields + 1] = 'all'
  local raw = redis.call('HMGET', FROZEN, unpack(fields))
  for index, field in ipairs(fields) do
    if raw[index] then return field end
  end
  return nil
end

-- The run if the key is good and its policy allows the operation; else nil and the denial.
local function admit(digest, vendor, operation, needs_allow, now)
  local run = load_run(digest)
  if not run then return nil, { code = 'key_unknown' } end
  local function denied(code, detail, allowed)
    return nil, { code = code, run = run, detail = detail, allowed = allowed }
  end
  if run.revoked_ms then return denied('key_revoked') end
  if run.expires_ms and now >= run.expires_ms then return denied('key_expired') end
  local frozen = freeze_of(run, vendor)
  if frozen then return denied('frozen', frozen) end
  if not listed(run.vendors, vendor) then return denied('vendor_not_allowed', vendor, run.vendors) end
  if run.only ~= '' and not listed(run.only, operation) then
    return denied('operation_not_allowed', operation, run.only)
  end
  -- An operation that is refused by default needs to be named by the run's policy, in whichever of its two lists.
  if needs_allow and not listed(run.allow, operation) and not listed(run.only, operation) then
    return denied('operation_not_allowed', operation, run.allow)
  end
  return run, nil
end

-- The audit's word for a code: see POLICY_CODES in decision.py.
local BLOCKED = { cap_exhausted = true, vendor_not_allowed = true, operation_not_allowed = true, frozen = true }

-- The run's total, held included, as text; '' if there is no run or its counters are gone.
local function spent_of(run)
  if not run then return '' end
  local raw = redis.call('HMGET', PREFIX .. 'spend:run:' .. run.run_id, 'total:held', 'total:spent')
  if not raw[1] or not raw[2] then return '' end
  return text_of(number_of(raw[1], 'total:held') + number_of(raw[2], 'total:spent'))
end

-- Writes the denial's audit row and returns the reply:
-- {'DENY', code, run_id, label, detail, allowed, requested, cap: level, selector, window, micros, counted, resets_at}
local function deny(denial, row, now)
  local run, cap = denial.run, denial.cap
  local run_id, label = run and run.run_id or '', run and run.label or ''
  audit_call({ at_ms = now, run_id = run_id, label = label, decision = BLOCKED[denial.code] and 'blocked' or 'refused',
    code = denial.code, outcome = '', settled = '', spent = spent_of(run), cap = cap, row = row, ending = '' })
  local reply = { 'DENY', denial.code, run_id, label, denial.detail or '', denial.allowed or '',
    denial.requested and text_of(denial.requested) or '' }
  if cap then
    for _, value in ipairs({ cap.level, cap.selector, cap.window, cap.micros, text_of(cap.counted),
      resets_at(cap.window, now) }) do reply[#reply + 1] = value end
  end
  return reply
end
