// The root of a cast: reads the file, feeds its children, knows when every receiver has it. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "step/link_server.h"

namespace bai::cast {

class Source {
 public:
  // `file`: at its beginning. `listener`: receivers dial it and prove `key`.
  Source(Fd file, Fd listener, const std::string& key, std::uint32_t fanout, bool compress)
      : file_(std::move(file)),
        server_(std::move(listener), key, step::LinkKind::kClient, kMaxReceivers),
        fanout_(fanout),
        compress_(compress) {}

  // Until `stop` is readable. Errors: io_error (the file cannot be read); receivers are left alone then.
  Status run(int stop);

 private:
  static constexpr std::uint32_t kMaxReceivers = 100'000;
  struct Receiver {
    std::uint16_t port = 0;
    bool placed = false, direct = false, ready = false, done = false;
  };
  void on_frame(std::uint32_t rank, const step::Frame& frame);
  void place(std::uint32_t rank);
  void feed_by_root(std::uint32_t rank);
  Status send_some();
  bool room();

  Fd file_;
  step::LinkServer server_;
  std::uint32_t fanout_;
  bool compress_;
  std::vector<Receiver> receivers_;
  std::uint32_t ready_ = 0, done_ = 0;
  std::uint64_t sent_ = 0;
  bool ended_ = false;
};

}  // namespace bai::cast
