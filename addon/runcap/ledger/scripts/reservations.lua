-- Shared: how a reservation is kept. Needs common.
--
-- resv:<id> is text, each fact on a line of its own: the 16 below, then its holds as lines 'micros selector', the run's
-- own first. It has all that ending it needs: the very day and selectors that it is held in (so that one which spans
-- midnight ends where it began), and what the audit row says of the decision. Text and not a hash, since it is written
-- and read as a whole, in a third of the time.

local FACTS = { 'run_id', 'label', 'vendor', 'micros', 'day', 'object', 'idem', 'replay', 'at_ms', 'spent', 'cap_level',
  'cap_selector', 'cap_window', 'cap_micros', 'uncounted', 'row' }

-- One match for all of them: it takes a fifth of the time that a loop over the lines does.
local FACT_LINES = '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n'
  .. '([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$'

local function hold_line(selector, micros) return text_of(micros) .. ' ' .. selector .. '\n' end

local function save_reservation(id, facts, holds)
  for index, fact in ipairs(facts) do
    if fact:find('\n', 1, true) then error('RUNCAP a line feed in ' .. FACTS[index], 0) end
  end
  redis.call('SET', PREFIX .. 'resv:' .. id, table.concat(facts, '\n') .. '\n' .. table.concat(holds))
end

-- nil if there is none.
local function load_reservation(id)
  local key = PREFIX .. 'resv:' .. id
  local text = redis.call('GET', key)
  if not text then return nil end
  local facts = { text:match(FACT_LINES) }
  local reservation, selectors, amounts = { id = id, key = key }, {}, {}
  for index, fact in ipairs(FACTS) do reservation[fact] = facts[index] end
  for micros, selector in (facts[#FACTS + 1] or ''):gmatch('(%d+) ([^\n]*)\n') do
    selectors[#selectors + 1], amounts[#amounts + 1] = selector, number_of(micros, 'a hold')
  end
  if #selectors == 0 then error('RUNCAP the reservation ' .. id .. ' is cut off', 0) end
  reservation.selectors, reservation.amounts = selectors, amounts
  return reservation
end
