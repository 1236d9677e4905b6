-- wrk's script: takes the paths of a file in turn and reports one line of JSON.
-- wrk -s load.lua URL -- PATHS METHOD BODY-BYTES HEADER...

local heads, body, position, counter

function init(arguments)
  local method, size = arguments[2], tonumber(arguments[3])
  local extra = ""
  for i = 4, #arguments do extra = extra .. arguments[i] .. "\r\n" end
  heads = {}
  for path in io.lines(arguments[1]) do
    local head = method .. " " .. path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n" .. extra
    if size > 0 then head = head .. "Content-Length: " .. size .. "\r\n" end
    heads[#heads + 1] = head .. "\r\n"
  end
  body = string.rep("x", math.max(size - 16, 0))
  sized = size > 0
  position, counter = 0, 0
end

function request()
  position = position % #heads + 1
  if not sized then return heads[position] end
  if counter >= #heads then wrk.thread:stop() end  -- each is sent once
  counter = counter + 1
  return heads[position] .. string.format("%016d", counter) .. body  -- no two bodies are equal
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "microseconds": %d, "bytes": %d, "bad_status": %d, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
