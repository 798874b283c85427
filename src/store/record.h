// Record: the bytes in which the store keeps a value: one byte of format, then base/archive.h's encoding. A job's record
// holds its spec as a piece of its own, so that loading can share equal specs between jobs.
// Reading is lenient about the caps that guard the wire (control characters, string lengths): what was once accepted
// must stay readable. Any thread; a JobLoader belongs to one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/archive.h"
#include "base/istr.h"
#include "base/result.h"
#include "model/job.h"

namespace bai::store {

inline constexpr std::uint8_t kRecordFormat = 1;
inline constexpr std::size_t kMaxRecordString = std::size_t{64} << 20;

Error bad_record(std::string_view what, std::string_view why);

template <class T>
std::string to_record(const T& value) {
  std::string out(1, static_cast<char>(kRecordFormat));
  OutArchive archive(out, kRecordFormat);
  archive(value);
  return out;
}

// `what` names the record in the error ("launch 7"). Error code "corrupt".
template <class T>
Result<T> from_record(std::string_view bytes, std::string_view what) {
  if (bytes.empty()) return bad_record(what, "it is empty");
  const auto format = static_cast<std::uint8_t>(bytes[0]);
  if (format == 0 || format > kRecordFormat) return bad_record(what, "its format is unknown");
  T value{};
  InArchive archive(bytes.substr(1), format);
  archive.with_strings(kMaxRecordString, true, [&] { archive(value); });
  if (!archive.failed() && archive.left() != 0) archive.fail("bytes are left over");
  if (archive.failed()) return bad_record(what, archive.error().message);
  return value;
}

std::string job_record(const Job& job);

// Decodes job records; equal specs that come close to each other become one shared spec, equal strings one string.
class JobLoader {
 public:
  Result<JobPtr> load(std::string_view bytes, std::string_view what);

 private:
  struct Slot {
    std::string bytes;
    std::shared_ptr<const JobSpec> spec;
  };
  Result<std::shared_ptr<const JobSpec>> spec(std::string_view bytes, std::uint8_t format,
                                              std::string_view what);

  InternPool pool_;
  std::array<Slot, 1024> recent_;
};

}  // namespace bai::store
