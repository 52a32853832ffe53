-- Keeps an answer, and lets one request ask for all that want it.
--
-- KEYS   the entry and its lock, in one hash slot; to swap: one value
-- ARGV   op, then
--        acquire  token, lease in ms, 1 if the entry is wanted
--        store    token, time to live in ms, entry
--        release  token
--        renew    token, lease in ms
--        swap     the value as it was (empty: none), the value as it shall be
-- reply  acquire  { 'hit', entry } | { 'leader', 0 } | { 'wait', ms until the lock expires }
--        else     1 if done, else 0

local op, token = ARGV[1], ARGV[2]

if op == 'swap' then
  if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[1], ARGV[3])
  return 1
end

local entry, lock = KEYS[1], KEYS[2]

if op == 'acquire' then
  local value = ARGV[4] == '1' and redis.call('GET', entry)
  if value then return { 'hit', value } end
  if redis.call('SET', lock, token, 'NX', 'PX', ARGV[3]) then return { 'leader', 0 } end
  return { 'wait', math.max(redis.call('PTTL', lock), 0) }
end

local ours = redis.call('GET', lock) == token
local done = ours and 1 or 0

if op == 'renew' then
  if ours then redis.call('PEXPIRE', lock, ARGV[3]) end
  return done
end

if op == 'store' then
  -- Where memory is short this fails; the lock goes all the same.
  local kept = redis.pcall('SET', entry, ARGV[4], 'PX', ARGV[3])
  if ours then redis.call('DEL', lock) end
  return kept.err and kept or 1
end

if ours then redis.call('DEL', lock) end
return done
