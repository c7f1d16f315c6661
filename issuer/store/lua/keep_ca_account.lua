-- Save our account at a CA if the stored one is still the expected one ('': none). Returns the one that is stored now.
-- args: expected, new
local refusal = foreign()
if refusal then return refusal end
local current = redis.call('GET', key.account) or ''
if current == '' or current == arg.expected then
  redis.call('SET', key.account, arg.new)
  return arg.new
end
return current
