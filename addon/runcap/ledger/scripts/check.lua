-- include: common counters reservations
--
-- Compares what every counter holds with the open reservations. Reads the whole namespace in one go, so that nothing
-- moves meanwhile: the server stands still for it, about 0.1 s for 10,000 runs. For operators, not for calls.
--
-- KEYS[1]  the namespace's prefix
--
-- Returns {'OK', then each difference in plain English} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
local reply, expected = { 'OK' }, {}

local function report(...) reply[#reply + 1] = string.format(...) end

local function each_key(kind, visit)
  local cursor, seen = '0', {}
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', PREFIX .. kind .. ':*', 'COUNT', '1000')
    for _, key in ipairs(page[2]) do
      if not seen[key] then visit(key, key:sub(#PREFIX + #kind + 2)) end
      seen[key] = true -- SCAN may name a key twice
    end
    cursor = page[1]
  until cursor == '0'
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
each_key('resv', function(_, id)
  if not redis.call('ZSCORE', OPEN, id) then report('The reservation %s has no deadline.', id) end
end)

each_key('spend', function(key, selector)
  local fields = redis.call('HGETALL', key)
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
end)
for selector in pairs(expected) do report('%s has open reservations, but no counters.', selector) end
return reply
