-- Shared: whose key it is, and which fleets its run is counted in. Needs common.
--
-- All of this runs in every call: what most runs do not have is not even made for them.

local function read_policy(text)
  if text == '{}' then return {} end
  local readable, policy = pcall(cjson.decode, text)
  if not readable or type(policy) ~= 'table' then error('RUNCAP the policy is not readable', 0) end
  return policy
end

-- The run of a key, or nil.
local function load_run(digest)
  local key = PREFIX .. 'run:' .. digest
  local raw = redis.call('HMGET', key, 'run_id', 'label', 'vendors', 'policy', 'cap_day', 'cap_month', 'cap_total',
    'expires_ms', 'revoked_ms')
  if not raw[1] then return nil end
  return {
    key = key, run_id = raw[1], label = raw[2], vendors = raw[3],
    policy = read_policy(raw[4]),
    caps = { cap_of(raw[5], 'cap_day'), cap_of(raw[6], 'cap_month'), cap_of(raw[7], 'cap_total') },
    expires_ms = cap_of(raw[8], 'expires_ms'), revoked_ms = cap_of(raw[9], 'revoked_ms'),
  }
end

-- All fleets that a label may belong to: 'fleet:' and each of its prefixes, from the empty one to the label itself.
local function fleets_of(label)
  local fleets, whole = {}, 'fleet:' .. label
  for length = 6, #whole do fleets[length - 5] = whole:sub(1, length) end
  return fleets
end

-- Whether counted_fleets asks for a prefix, by the lengths that the meta hash names; it asks for all if there are none.
local function is_asked_for(prefix, lengths)
  return not lengths or (',' .. lengths):find(',' .. #prefix .. ',', 1, true) ~= nil
end

-- The fleets of a label that are counted, and the caps of each as they are stored. The meta hash says how long such
-- prefixes are ('4,12,'): a call asks for these few, and only where it does not say so for every prefix of its label.
local function counted_fleets(label)
  local lengths = redis.call('HGET', META, 'fleet_lengths')
  local asked, fleets, caps = lengths and {} or fleets_of(label), {}, {}
  for length in (lengths or ''):gmatch('%d+') do
    length = tonumber(length)
    if length <= #label then asked[#asked + 1] = 'fleet:' .. label:sub(1, length) end
  end
  if #asked == 0 then return fleets, caps end
  local raw = redis.call('HMGET', CAPS, unpack(asked))
  for index, fleet in ipairs(asked) do
    if raw[index] then fleets[#fleets + 1], caps[#caps + 1] = fleet, raw[index] end
  end
  return fleets, caps
end
