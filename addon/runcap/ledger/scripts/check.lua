-- include: common runs counters reservations
--
-- Compares what every counter holds with the open reservations. Reads all of them in one go, so that nothing moves
-- meanwhile: the server stands still for it, about 0.1 s for 10,000 runs. For operators, not for calls.
--
-- KEYS[1]  the namespace's prefix
--
-- Returns {'OK', then each difference in plain English} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
local reply, expected = { 'OK' }, {}

local function report(...) reply[#reply + 1] = string.format(...) end

-- All that is counted: by names, since a SCAN would also go through each object and each idempotency record.
local function known_selectors()
  local selectors = {}
  for _, run_id in ipairs(redis.call('HKEYS', RUN_IDS)) do selectors[#selectors + 1] = 'run:' .. run_id end
  for _, field in ipairs(redis.call('HKEYS', META)) do
    local vendor = field:match('^counted:(.*)$')
    if vendor then selectors[#selectors + 1] = 'vendor:' .. vendor end
  end
  for _, selector in ipairs(redis.call('HKEYS', CAPS)) do
    if not redis.call('HGET', META, 'counted:' .. (selector:match('^vendor:(.*)$') or '')) then
      selectors[#selectors + 1] = selector
    end
  end
  return selectors
end

local function expect(selector, day, amount)
  expected[selector] = expected[selector] or {}
  local fields = fields_of(day)
  for index = HELD, 6, 2 do
    expected[selector][fields[index]] = (expected[selector][fields[index]] or 0) + amount
  end
end

for _, id in ipairs(redis.call('ZRANGE', OPEN, '0', '-1')) do
  local readable, reservation = pcall(load_reservation, id)
  if not readable or not reservation then
    report('The open reservation %s cannot be read.', id)
  else
    for index, selector in ipairs(reservation.selectors) do
      expect(selector, reservation.day, reservation.amounts[index])
    end
  end
end
for _, selector in ipairs(known_selectors()) do
  local fields = redis.call('HGETALL', PREFIX .. 'spend:' .. selector)
  local held = expected[selector] or {}
  for index = 1, #fields, 2 do
    local field, value = fields[index], fields[index + 1]
    if not pcall(number_of, value, field) then
      report('%s: %s is %s, which is no amount in micros.', selector, field, value)
    elseif field:find(':held$') and tonumber(value) ~= (held[field] or 0) then
      report('%s: %s is %s micros, but its open reservations hold %s.', selector, field, value,
        text_of(held[field] or 0))
    end
    held[field] = nil
  end
  for field, amount in pairs(held) do
    if amount > 0 then report('%s: %s is missing; %s micros are held.', selector, field, text_of(amount)) end
  end
  expected[selector] = nil
end
for selector in pairs(expected) do report('%s has open reservations, but no counters.', selector) end

local lengths = redis.call('HGET', META, 'fleet_lengths')
for _, selector in ipairs(redis.call('HKEYS', CAPS)) do
  local prefix = selector:match('^fleet:(.*)$')
  if prefix and not is_asked_for(prefix, lengths) then
    report('%s has caps that no call asks for: change one of them.', selector)
  end
end
return reply
