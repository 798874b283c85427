// The host process of one device plugin: `bai-agentd --device-host`. It loads the shared object, asks it what the agent wants to know, and says it in frames that
// the agent checks (protocol.h). Whatever a driver library does, it does to this process. One thread.
#pragma once

#include <string>

#include "base/result.h"
#include "device/device_plugin.h"
#include "device/protocol.h"

namespace bai::device {

// Serves the agent at the other end of `socket` until that end is closed; the process ends with its parent. Errors: io_error.
Status run_host(int socket);

// The plugin in that file. It must not be writable for everybody, and be owned by root or by whom this process runs as. Errors: bad_plugin, with the file and what
// is wrong with it. What was loaded stays so until the process ends.
Result<const bai_device_calls*> load_plugin(const std::string& file, const std::string& name);

// What a plugin said of a device, with its files looked at. Errors: bad_plugin.
Result<Found> read_found(const bai_device& device);
State read_state(const std::string& id, const bai_device_state& state);

}  // namespace bai::device
