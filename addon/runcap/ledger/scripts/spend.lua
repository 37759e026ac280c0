-- include: common counters
--
-- What selectors have counted in the current windows.
--
-- KEYS[1]  the namespace's prefix
-- ARGV     selectors
--
-- Returns {'OK', then for each selector held and spent micros of day, month and total} or {'UNTRUSTED'}.

local refusal = distrust()
if refusal then return refusal end
local reply, day = { 'OK' }, day_of(now_ms())
for _, selector in ipairs(ARGV) do
  local counters = open_counters(selector, day)
  for index = 1, 6 do reply[#reply + 1] = text_of(counters.values[index]) end
end
return reply
