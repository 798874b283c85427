// bai-control show: jobs, nodes and partitions as scontrol prints them, key by key. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/job_fields.h"
#include "model/node.h"
#include "wire/messages.h"

namespace bai::cli {

// Keys of one record: lines are indented, or with `one_line` everything stands on one.
class RecordWriter {
 public:
  RecordWriter(std::string& out, bool one_line) : out_(out), one_line_(one_line) {}
  RecordWriter& key(std::string_view name, std::string_view value);
  RecordWriter& key(std::string_view name, std::uint64_t value) {
    return key(name, std::string_view(std::to_string(value)));
  }
  RecordWriter& null_key(std::string_view name, std::string_view value) {
    return key(name, value.empty() ? "(null)" : value);
  }
  RecordWriter& time(std::string_view name, Time at, std::string_view otherwise = "Unknown");
  RecordWriter& line();
  void end();
  // A line with nothing but its indentation, or one more blank.
  RecordWriter& blank();

 private:
  std::string& out_;
  bool one_line_;
  bool begun_ = false;
};

void show_job(std::string& out, const JobView& job, bool one_line);
void show_node(std::string& out, const Node& node, const std::vector<Partition>& partitions, bool one_line);
// `mem_mib`: of all its nodes together.
void show_partition(std::string& out, const Partition& partition, bool one_line, std::uint64_t mem_mib = 0);

void put_node_json(JsonWriter& json, const Node& node, const std::vector<Partition>& partitions);
void put_partition_json(JsonWriter& json, const Partition& partition);

// The names of the partitions that hold the node, with commas.
std::string partitions_of(const Node& node, const std::vector<Partition>& partitions);

}  // namespace bai::cli
