#include "cli/show.h"

#include "cli/output.h"

namespace bai::cli {

RecordWriter& RecordWriter::key(std::string_view name, std::string_view value) {
  if (begun_) out_ += ' ';
  begun_ = true;
  out_ += name;
  out_ += '=';
  out_ += value;
  return *this;
}

RecordWriter& RecordWriter::time(std::string_view name, Time at, std::string_view otherwise) {
  return key(name, at.is_set() ? std::string_view(format_timestamp(at)) : otherwise);
}

RecordWriter& RecordWriter::line() {
  if (!one_line_) {
    out_ += "\n   ";
    begun_ = false;
  }
  return *this;
}

RecordWriter& RecordWriter::blank() {
  out_ += one_line_ ? " " : "\n   ";
  return *this;
}

void RecordWriter::end() { out_ += one_line_ ? "\n" : "\n\n"; }

std::string partitions_of(const Node& node, const std::vector<Partition>& partitions) {
  std::string out;
  for (const auto& partition : partitions)
    for (const auto& name : partition.nodes)
      if (name == node.name) {
        if (!out.empty()) out += ',';
        out += partition.name.view();
        break;
      }
  return out;
}

}  // namespace bai::cli
