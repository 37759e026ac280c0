-- include: common counters objects reservations ending
--
-- Ends a reservation and writes the call's audit row. Once: ending it again changes nothing.
--
-- KEYS[1]  the namespace's prefix
-- ARGV[1]  reservation id
-- ARGV[2]  'settled', 'released' or 'unknown'
-- ARGV[3]  actual cost in micros (with an object: its total), or '' for the quote; only read if settled
-- ARGV[4]  the vendor's object id that the answer named, or ''
-- ARGV[5]  '1' if the object has reached an end state, else '0'
-- ARGV[6]  what the audit row learns at the end, JSON
--
-- Returns {'OK', settled micros (negative: given back), the run's total in micros}, {'ALREADY'} or {'UNTRUSTED'}.

local refusal = under_rebuild()
if refusal then return refusal end
local ending = ARGV[2]
if ending ~= 'settled' and ending ~= 'released' and ending ~= 'unknown' then
  error('RUNCAP no such ending: ' .. ending, 0)
end
local actual = ARGV[3] ~= '' and number_of(ARGV[3], 'micros') or nil
local settled, spent = end_reservation(ARGV[1], ending, actual, ARGV[4], ARGV[5] == '1', ARGV[6], now_ms())
if not settled then return { 'ALREADY' } end
return { 'OK', text_of(settled), text_of(spent) }
