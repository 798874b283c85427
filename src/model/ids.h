// The identifiers of a cluster. Plain values, any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai {

// A job's number; 0 is none. Never reused in a cluster's life.
using JobId = std::uint32_t;
// The nth start of a job, from 1.
using Attempt = std::uint32_t;
// The number of a step within its job, from 0; the batch script's is Slurm's.
using StepId = std::uint32_t;
inline constexpr StepId kBatchStep = 0xfffffffb;
inline constexpr StepId kNoStep = 0xffffffff;
// The position of a change in the cluster's one order of changes, from 1.
using Lsn = std::uint64_t;

inline constexpr std::uint32_t kNoTask = 0xffffffff;

// 128 bits that nobody else has: a cluster's identity, or one changing request's.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  bool empty() const { return *this == Uuid{}; }
  std::string hex() const;  // 32 lower case digits
  static Result<Uuid> parse(std::string_view hex);
  static Uuid random();  // from the kernel
  // 48 bits of the clock's milliseconds, then 80 random ones (RFC 9562's version 7 without its marks): what is made later
  // is mostly greater, so that a store appends.
  static Uuid ordered();
  friend auto operator<=>(const Uuid&, const Uuid&) = default;

  template <class A>
  void serialize(A& a) {
    a(bytes);
  }
};
using RequestId = Uuid;

// What a controller is: which cluster, which life of its controller, how far its durable state goes (DESIGN: lineage).
// Ordered by epoch, then LSN, within one cluster.
struct Lineage {
  Uuid cluster;
  std::uint64_t epoch = 0;
  Lsn lsn = 0;
  JobId last_job_id = 0;

  template <class A>
  void serialize(A& a) {
    a(cluster, epoch, lsn, last_job_id);
  }
};

}  // namespace bai

template <>
struct std::hash<bai::Uuid> {
  std::size_t operator()(const bai::Uuid& id) const {
    std::size_t h = 0;
    for (auto b : id.bytes) h = h * 1099511628211u + b;
    return h;
  }
};
