// A receiver of a cast: one on each node, a task of the cast's step. Takes the file from its parent, passes it on to its children, writes it.
// One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cast/new_file.h"
#include "step/link_server.h"
#include "step/stream_socket.h"
#include "step/uplink.h"

namespace bai::cast {

struct ReceiverPlan {
  std::vector<std::string> root;  // its endpoints
  std::string key;
  std::uint32_t rank = 0, count = 0;  // of the receivers
  std::string path;
  FileLook look;
  bool replace = false;
};

class Receiver {
 public:
  // Until the file is in place on all nodes. Errors: exists, io_error, gone (the root, or whoever should pass the file on), bad_frame.
  static Status run(const ReceiverPlan& plan);

 private:
  Receiver(const ReceiverPlan& plan, NewFile file, step::Listener listener);
  Status turn();
  Status mind_parent();
  void greet();
  void on_root(const step::Frame& frame);
  void get_ready();
  void on_piece(const step::Frame& frame);
  bool room();
  void fail(Error error) {
    if (failed_.ok()) failed_ = std::move(error);
  }

  const ReceiverPlan& plan_;
  NewFile file_;
  step::Uplink root_;
  std::optional<step::Uplink> parent_;
  step::LinkServer children_;
  std::set<std::uint32_t> greeted_;  // of children_
  bool met_ = false,                 // the parent, at least once
      ready_ = false, fed_by_root_ = false, over_ = false;
  Status failed_;
};

}  // namespace bai::cast
