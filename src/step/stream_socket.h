// Sockets of a step's streams: TCP, and between two ends on one machine Unix sockets in the abstract name space, which reach as far as
// loopback does (one network namespace) and leave no file behind. Any thread; nothing is kept.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace bai::step {

// Begins to connect to "host:port", a numeric address; poll for writing, then see connect_error(). Errors: bad_value, io_error.
Result<Fd> begin_connect(const std::string& endpoint);
// 0 when it is connected, EINPROGRESS while it tries, else why not.
int connect_error(int fd);
// What both ends set on a connection: no delay, keepalives that find a dead host within a minute. Also close-on-exec, non-blocking.
void tune(int fd);

// Listens on all addresses (IPv6 with IPv4, or IPv4 alone).
struct Listener {
  Fd fd;
  uint16_t port = 0;
};
// `loopback_only`: on 127.0.0.1. `port` 0: one that the kernel chooses. Errors: io_error.
Result<Listener> listen_any(bool loopback_only, uint16_t port = 0);

// Listens on this machine alone, under that name. Errors: io_error.
Result<Fd> listen_near(const std::string& name);
// Connected to that user's process which listens there; none when nobody does, another does, or its queue is full. Does not block.
Fd connect_near(const std::string& name, uid_t user);
// The other end of such a connection is root's or our own user's: anybody may see the name and call.
bool may_call_near(int fd);

// "10.0.0.1:4711", "[fe80::1]:4711".
std::string endpoint_text(const std::string& address, uint16_t port);

}  // namespace bai::step
