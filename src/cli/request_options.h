// Options of a request for more than nodes, tasks, CPUs and memory: devices, shapes of nodes, the network (sbatch(1)).
#pragma once

#include "cli/option_reader.h"
#include "model/request.h"

namespace bai::cli {

// Into request.extras(); after the memory of the request was read.
void read_request_extras(OptionReader& in, ResourceRequest& request);

}  // namespace bai::cli
