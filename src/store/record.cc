#include "store/record.h"

#include <cstring>
#include <functional>
#include <utility>

namespace bai::store {

namespace {

// format, length of the spec's encoding (little endian), spec, the rest of the job.
constexpr std::size_t kJobHeader = 5;

template <class T>
bool read(std::string_view bytes, std::uint8_t format, T& value) {
  InArchive archive(bytes, format);
  archive.with_strings(kMaxRecordString, true, [&] { archive(value); });
  return !archive.failed() && archive.left() == 0;
}

}  // namespace

Error bad_record(std::string_view what, std::string_view why) {
  return Error{"corrupt",
               "the store's record of " + std::string(what) + " cannot be read: " + std::string(why), "",
               "restore the database from a backup"};
}

std::string job_record(const Job& job) {
  std::string out(kJobHeader, '\0');
  out[0] = static_cast<char>(kRecordFormat);
  OutArchive archive(out, kRecordFormat);
  if (job.spec) archive(*job.spec);
  const auto size = static_cast<std::uint32_t>(out.size() - kJobHeader);
  for (int i = 0; i < 4; ++i) out[static_cast<std::size_t>(i) + 1] = static_cast<char>(size >> (8 * i));
  Job rest = job;
  rest.spec = nullptr;
  archive(rest);
  return out;
}

Result<JobPtr> JobLoader::load(std::string_view bytes, std::string_view what) {
  if (bytes.size() < kJobHeader) return bad_record(what, "it is too short");
  const auto format = static_cast<std::uint8_t>(bytes[0]);
  if (format == 0 || format > kRecordFormat) return bad_record(what, "its format is unknown");
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < 4; ++i)
    size |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i + 1])) << (8 * i);
  if (size > bytes.size() - kJobHeader) return bad_record(what, "its spec is cut off");
  auto job = std::make_shared<Job>();
  if (!read(bytes.substr(kJobHeader + size), format, *job))
    return bad_record(what, "its fields are malformed");
  if (size != 0) {
    auto shared = spec(bytes.substr(kJobHeader, size), format, what);
    if (!shared) return shared.error();
    job->spec = std::move(*shared);
  }
  job->detail = pool_.intern(job->detail);
  return JobPtr(std::move(job));
}

Result<std::shared_ptr<const JobSpec>> JobLoader::spec(std::string_view bytes, std::uint8_t format,
                                                       std::string_view what) {
  Slot& slot = recent_[std::hash<std::string_view>()(bytes) % recent_.size()];
  if (slot.spec && slot.bytes == bytes) return slot.spec;
  auto spec = std::make_shared<JobSpec>();
  if (!read(bytes, format, *spec)) return bad_record(what, "its spec is malformed");
  for (Istr* text : {&spec->name, &spec->user, &spec->group, &spec->account, &spec->partition, &spec->workdir,
                     &spec->std_out, &spec->std_err, &spec->command, &spec->host, &spec->request.constraint,
                     &spec->request.nodes_wanted, &spec->request.nodes_excluded, &spec->request.licenses})
    *text = pool_.intern(*text);
  slot.bytes = bytes;
  slot.spec = spec;
  return slot.spec;
}

}  // namespace bai::store
