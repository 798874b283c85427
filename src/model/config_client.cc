// Finding the file, and the little of it that a command needs.
#include <cstdlib>

#include "base/env.h"
#include "base/text.h"
#include "base/units.h"
#include "model/config_keys.h"

namespace bai {

std::string find_config(std::string_view option, std::string_view fallback) {
  if (!option.empty()) return std::string(option);
  for (const char* name : {"BAI_CONF", "SLURM_CONF"})
    if (const char* set = std::getenv(name); set && *set) return set;
  return std::string(fallback);
}

Result<std::uint32_t> read_user(std::string_view name_or_uid, const std::string& passwd) {
  if (all_digits(name_or_uid)) {
    auto uid = parse_int(name_or_uid, 0, 0xfffffffd);
    if (!uid) return Error{"unknown_user", uid.error().message};
    return static_cast<std::uint32_t>(*uid);
  }
  auto text = Env::real().read_file(passwd, std::size_t{16} << 20);
  if (!text) return Error{"unknown_user", text.error().message, "", "give the numeric uid"};
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const auto fields = split(rest.substr(0, end), ':', 4);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
    if (fields.size() < 4 || fields[0] != name_or_uid) continue;
    auto uid = parse_int(fields[2], 0, 0xfffffffd);
    if (uid) return static_cast<std::uint32_t>(*uid);
  }
  return Error{"unknown_user", "there is no user " + quote(name_or_uid) + " in " + passwd, "",
               "create it, or give the numeric uid"};
}

std::string ClientConfig::ctld_endpoint() const {
  std::string host = ctld_hosts.empty() ? "127.0.0.1" : ctld_hosts[0].address;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return host + ":" + std::to_string(ctld_port);
}

Result<ClientConfig> load_client_config(const std::string& path, const ConfigRules& rules) {
  const Env env = Env::real();
  auto lines = parse_config(
      path, [&](const std::string& file) { return env.read_file(file, ConfigLimits{}.max_bytes); });
  if (!lines) return lines.error();
  ClusterConfig config;
  for (const auto& line : *lines) {
    for (const auto& item : line.items) {
      if (same_key(item.key, "NodeName") || same_key(item.key, "PartitionName")) break;
      const auto* row = find_row(client_rows(), item.key);
      if (!row) continue;
      auto status = row->set(config, trim(item.value));
      if (!status)
        return Error{"bad_config", item.key + ": " + status.error().message, line.place(item),
                     status.error().remedy};
    }
  }
  if (config.ctld_hosts.empty())
    return Error{"bad_config", "CtldHost is missing", path, "add a line CtldHost=NAME, where bai-ctld runs"};
  auto uid = read_user(config.bai_user, rules.passwd);
  if (!uid) return Error{"bad_config", "BaiUser: " + uid.error().message, path, uid.error().remedy};
  config.bai_uid = *uid;
  return static_cast<ClientConfig>(std::move(config));
}

}  // namespace bai
