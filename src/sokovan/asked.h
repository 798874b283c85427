// What a request asks for in all, as predictions and the order of a queue count it.
#pragma once

#include <cstdint>

#include "model/request.h"

namespace bai::sokovan {

// CPUs, as the request has them.
std::uint64_t cpus_asked(const ResourceRequest& request);

}  // namespace bai::sokovan
