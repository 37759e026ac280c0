-- Shared: how a reservation ends. Needs common, counters, objects and reservations.

-- The record of the idempotency key, if this very reservation made it; else nil.
local function own_idem(reservation)
  if reservation.idem == '' or reservation.replay ~= '' then return nil end
  local key = PREFIX .. 'idem:' .. reservation.idem
  if redis.call('HGET', key, 'reservation') ~= reservation.id then return nil end
  return key
end

-- What the first call of a replay counted without knowing the object that it made, 'day micros\n' or '', and its key.
local function loose_amount(reservation)
  if reservation.replay == '' then return '', nil end
  local key = PREFIX .. 'idem:' .. reservation.idem
  return redis.call('HGET', key, 'loose') or '', key
end

-- Counts the end of a call in memory. Returns what the run's counters keep, the object's entries if there is an object,
-- and the key whose loose amount has found its object.
local function count_end(reservation, object, all_counters, total, final)
  if reservation.uncounted ~= '' then return 0, nil, nil end
  if object == '' then
    -- A retry that the vendor answers from its memory has been counted by the call that it repeats.
    local amount = reservation.replay == '' and total or 0
    for _, counters in ipairs(all_counters) do add(counters, SPENT, amount) end
    return amount, nil, nil
  end
  local loose, idem = loose_amount(reservation)
  local all = load_entries(reservation.vendor, object, reservation.selectors)
  local settled
  for index, counters in ipairs(all_counters) do
    if loose ~= '' and not all[index].known then all[index] = read_entries(loose) end
    local difference = count_object(counters, all[index], reservation.day, total, final)
    if index == 1 then settled = difference end
  end
  return settled, all, loose ~= '' and idem or nil
end

-- What a rebuild needs beyond the row's columns: which reservation has ended; the object's total after the call; what
-- a retry under the same idempotency key is known by, and until when.
local function facts_for_rebuild(reservation, ending, object, total, final, idem)
  local facts = { 'reservation', reservation.id }
  local function add_fact(name, value)
    if value then facts[#facts + 1], facts[#facts + 2] = name, value end
  end
  if ending ~= 'released' and object ~= '' and reservation.uncounted == '' then
    add_fact('object', object)
    add_fact('object_micros', text_of(total))
    add_fact('final', final and '1' or nil)
  end
  if reservation.idem ~= '' and (idem or reservation.replay ~= '') then
    add_fact('idem', reservation.idem:match(':(.*)$'))
    add_fact('replay', reservation.replay ~= '' and '1' or nil)
    add_fact('fingerprint', idem and redis.call('HGET', idem, 'fingerprint'))
    add_fact('idem_ttl_ms', idem and text_of(math.max(0, redis.call('PTTL', idem))))
  end
  return facts
end

local function audit_end(reservation, ending, settled, end_row, further)
  local cap = reservation.cap_level ~= '' and { level = reservation.cap_level, selector = reservation.cap_selector,
    window = reservation.cap_window, micros = reservation.cap_micros } or nil
  audit_call({ at_ms = reservation.at_ms, run_id = reservation.run_id, label = reservation.label, decision = 'allowed',
    code = '', outcome = ending, settled = settled, spent = reservation.spent, cap = cap, row = reservation.row,
    ending = end_row, further = further })
end

-- Ends a reservation once. `ending` is settled, released or unknown; `actual` the cost in micros or nil; `object` ''
-- if the answer named none; `final` says that the object is in an end state.
-- Returns settled micros (negative: given back) and the run's total after it, or nil if there is none to end.
local function end_reservation(id, ending, actual, object, final, end_row, now)
  local reservation = load_reservation(id)
  if not reservation then return nil end
  redis.call('ZSCORE', OPEN, id)
  redis.call('XLEN', AUDIT)
  local quoted = number_of(reservation.micros, 'the quote')
  if object == '' then object = reservation.object end
  local idem = own_idem(reservation)
  local active = PREFIX .. 'active:' .. reservation.run_id
  local is_active = redis.call('ZSCORE', active, id)

  local all_counters = {}
  for index, selector in ipairs(reservation.selectors) do
    all_counters[index] = open_counters(selector, reservation.day)
    add(all_counters[index], HELD, -reservation.amounts[index])
  end
  local settled, entries, placed = 0, nil, nil
  local total = ending == 'settled' and actual or quoted
  final = final and ending == 'settled'
  if ending ~= 'released' then
    settled, entries, placed = count_end(reservation, object, all_counters, total, final)
  end
  local facts = facts_for_rebuild(reservation, ending, object, total, final, idem)

  -- From here on only writes, to keys that have been read above.
  for _, counters in ipairs(all_counters) do save_counters(counters, now) end
  if entries then save_entries(reservation.vendor, object, reservation.selectors, entries) end
  if placed then redis.call('HDEL', placed, 'loose') end
  if idem and ending == 'released' then
    redis.call('DEL', idem) -- nothing happened: a retry is a new call
  elseif idem then
    local loose = object == '' and reservation.day .. ' ' .. text_of(settled) .. '\n' or ''
    redis.call('HSET', idem, 'state', 'done', 'loose', loose)
  end
  redis.call('DEL', reservation.key)
  redis.call('ZREM', OPEN, id)
  if is_active then redis.call('ZREM', active, id) end
  audit_end(reservation, ending, settled, end_row, facts)
  return settled, counted_in(all_counters[1], 3)
end
