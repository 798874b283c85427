// The single devices of a node for people and tools: what the configuration counts, what was found for each, how much of it is given away, and why some are not
// given to jobs. Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "cli/show.h"
#include "model/node.h"

namespace bai::cli {

// One of them; `found` points into the node.
struct DeviceRow {
  Istr kind, type;
  std::uint32_t index = 0;
  DeviceAmount used = 0;  // in thousandths
  const FoundDevice* found = nullptr;
  std::string why;  // it is not given to jobs; empty: it is
};
// Nothing for nodes of whose devices nobody knows more than the number.
std::vector<DeviceRow> device_rows(const Node& node);

// Slurm's words: "gpu:a100:2(IDX:0-1)" of those that jobs have, and of those that are out; "" when there are none.
std::string gres_used(const Node& node);
std::string gres_drained(const Node& node);

// Lines of `bai-control show node`, and a field of its JSON.
void show_devices(RecordWriter& out, const Node& node);
void put_devices_json(JsonWriter& json, const Node& node);

}  // namespace bai::cli
