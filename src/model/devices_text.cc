// Devices as people write them: Gres= of a node, --gres and --gpus of a job.
#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "model/devices.h"

namespace bai {
namespace {

constexpr std::size_t kMostGroups = 64;

bool is_types(std::string_view text) {
  const auto list = split(text, '|');
  return std::all_of(list.begin(), list.end(), is_device_name);
}

Error bad(std::string_view text, const char* what) {
  return {"bad_devices", quote(text) + " " + what, "", "write KIND[:TYPE]:NUMBER, as gpu:a100:2"};
}

// "10", "10k", "2G": as Slurm counts.
std::optional<std::uint64_t> parse_suffixed(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint64_t unit = 1;
  if (const auto at = std::string_view("kmgtp").find(lower(text.substr(text.size() - 1))[0]);
      at != std::string_view::npos) {
    unit = std::uint64_t{1} << (10 * (at + 1));
    text.remove_suffix(1);
  }
  auto number = parse_int(text, 0, INT32_MAX);
  std::uint64_t out = 0;
  if (!number || __builtin_mul_overflow(static_cast<std::uint64_t>(*number), unit, &out)) return std::nullopt;
  return out;
}

// Without parentheses, as in "gpu:4(S:0-1)".
std::string_view plain(std::string_view text) { return trim(text.substr(0, text.find('('))); }

}  // namespace

bool is_device_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text[0] != '-' && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-' || c == '.';
         });
}

std::optional<DeviceAmount> parse_device_amount(std::string_view text) {
  const auto dot = text.find('.');
  const auto whole = text.substr(0, dot);
  auto fraction = dot == text.npos ? std::string() : std::string(text.substr(dot + 1));
  if ((whole.empty() && fraction.empty()) || fraction.size() > 3 || (dot != text.npos && fraction.empty()))
    return std::nullopt;
  auto devices = whole.empty() ? Result<std::int64_t>(0) : parse_int(whole, 0, 1'000'000);
  fraction.resize(3, '0');
  if (!devices || !all_digits(fraction) || (!whole.empty() && !all_digits(whole))) return std::nullopt;
  auto thousandths = parse_int(fraction, 0, 999);
  if (!thousandths) return std::nullopt;
  return static_cast<DeviceAmount>(*devices) * kWholeDevice + static_cast<DeviceAmount>(*thousandths);
}

Result<std::vector<DeviceGroup>> parse_device_groups(std::string_view text) {
  std::vector<DeviceGroup> out;
  if (iequals(trim(text), "none")) return out;
  for (auto item : split_list(text)) {
    const auto parts = split(plain(item), ':');
    DeviceGroup group;
    if (parts.size() > 3 || !is_device_name(parts[0])) return bad(item, "is no kind of devices");
    group.kind = Istr(lower(parts[0]));
    group.counted = group.kind != "gpu";
    std::optional<std::uint64_t> count = 1;
    if (parts.size() > 1) count = parse_suffixed(parts.back());
    if (parts.size() == 2 && !count && is_device_name(parts[1])) {  // gpu:a100
      group.type = Istr(parts[1]);
      count = 1;
    } else if (parts.size() == 3) {
      if (!is_device_name(parts[1])) return bad(item, "has no type");
      group.type = Istr(parts[1]);
    }
    if (!count) return bad(item, "has no number");
    if (*count > (group.counted ? std::uint64_t{0xffffffff} : kMostSingleDevices))
      return bad(item, "is too many");
    group.count = static_cast<std::uint32_t>(*count);
    if (group.count == 0) continue;
    if (out.size() == kMostGroups) return bad(text, "has too many kinds");
    out.push_back(std::move(group));
  }
  return out;
}

std::string format_device_groups(const std::vector<DeviceGroup>& groups) {
  std::string out;
  for (const auto& group : groups) {
    if (!out.empty()) out += ',';
    out += group.kind.str() + (group.type.empty() ? "" : ":" + group.type.str()) + ":" +
           std::to_string(group.count);
  }
  return out;
}

Result<std::vector<DeviceRequest>> parse_device_requests(std::string_view text, DevicePer per,
                                                         std::string_view kind) {
  std::vector<DeviceRequest> out;
  if (iequals(trim(text), "none")) return out;
  for (auto item : split_list(text)) {
    auto rest = plain(item);
    DeviceRequest request;
    request.per = per;
    request.kind = Istr(kind);
    if (kind.empty()) {
      if (rest.starts_with("gres:")) rest.remove_prefix(5);
      const auto colon = rest.find(':');
      if (!is_device_name(rest.substr(0, colon))) return bad(item, "is no kind of devices");
      request.kind = Istr(lower(rest.substr(0, colon)));
      rest = colon == rest.npos ? std::string_view("1") : rest.substr(colon + 1);
    }
    // TYPE:AMOUNT, AMOUNT, or TYPE of which it is one.
    const auto colon = rest.rfind(':');
    auto amount = colon == rest.npos ? rest : rest.substr(colon + 1);
    auto type = colon == rest.npos ? std::string_view() : rest.substr(0, colon);
    auto read = [&](std::string_view word) -> std::optional<DeviceAmount> {
      if (auto devices = parse_device_amount(word)) return devices;
      auto count = parse_suffixed(word);
      if (!count || *count > 1'000'000'000'000) return std::nullopt;
      return *count * kWholeDevice;
    };
    auto value = read(amount);
    if (!value && colon == rest.npos && is_types(amount)) {
      type = amount;
      value = kWholeDevice;
    }
    if (!value || (!type.empty() && !is_types(type))) return bad(item, "asks for no number of devices");
    request.type = Istr(type);
    request.amount = *value;
    if (*value > kWholeDevice && *value % kWholeDevice != 0)
      return Error{"bad_devices", quote(item) + " is more than one device and a share", "",
                   "ask for less than one, or for whole ones"};
    if (*value == 0) continue;
    if (out.size() == kMostGroups) return bad(text, "has too many kinds");
    out.push_back(std::move(request));
  }
  return out;
}

std::string format_device_requests(const std::vector<DeviceRequest>& requests, DevicePer per) {
  std::string out;
  for (const auto& request : requests) {
    if (request.per != per) continue;
    if (!out.empty()) out += ',';
    out += "gres:" + request.kind.str() + (request.type.empty() ? "" : ":" + request.type.str()) + ":" +
           format_amount(request.amount);
  }
  return out;
}

}  // namespace bai
