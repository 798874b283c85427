// What the PMIx servers of one step exchange, over their shepherds: fences, in which all ranks of some nodes meet and get what each of them has to say
// (the one on the first of these nodes gathers it), and what one rank asks about another (direct modex). Pure logic; no I/O.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::pmix {

constexpr std::size_t kMaxFenceBytes = 28u << 20;  // that all say together

class Exchange {
 public:
  // Called from within the functions below.
  struct Hooks {
    std::function<void(std::uint32_t node, const std::string& message)> send;
    // `data`: what the nodes said, in their order. Not ok: it was more than may be.
    std::function<void(std::uint64_t ticket, bool ok, std::string data)> fence_over;
    // Another node asks what `rank`, which is here, has put; answer() tells it.
    std::function<void(std::uint32_t node, std::uint64_t ticket, std::uint32_t rank)> asked;
    // The answer to ask(); `status` as answer() got it.
    std::function<void(std::uint64_t ticket, std::int32_t status, std::string_view data)> answered;
  };
  Exchange(std::uint32_t self, Hooks hooks) : self_(self), hooks_(std::move(hooks)) {}

  // All ranks of this node that take part are there. `nodes`: those that take part, rising; `who` names the ranks, alike on
  // all nodes. Fences of the same ranks follow each other in the same order everywhere.
  void fence(const std::vector<std::uint32_t>& nodes, const std::string& who, std::string_view data,
             std::uint64_t ticket);
  void ask(std::uint32_t node, std::uint64_t ticket, std::uint32_t rank);
  void answer(std::uint32_t node, std::uint64_t ticket, std::int32_t status, std::string_view data);

  // From another node's server. Errors: bad_message.
  Status take(std::uint32_t from, std::string_view message);

 private:
  using Name = std::pair<std::string, std::uint64_t>;  // who, and how many fences of theirs came before
  struct Gathering {
    std::vector<std::uint32_t> nodes;
    std::map<std::uint32_t, std::string> parts;
    std::size_t bytes = 0;
  };
  void gather(std::uint32_t from, const Name& name, std::vector<std::uint32_t> nodes, std::string_view data);
  void over(const Name& name, bool ok, std::string data);

  std::uint32_t self_;
  Hooks hooks_;
  std::map<std::string, std::uint64_t> counts_;
  std::map<Name, std::uint64_t> waiting_;  // tickets
  std::map<Name, Gathering> gatherings_;
};

}  // namespace bai::pmix
