-- Take back what was used up of quotas. keys and args as for `spend`
local now = tonumber(arg.now)
for i = 1, tonumber(arg.quotas) do
  local allowance, seconds, burst = key['quota' .. i], tonumber(arg['seconds' .. i]), tonumber(arg['burst' .. i])
  local spent = earned_back(allowance, now, seconds * burst) - seconds * arg['cost' .. i]
  spend(allowance, math.max(spent, now), seconds * burst)
end
