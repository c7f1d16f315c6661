-- Give back what was spent of quotas. keys and args: as for `spend`
local now = tonumber(arg.now)
for i = 1, tonumber(arg.quotas) do
  local quota, seconds, burst = key['quota' .. i], tonumber(arg['seconds' .. i]), tonumber(arg['burst' .. i])
  local spent = earned_back(quota, now, seconds * burst) - seconds * arg['cost' .. i]
  spend(quota, math.max(spent, now), seconds * burst)
end
