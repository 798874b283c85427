// bai-info: partitions and nodes in sinfo's views. One thread.
#pragma once

#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/format.h"
#include "model/node.h"

namespace bai::cli {

// The whole command; its exit status.
int run_info(const Dialect& dialect, int argc, const char* const* argv);
OptionTable info_table(const Dialect& dialect);

// One line of sinfo: a partition, and some of its nodes that are shown alike. Points into a reply.
struct InfoRow {
  const Partition* partition = nullptr;  // nullptr: a node in none
  std::vector<const Node*> nodes;        // empty: an empty partition
  std::size_t order = 0;                 // of the partition, in the configuration
};

std::span<const Field<InfoRow>> info_fields();

// Groups the nodes: a row for each partition and each set of nodes whose shown fields are equal; with `by_node` a row for
// each node and partition. In the partitions' order.
std::vector<InfoRow> make_info_rows(const std::vector<Node>& nodes, const std::vector<Partition>& partitions,
                                    const std::vector<Column<InfoRow>>& columns, bool by_node);

// Sorts as sinfo -S says: letters of --format, - before one reverses, #P is the configuration's order. False: some
// letter is no field; it was skipped.
bool sort_info_rows(std::vector<InfoRow>& rows, std::string_view spec);

}  // namespace bai::cli
